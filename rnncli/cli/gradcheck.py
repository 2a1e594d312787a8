"""`rnncli gradcheck`: compare every gradient with a numerical derivative."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from rnncli.cli.display.table import print_table
from rnncli.cli.options import complete_paths, json_option, notify, print_json, set_option

if TYPE_CHECKING:
    from rnncli.proof.gradcheck import Case


@click.command()
@click.argument("config", required=False, shell_complete=complete_paths)
@set_option
@click.option("--method", type=click.Choice(["complex", "central"]), default="complex", show_default=True)
@click.option("--random-seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True)
@json_option
def gradcheck(config: str | None, overrides: tuple[str, ...], method: str, random_seed: int, as_json: bool) -> None:
    """Compare every gradient of a model, in both engines, with a numerical derivative; exit code 6 if one fails.

    \b
    Examples:
      rnncli gradcheck                       a standard set: every cell, depth, input and output layer
      rnncli gradcheck configs/fruit.yaml    the model of that config, with its dropout, at reduced sizes

    The numerical derivative of every element runs through the code that trains. The error shown is the largest
    |a - n| / max(|a|, |n|, 1e-5 of the tensor's largest).

    \b
    JSON: {"passed", "method", "tolerance", "seconds", "checks": [{"engine", "cell", "parameter",
    "max_relative_error", "max_absolute_error", "passed"}]}
    """
    from rnncli.errors import NumericalError
    from rnncli.proof import gradcheck as proof

    if overrides and config is None:
        raise click.UsageError("--set changes a config, but none was given; name a CONFIG.")
    cases = proof.standard_cases() if config is None else _cases(config, overrides)
    started = time.monotonic()
    checks = list(proof.run(cases, method, random_seed))
    seconds = time.monotonic() - started
    passed = all(check.passed for check in checks)
    tolerance = proof.TOLERANCE[method]
    if as_json:
        head: dict[str, Any] = {"passed": passed, "method": method, "tolerance": tolerance, "seconds": seconds}
        print_json(head | {"checks": [asdict(check) for check in checks]})
    else:
        rows = [["engine", "cell", "parameter", "largest relative error", ""]]
        rows += [
            [c.engine, c.cell, c.parameter, f"{c.max_relative_error:.1e}", "ok" if c.passed else "FAILED"]
            for c in checks
        ]
        print_table(rows, right="3")
        models = f"{len(cases)} model{'s' if len(cases) > 1 else ''} in both engines"
        worst = max((c.max_relative_error for c in checks), key=lambda error: (error != error, error))
        notify(f"{models}, method {method}, largest error {worst:.1e}, tolerance {tolerance:g}, {seconds:.1f} s")
    if not passed:
        failed = [f"{c.engine} {c.cell} {c.parameter}" for c in checks if not c.passed]
        raise NumericalError(f"gradcheck failed for {len(failed)} of {len(checks)} tensors: {', '.join(failed[:5])}")


def _cases(config: str, overrides: tuple[str, ...]) -> list[Case]:
    from rnncli.config.yaml_file import read
    from rnncli.proof import gradcheck as proof

    settings = read(config, overrides)
    noise = replace(proof.NO_NOISE, dropout=settings.dropout, penalties=settings.penalty)
    return [proof.reduced(settings.model, settings.data.mode, noise)]
