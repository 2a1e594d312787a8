"""`rnncli inspect`: what a run or a checkpoint holds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnncli.cli.options import json_option, print_json, run_option, tell

if TYPE_CHECKING:
    from rnncli.evaluation.perplexity import Evaluation
    from rnncli.runs.checkpoint import Contents
    from rnncli.runs.progress import Progress


@click.command()
@click.argument("path", required=False)
@run_option
@click.option("--verify", is_flag=True, help="Read every byte of every checkpoint, and say which are good.")
@click.option("--strip", "out", metavar="OUT", help="Write the weights alone to the file OUT, to predict with.")
@json_option
def inspect(path: str | None, run_path: str | None, verify: bool, out: str | None, as_json: bool) -> None:
    """Show what a run or a checkpoint holds: its model, its progress, what it was trained on and where.

    \b
    Examples:
      rnncli inspect
      rnncli inspect runs/fruit/checkpoints/step-00000150.npz
      rnncli inspect runs/fruit --verify              exit code 5 where one is not good
      rnncli inspect runs/fruit --strip fruit.npz     a third of the size with Adam; predicts, and cannot be resumed

    train_perplexity is null where the output layer is sampled: its training loss has none.

    \b
    JSON: {"checkpoint", "step", "epoch", "train_perplexity", "valid_perplexity", "best_valid_perplexity",
    "train", "valid", "best_valid" (null, or what they are counted over and more, as evaluate --json has it),
    "random_seed", "weights_only", "vocabulary" (size), "parameters": [{"name", "shape", "dtype"}],
    "parameter_count", "bytes", "config", "data", "machine", "checkpoints" (all of the run)}
    With --verify: {"checkpoints": [{"checkpoint", "bytes", "step", "epoch", "good", "problem"}], "good", "damaged"}
    With --strip: {"checkpoint", "out", "bytes", "bytes_before"}
    """
    from rnncli.runs import find

    if path is not None and run_path is not None:
        raise click.UsageError("give the run once: as PATH or as --run PATH.")
    if verify and out is not None:
        raise click.UsageError("--verify looks at all checkpoints, --strip takes one; give one of the two.")
    if verify:
        _verify(find.find(path or run_path), as_json)
        return
    checkpoint, stored, size, damaged, paths = find.reading(path or run_path, _read)
    for problem in damaged:
        tell(f"warning: passed over {problem}")
    if path is None and run_path is None:
        tell(f"using {checkpoint}")
    if out is not None:
        _strip(checkpoint, stored, size, Path(out), as_json)
        return
    document = _describe(str(checkpoint), stored, size)
    document["checkpoints"] = sorted(map(str, paths))
    print_json(document) if as_json else _print(document, _evaluations(stored.progress))


def _read(paths: list[Path]) -> tuple[Path, Contents, int, list[str], list[Path]]:
    from rnncli.runs import checkpoint

    path, stored, damaged = checkpoint.read_first(paths, resume=False)
    return path, stored, path.stat().st_size, damaged, paths


def _verify(paths: list[Path], as_json: bool) -> None:
    from rnncli.errors import RunError

    found = [_verified(path) for path in sorted(paths)]
    found = [each for each in found if each["good"] or os.path.lexists(each["checkpoint"])]  # a run removes them
    bad = [each for each in found if not each["good"]]
    if as_json:
        print_json({"checkpoints": found, "good": len(found) - len(bad), "damaged": len(bad)})
    else:
        from rnncli.cli.options import print_table

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
        told = "\n".join(str(each["problem"]) for each in bad)
        raise RunError(f"{told}\n{len(bad)} of {len(found)} not good")


def _verified(path: Path) -> dict[str, Any]:
    from rnncli.errors import RunError
    from rnncli.runs import checkpoint

    found: dict[str, Any] = {"checkpoint": str(path), "bytes": None, "step": None, "epoch": None}
    try:
        progress = checkpoint.verify(path).progress
        found |= {"bytes": path.stat().st_size, "step": progress.step, "epoch": progress.epoch}
        return found | {"good": True, "problem": None}
    except (RunError, OSError) as error:
        return found | {"good": False, "problem": str(error)}


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _strip(path: Path, stored: Contents, size: int, out: Path, as_json: bool) -> None:
    from rnncli.errors import UsageError
    from rnncli.runs import checkpoint

    if out.exists():
        raise UsageError(f"{out}: there already; name a file that is not there yet")
    checkpoint.write_weights(out, stored)
    sizes = {"bytes": out.stat().st_size, "bytes_before": size}
    if as_json:
        print_json({"checkpoint": str(path), "out": str(out)} | sizes)
        return
    before, after = (f"{sizes[key] / 1e6:.2f} MB" for key in ("bytes_before", "bytes"))
    click.echo(f"{out}: the weights of {path}, {after} of {before}")
    tell(f'try: rnncli predict --run {out} --seed "..."')


def _evaluations(progress: Progress) -> dict[str, Evaluation | None]:
    return {"train": progress.train, "valid": progress.valid, "best_valid": progress.best}


def _describe(checkpoint: str, stored: Any, size: int) -> dict[str, Any]:
    from rnncli.config import build
    from rnncli.config.config import to_dict
    from rnncli.evaluation.perplexity import perplexity

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


def _print(document: dict[str, Any], evaluations: dict[str, Evaluation | None]) -> None:
    from rnncli.cli.display.perplexities import print_evaluations
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
        [
            "size",
            f"{document['bytes'] / 1e6:.1f} MB, {document['parameter_count']:,} parameters"
            + (", weights alone: to predict with, not to resume" if document["weights_only"] else ""),
        ],
    ]
    print_table(rows)
    click.echo()
    print_table(
        [["parameter", "shape"], *([p["name"], " x ".join(map(str, p["shape"]))] for p in document["parameters"])]
    )
    print_evaluations({name.replace("_", " "): each for name, each in evaluations.items()})
