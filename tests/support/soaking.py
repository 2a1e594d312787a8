"""How long the tests of faults run: a little in every test run, in full with `--soak SEED`."""

import random


class Soak:
    """What one test, known by its name, draws from and how often."""

    def __init__(self, seed, name):
        self.full = seed is not None
        self.random = random.Random(f"{seed or 0} {name}")

    def times(self, short, full):
        """How often to try."""
        return full if self.full else short

    def report(self, what):
        """Say what was done; `make soak` shows it."""
        print(f"\nsoak: {what}")
