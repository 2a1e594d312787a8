"""A synthetic corpus of any size: words drawn by Zipf's law from 500,000 types, sentences of about twenty words.

`python benchmarks/synthetic.py FILE WORDS` writes one; the same number of words always gives the same file.
"""

import sys
from pathlib import Path

import numpy as np

TYPES = 500_000
WIDTH = 14  # maximum bytes of a word and the space after it
WORDS_A_SENTENCE = 20
BLOCK = 1 << 20  # words
CONSONANTS = np.frombuffer(b"bcdfghjklmnpqrstvwxyz", np.uint8)
VOWELS = np.frombuffer(b"aeiou", np.uint8)


def words_by_rank() -> np.ndarray:
    """(TYPES, WIDTH) uint8: the words, each followed by a space and padded with zeros.

    The consonants of a word are its rank as a number of base 21, so that no two words are equal and frequent words are
    short. One to six vowels follow, one in the 441 most frequent words.
    """
    table = np.zeros((TYPES, WIDTH), np.uint8)
    ranks = np.arange(TYPES)
    rest, column = ranks.copy(), np.zeros(TYPES, int)
    while (left := np.flatnonzero(rest >= 0)).size:
        table[left, column[left]] = CONSONANTS[rest[left] % len(CONSONANTS)]
        column[left] += 1
        rest[left] = rest[left] // len(CONSONANTS) - 1
    vowels = np.where(ranks < len(CONSONANTS) ** 2, 1, 1 + ranks * 7919 % 6)
    for i in range(vowels.max()):
        more = np.flatnonzero(vowels > i)
        table[more, column[more]] = VOWELS[ranks[more] * (i + 3) // 7 % len(VOWELS)]
        column[more] += 1
    table[ranks, column] = ord(" ")
    return table


def write(path: Path, words: int, seed: int = 1) -> None:
    """Write this number of words; a line ends after each with a probability of one in twenty."""
    rng, table = np.random.Generator(np.random.Philox(seed)), words_by_rank()
    share = np.cumsum(1 / np.arange(1, TYPES + 1))
    with path.open("wb") as file:
        for start in range(0, words, BLOCK):
            n = min(BLOCK, words - start)
            drawn = table[np.searchsorted(share, rng.random(n) * share[-1])]  # (n, WIDTH)
            ends = rng.random(n) < 1 / WORDS_A_SENTENCE
            ends[-1] = start + n == words or ends[-1]
            drawn[(drawn == ord(" ")) & ends[:, None]] = ord("\n")
            file.write(drawn[drawn > 0].tobytes())


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]))
