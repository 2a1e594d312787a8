from unittest import mock

import pytest

from rnncli.text import count_file
from rnncli.text.count_file import StoredCounts, write_counts

COUNTS = {"the": 12, "a b": 3, "\u2028": 1, "été": 20_000, "": 2}


@pytest.mark.parametrize("piece", [1, 5, 1 << 20])
def test_the_counts_of_a_file_are_those_written(tmp_path, piece):
    path = tmp_path / "counts"
    write_counts(path, COUNTS)
    counts = StoredCounts(path)
    path.unlink()
    with mock.patch.object(count_file, "PIECE", piece):
        assert dict(counts.items()) == dict(counts) == COUNTS
        assert list(counts) == list(COUNTS)
        assert len(counts) == 5
        assert counts["été"] == 20_000
        with pytest.raises(KeyError):
            counts["THE"]


def test_no_words(tmp_path):
    write_counts(tmp_path / "counts", {})
    counts = StoredCounts(tmp_path / "counts")
    assert (dict(counts), len(counts)) == ({}, 0)
