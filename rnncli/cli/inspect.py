"""`rnncli inspect`: what a run or a checkpoint holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rnncli.cli.options import json_option, print_json, run_option, tell

if TYPE_CHECKING:
    from rnncli.perplexity import Evaluation
    from rnncli.snapshot import Progress


@click.command()
@click.argument("path", required=False)
@run_option
@json_option
def inspect(path: str | None, run_path: str | None, as_json: bool) -> None:
    """Show what a run or a checkpoint holds: its model, its progress, what it was trained on and where.

    \b
    Examples:
      rnncli inspect
      rnncli inspect runs/fruit/checkpoints/step-00000150.npz

    train_perplexity is null where the output layer is sampled: its training loss has none.

    \b
    JSON: {"checkpoint", "step", "epoch", "train_perplexity", "valid_perplexity", "best_valid_perplexity",
    "train", "valid", "best_valid" (null, or what they are counted over and more, as evaluate --json has it),
    "random_seed", "vocabulary" (size), "parameters": [{"name", "shape", "dtype"}], "parameter_count", "bytes",
    "config", "data", "machine", "checkpoints" (all of the run)}
    """
    from rnncli import run, snapshot

    if path is not None and run_path is not None:
        raise click.UsageError("give the run once: as PATH or as --run PATH.")
    paths = run.find(path or run_path)
    checkpoint, stored, damaged = snapshot.read_first(paths, resume=True)
    for problem in damaged:
        tell(f"warning: passed over {problem}")
    if path is None and run_path is None:
        tell(f"using {checkpoint}")
    document = _describe(str(checkpoint), stored, checkpoint.stat().st_size)
    document["checkpoints"] = sorted(map(str, paths))
    print_json(document) if as_json else _print(document, _evaluations(stored.progress))


def _evaluations(progress: Progress) -> dict[str, Evaluation | None]:
    return {"train": progress.train, "valid": progress.valid, "best_valid": progress.best}


def _describe(checkpoint: str, stored: Any, size: int) -> dict[str, Any]:
    from rnncli import build
    from rnncli.config import to_dict
    from rnncli.perplexity import perplexity

    p = stored.progress

    def figure(loss: float | None) -> float | None:
        return None if loss is None else perplexity(loss)

    return {
        "checkpoint": checkpoint,
        "step": p.step,
        "epoch": p.epoch,
        "train_perplexity": figure(p.train_loss) if build.exact(stored.config) else None,
        "valid_perplexity": figure(p.valid_loss),
        "best_valid_perplexity": figure(p.best_loss),
        **{name: each.figures() if each else None for name, each in _evaluations(p).items()},
        "random_seed": stored.random_seed,
        "vocabulary": len(stored.vocabulary),
        "parameters": [
            {"name": name, "shape": list(tensor.shape), "dtype": str(tensor.dtype)}
            for name, tensor in stored.parameters.items()
        ],
        "parameter_count": int(stored.parameters.vector.size),
        "bytes": size,
        "config": to_dict(stored.config),
        "data": stored.data,
        "machine": stored.machine,
    }


def _print(document: dict[str, Any], evaluations: dict[str, Evaluation | None]) -> None:
    from rnncli.cli.figures import print_evaluations
    from rnncli.cli.options import print_table

    model, data, machine = document["config"]["model"], document["config"]["data"], document["machine"]
    entering = "one-hot" if model["embedding_size"] is None else f"embedding {model['embedding_size']}"
    perplexities = [
        f"{name} {document[key]:.2f}"
        for name, key in (
            ("train", "train_perplexity"),
            ("valid", "valid_perplexity"),
            ("best", "best_valid_perplexity"),
        )
        if document[key] is not None
    ]
    rows = [
        ["checkpoint", document["checkpoint"]],
        ["progress", f"step {document['step']}, {document['epoch']} epochs"],
        ["perplexity", ", ".join(perplexities) or ("none measured" if document["epoch"] else "no epoch completed")],
        [
            "model",
            f"{model['cell']}, {model['layers']} x {model['hidden_size']}, {entering}, {model['output']['name']}",
        ],
        ["vocabulary", f"{document['vocabulary']} words"],
        ["trained on", f"{', '.join(data['train'])} ({data['mode']}, {data['tokenizer']})"],
        ["random seed", str(document["random_seed"])],
        ["written by", ", ".join(f"{key} {value}" for key, value in machine.items() if value is not None)],
        ["others", ", ".join(name for name in document["checkpoints"] if name != document["checkpoint"]) or "none"],
        ["size", f"{document['bytes'] / 1e6:.1f} MB, {document['parameter_count']:,} parameters"],
    ]
    print_table(rows)
    click.echo()
    print_table(
        [["parameter", "shape"], *([p["name"], " x ".join(map(str, p["shape"]))] for p in document["parameters"])]
    )
    print_evaluations({name.replace("_", " "): each for name, each in evaluations.items()})
