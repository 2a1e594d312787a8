"""`rnncli inspect`: the content of a run or a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnncli.cli.options import complete_paths, json_option, notify, print_json, run_option, say, suggest_prediction

if TYPE_CHECKING:
    from rnncli.evaluation.perplexity import Evaluation
    from rnncli.runs.checkpoint import Checkpoint
    from rnncli.runs.progress import Progress


@click.command()
@click.argument("path", required=False, shell_complete=complete_paths)
@run_option
@click.option("--verify", is_flag=True, help="Verify every byte of every checkpoint.")
@click.option(
    "--strip",
    "out",
    metavar="OUT",
    shell_complete=complete_paths,
    help="Write only the weights to the file OUT, to predict with.",
)
@json_option
def inspect(path: str | None, run_path: str | None, verify: bool, out: str | None, as_json: bool) -> None:
    """Show a run or a checkpoint: its model, its progress, its training text and the machine that trained it.

    \b
    Examples:
      rnncli inspect
      rnncli inspect runs/fruit/checkpoints/step-00000150.npz
      rnncli inspect runs/fruit --verify              exit code 5 if one is damaged
      rnncli inspect runs/fruit --strip fruit.npz     a third of the size with Adam; predicts, but cannot be resumed

    train_perplexity is null if the output layer is sampled: the training loss is then not that of the whole vocabulary.

    \b
    JSON: {"checkpoint", "step", "epoch", "train_perplexity", "valid_perplexity", "best_valid_perplexity",
    "test_perplexity" (if this checkpoint was measured), "train", "valid", "best_valid", "test" (null, or the figures
    of evaluate --json),
    "random_seed", "source" (of a warm start: hash and step of the model that it began with), "temperature" (of the
    softmax, if it was fitted), "averaged" (whether the parameters are an average), "weights_only",
    "vocabulary" (size), "parameters": [{"name", "shape", "dtype"}], "parameter_count", "bytes", "config", "data",
    "machine", "checkpoints" (all of the run)}
    With --verify: {"checkpoints": [{"checkpoint", "bytes", "step", "epoch", "good", "problem"}], "good", "damaged"}
    With --strip: {"checkpoint", "out", "bytes", "bytes_before"}
    """
    from rnncli.runs import find

    if path is not None and run_path is not None:
        raise click.UsageError("give the run once: as PATH or as --run PATH.")
    if verify and out is not None:
        raise click.UsageError("--verify reads all checkpoints, --strip only one; give one of the two.")
    if verify:
        _verify(path or run_path, as_json)
        return
    found = find.first_readable(path or run_path)
    for problem in found.problems:
        notify(f"warning: skipped {problem}")
    if path is None and run_path is None:
        notify(f"using {found.path}")
    if out is not None:
        _strip(found.path, found.checkpoint, found.size, Path(out), as_json)
        return
    document = _document(str(found.path), found.checkpoint, found.size)
    document["checkpoints"] = sorted(str(path) for path in found.alternatives if path.exists())
    document["test"] = _test(found.path, found.checkpoint.progress.position.step)
    document["test_perplexity"] = document["test"] and document["test"]["perplexity"]
    print_json(document) if as_json else _print(document, _evaluations(found.checkpoint.progress))


def _verify(run: str | None, as_json: bool) -> None:
    from rnncli.errors import RunError
    from rnncli.runs import find

    found = [_verified(path) for path in sorted(find.candidates(run))]
    there = set(map(str, find.candidates(run)))  # others were removed by training in the meantime
    found = [each for each in found if each["good"] or each["checkpoint"] in there]
    bad = [each for each in found if not each["good"]]
    if as_json:
        print_json({"checkpoints": found, "good": len(found) - len(bad), "damaged": len(bad)})
    else:
        from rnncli.cli.display.table import print_table

        rows = [
            [
                each["checkpoint"],
                *(_number(each[key]) for key in ("step", "epoch", "bytes")),
                "no" if each in bad else "yes",
            ]
            for each in found
        ]
        print_table([["checkpoint", "step", "epochs", "bytes", "good"], *rows], right="123")
    if bad:
        problems = "\n".join(str(each["problem"]) for each in bad)
        raise RunError(f"{problems}\n{len(bad)} of {len(found)} checkpoints damaged")


def _verified(path: Path) -> dict[str, Any]:
    from rnncli.errors import RunError
    from rnncli.runs import checkpoint

    found: dict[str, Any] = {"checkpoint": str(path), "bytes": None, "step": None, "epoch": None}
    try:
        progress = checkpoint.verify(path).progress
        found |= {"bytes": path.stat().st_size, "step": progress.position.step, "epoch": progress.position.epoch}
        return found | {"good": True, "problem": None}
    except (RunError, OSError) as error:
        return found | {"good": False, "problem": str(error)}


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _strip(path: Path, stored: Checkpoint, size: int, out: Path, as_json: bool) -> None:
    from rnncli.errors import UsageError
    from rnncli.runs import checkpoint

    if out.exists():
        raise UsageError("exists already", location=str(out), remedy="name a new file")
    checkpoint.write_weights(out, stored)
    sizes = {"bytes": out.stat().st_size, "bytes_before": size}
    if as_json:
        print_json({"checkpoint": str(path), "out": str(out)} | sizes)
        return
    before, after = (f"{sizes[key] / 1e6:.2f} MB" for key in ("bytes_before", "bytes"))
    say(f"{out}: the weights of {path}, {after} of {before}")
    suggest_prediction(out)


def _evaluations(progress: Progress) -> dict[str, Evaluation | None]:
    return {"train": progress.measured.train, "valid": progress.measured.valid, "best_valid": progress.measured.best}


def _test(path: Path, step: int) -> dict[str, Any] | None:
    """The figures of data.test, if the run has measured it with the checkpoint at `path`, of this step."""
    from rnncli.runs.folder import RunFolder
    from rnncli.runs.metrics import figures_of_test

    metrics = RunFolder(path.parents[1]).metrics if path.parent.name == "checkpoints" else None
    return None if metrics is None else figures_of_test(metrics, step=step)


def _document(path: str, stored: Checkpoint, size: int) -> dict[str, Any]:
    from rnncli.config import build
    from rnncli.config.config import to_dict
    from rnncli.evaluation.perplexity import perplexity
    from rnncli.runs.progress import averaged_steps

    p = stored.progress

    def figure(loss: float | None) -> float | None:
        return None if loss is None else perplexity(loss)

    return {
        "checkpoint": path,
        "step": p.position.step,
        "epoch": p.position.epoch,
        "train_perplexity": figure(p.measured.train_loss) if build.exact(stored.config) else None,
        "valid_perplexity": figure(p.measured.valid_loss),
        "best_valid_perplexity": figure(p.measured.best_loss),
        **{name: each.figures() if each else None for name, each in _evaluations(p).items()},
        "random_seed": stored.random_seed,
        "source": stored.source,
        "temperature": stored.temperature,
        "averaged": bool(averaged_steps(p, stored.config)),
        "weights_only": stored.weights_only,
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


def _learning(config: dict[str, Any]) -> str:
    """The optimizer, and everything that regularises, where it is not at its default."""
    optimizer, averaging = config["optimizer"], config["training"]["averaging"]["name"]
    parts = [f"{optimizer['name']}, learning rate {optimizer['learning_rate']:g} ({optimizer['schedule']['name']})"]
    for section in ("dropout", "penalty"):
        if factors := [f"{name} {value:g}" for name, value in config[section].items() if value and name != "masks"]:
            parts.append(f"{section} {', '.join(factors)}")
    if optimizer["weight_decay"]:
        parts.append(f"weight decay {optimizer['weight_decay']:g}")
    return "; ".join([*parts, *([f"average {averaging}"] if averaging != "none" else [])])


def _print(document: dict[str, Any], evaluations: dict[str, Evaluation | None]) -> None:
    from rnncli.cli.display.perplexities import figure, print_evaluations
    from rnncli.cli.display.table import print_table
    from rnncli.schema.suggestions import counted

    model, data, machine = document["config"]["model"], document["config"]["data"], document["machine"]
    entering = "one-hot" if model["embedding_size"] is None else f"embedding {model['embedding_size']}"
    perplexities = [
        f"{name} {figure(document[key], 2)}"
        for name, key in (
            ("train", "train_perplexity"),
            ("valid", "valid_perplexity"),
            ("best", "best_valid_perplexity"),
            ("test", "test_perplexity"),
        )
        if document[key] is not None
    ]
    rows = [
        ["checkpoint", document["checkpoint"]],
        ["progress", f"step {document['step']}, {counted(document['epoch'], 'epoch')}"],
        ["perplexity", ", ".join(perplexities) or ("none measured" if document["epoch"] else "no epoch completed")],
        [
            "model",
            f"{model['cell']}, {model['layers']} x {model['hidden_size']}, {entering}, {model['output']['name']}"
            + "".join(f", {name}" for name in ("tied", "residual") if model[name]),
        ],
        ["learned with", _learning(document["config"])],
        ["vocabulary", f"{document['vocabulary']} words"],
        ["trained on", f"{', '.join(data['train'])} ({data['mode']}, {data['tokenizer']})"],
        *([["temperature", f"{document['temperature']:.3f}"]] if document["temperature"] else []),
        *([["started from", f"a model at step {source['step']:,}"]] if (source := document["source"]) else []),
        ["random seed", str(document["random_seed"])],
        ["written by", ", ".join(f"{key} {value}" for key, value in machine.items() if value is not None)],
        ["others", ", ".join(name for name in document["checkpoints"] if name != document["checkpoint"]) or "none"],
        [
            "size",
            f"{document['bytes'] / 1e6:.1f} MB, {document['parameter_count']:,} parameters"
            + (", weights only: predicts, but cannot be resumed" if document["weights_only"] else ""),
        ],
    ]
    print_table(rows)
    say()
    print_table(
        [["parameter", "shape"], *([p["name"], " x ".join(map(str, p["shape"]))] for p in document["parameters"])]
    )
    print_evaluations({name.replace("_", " "): each for name, each in evaluations.items()})
