"""`rnncli train --profile`: the time of each part of a step."""

import json
import re
import signal

import pytest

from rnncli.cli.display.profile import print_profile
from rnncli.system.profile import SECTIONS


def last(stdout):
    return json.loads(stdout.splitlines()[-1])


def test_the_table(capsys):
    sections = [
        {"name": "data", "milliseconds": 0.25, "percent": 10.0, "gflops": None},
        {"name": "output", "milliseconds": 2.25, "percent": 90.0, "gflops": 170.25},
    ]
    print_profile({"steps": 1234, "milliseconds": 2.5, "gflops": 153.22, "sections": sections})
    assert capsys.readouterr().out.splitlines() == [
        "",
        "mean of 1,234 steps:",
        "section     ms      %  GFLOP/s",
        "data     0.250   10.0",
        "output   2.250   90.0    170.2",
        "a step   2.500  100.0    153.2",
    ]


def test_the_table_follows_the_summary(rnncli, fruit_config):
    plain = rnncli("train", fruit_config, "--epochs", 8, "--set", "run.dir=plain")
    result = rnncli("train", fruit_config, "--epochs", 8, "--profile")
    assert plain.stdout.count("\n") == 1
    summary, blank, title, header, *lines = result.stdout.splitlines()
    assert summary.startswith("8 epochs, 8 steps: perplexity train ")
    assert re.search(r", [\d,]+ words/s \([\d,]+ in the median step\), ", summary)
    assert re.search(r", [\d,]+ words/s, ", plain.stdout)
    assert (blank, title) == ("", "mean of 3 steps:")
    assert header.split() == ["section", "ms", "%", "GFLOP/s"]
    assert [line.split("  ")[0] for line in lines] == [*SECTIONS, "a step"]


@pytest.mark.parametrize("engine", ["fused", "stepwise"])
@pytest.mark.parametrize("output", ["full", "adaptive", "sampled"])
def test_json(rnncli, fruit_config, engine, output):
    words = ["--set", f"model.engine={engine}", "--set", f"model.output={output}", "--json", "--profile"]
    done = last(rnncli("train", fruit_config, "--epochs", 7, *words).stdout)
    profile = done["profile"]
    assert profile.keys() == {"steps", "milliseconds", "gflops", "sections"}
    assert profile["steps"] == 2
    sections = profile["sections"]
    assert [each["name"] for each in sections] == list(SECTIONS)
    assert sum(each["milliseconds"] for each in sections) == pytest.approx(profile["milliseconds"])
    assert sum(each["percent"] for each in sections) == pytest.approx(100)
    with_products = [each["name"] for each in sections if each["gflops"] is not None]
    assert with_products == ["cells forward", "output", "cells backward"]
    finished = last(rnncli("train", fruit_config, "--epochs", 7, *words).stdout)
    assert finished["profile"] is None  # no step was taken
    assert "profile" not in last(rnncli("train", fruit_config, "--epochs", 7, *words[:-1]).stdout)


def test_a_run_that_max_time_stops(rnncli, fruit_config):
    done = last(rnncli("train", fruit_config, "--max-time", "0.001s", "--json", "--profile").stdout)
    assert (done["reason"], done["profile"]["steps"]) == ("max_time", 1)


def test_a_run_that_a_signal_stops(start, fruit_config):
    process = start("train", fruit_config, "--epochs", 100000, "--json", "--profile")
    for _ in range(20):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    done = last(process.communicate()[0].decode())
    assert (process.returncode, done["reason"]) == (130, "SIGINT")
    assert done["profile"]["steps"] == done["steps"] - 5
