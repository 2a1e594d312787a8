"""How many modules of the package a training step and `predict --seed` pass through.

    python benchmarks/modules.py [REVISION]

Counted are the modules whose functions are called, imports aside: in a step of the trainer, in a step of the learner
alone, and from the command line to the printed candidates. With a revision, that commit is counted too.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from revision import ROOT, extract


def passed(package: Path, work: Callable[[], object]) -> list[str]:
    """The modules of a package whose functions are called by some work."""
    functions: dict[str, set[str]] = {}
    found: dict[str, None] = {}

    def watch(frame: Any, event: str, _: object) -> None:
        name = frame.f_code.co_filename
        if event != "call" or not name.startswith(f"{package}{os.sep}"):
            return
        if name not in functions:
            tree = ast.parse(Path(name).read_text())
            functions[name] = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        if frame.f_code.co_name in functions[name]:
            found[str(Path(name).relative_to(package))] = None

    sys.setprofile(watch)
    try:
        work()
    finally:
        sys.setprofile(None)
    return list(found)


def count(source: str) -> None:
    """Print the modules of the package in `source` as JSON."""
    sys.path.insert(0, source)
    package = Path(source, "rnncli")
    from rnncli.cli import main

    try:
        from rnncli.config.corpora import texts
        from rnncli.config.yaml_file import read
        from rnncli.runs.folder import RunFolder
        from rnncli.training.trainer import Trainer
    except ImportError:  # before the packages
        from rnncli.build import texts  # type: ignore[import-not-found, no-redef]
        from rnncli.config_file import read  # type: ignore[import-not-found, no-redef]
        from rnncli.run import RunFolder  # type: ignore[import-not-found, no-redef]

        from rnncli.training import Trainer  # type: ignore[attr-defined, no-redef]

    def command(*words: str) -> None:
        with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
            main([*words])

    command("train", str(ROOT / "configs/fruit.yaml"), "--set", "run.dir=run", "--quiet")
    predict = ("predict", "--run", "run", "--seed", "mango is")
    command(*predict)  # everything is imported then
    found = {"predict --seed": passed(package, lambda: command(*predict))}
    config = read(str(ROOT / "configs/fruit.yaml"), ["model.embedding_size=8"])
    trainer = Trainer(config, texts(config), 1, RunFolder(Path("step")))
    next(trainer.steps())
    trainer.progress = type(trainer.progress)()
    steps = trainer.steps()
    found["a step of the trainer"] = passed(package, lambda: next(steps))
    if hasattr(trainer, "learner"):
        batch = next(trainer.batches.epoch(0))
        work = lambda: trainer.learner.step_(batch, 2, 0.001, lambda attempt: None)  # noqa: E731
        found["a step of the learner"] = passed(package, work)
    print(json.dumps(found))


def main(revision: str | None) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        sources = {"this checkout": str(ROOT)}
        if revision:
            sources = {revision: str(extract(revision, Path(temporary))), **sources}
        for name, source in sources.items():
            command = [sys.executable, str(Path(__file__).resolve()), "--count", source]
            folder = tempfile.mkdtemp(dir=temporary)
            result = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
            for what, modules in json.loads(result.stdout).items():
                rooms = {module.split("/")[0] for module in modules}
                print(f"{name}: {what}: {len(modules)} modules in {len(rooms)} rooms\n  {', '.join(modules)}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--count"]:
        count(sys.argv[2])
    else:
        main(sys.argv[1] if len(sys.argv) > 1 else None)
