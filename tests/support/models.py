"""Models from the part names of a config, and progress from the names of its fields."""

from dataclasses import fields

from rnncli.config import build
from rnncli.config.config import ModelConfig
from rnncli.model.architecture import Architecture
from rnncli.model.noise import NO_DROPOUT, Noise
from rnncli.model.outputs import OUTPUTS
from rnncli.model.penalties import NO_PENALTIES
from rnncli.runs.progress import Progress
from rnncli.schema.fields import Choice, options_of


def architecture(
    V, cell, layers, hidden_size, embedding_size, output="full", options=None, tied=False, residual=False
) -> Architecture:
    chosen = Choice(output, options_of(OUTPUTS, output)() if options is None else options)
    sizes = {"hidden_size": hidden_size, "embedding_size": embedding_size}
    return build.architecture(ModelConfig(cell, layers, **sizes, output=chosen, tied=tied, residual=residual), V)


def language_model(engine, made, parameters, counts=None):
    return build.language_model(engine, made, parameters, counts)


def noise_of(batch, random_seed=0, dropout=NO_DROPOUT, penalties=NO_PENALTIES):
    """The noise that training uses for a batch."""
    return Noise(random_seed, batch.epoch, batch.index, dropout, penalties)


def progress(**values):
    """Progress with these fields, found in any of its parts."""
    made = Progress()
    for part in fields(Progress):
        for each in fields(getattr(made, part.name)):
            if each.name in values:
                setattr(getattr(made, part.name), each.name, values.pop(each.name))
    assert not values, values
    return made
