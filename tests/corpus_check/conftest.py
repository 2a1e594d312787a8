"""Checks of texts with a config."""

from pathlib import Path

import pytest

from rnncli.config import yaml_file
from rnncli.corpus_check import SEVERITIES, check, ranked


@pytest.fixture
def look(tmp_path):
    """Check these texts with a config; returns the findings by (split, kind)."""

    def run(train, *overrides, **texts):
        for name, content in ({"train": train} | texts).items():
            (tmp_path / f"{name}.txt").write_bytes(content if isinstance(content, bytes) else content.encode())
        (tmp_path / "config.yaml").write_text("data: {train: train.txt}\n")
        named = [f"data.{name}={tmp_path / name}.txt" for name in texts]
        report = check(yaml_file.read(tmp_path / "config.yaml", [*named, "training.batch_size=1", *overrides]))
        assert report.findings == ranked(report.findings)
        found = {(each.split, each.kind): each for each in reversed(report.findings)}
        assert len(found) >= len(report.findings) - 1  # test may share lines with both train and valid
        for each in report.findings:
            assert each.severity in SEVERITIES
            assert each.what
            assert each.advice
            assert 0 <= each.share <= 1
            assert each.count >= 1
            if each in report.texts:
                lines = Path(each.where.file).read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
                there = lines[each.where.line - 1].removesuffix(b"\r").decode("utf-8", "replace")
                assert report.texts[each].removeprefix("… ") in there
                assert each.about in there
        run.report = report
        return found

    return run
