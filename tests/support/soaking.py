"""Extent of the fault tests: short in every test run, full with `--soak SEED`."""

import random


class Soak:
    """The random generator of one test, seeded with its name, and its number of trials."""

    def __init__(self, seed, name):
        self.full = seed is not None
        self.random = random.Random(f"{seed or 0} {name}")

    def times(self, short, full):
        """Number of trials."""
        return full if self.full else short

    def report(self, what):
        """Print what was done; `make soak` shows it."""
        print(f"\nsoak: {what}")
