"""Independent reference: the spelling model of characters in plain Python, with exact fractions."""

from collections import Counter
from fractions import Fraction

BEGIN, END = "begin", "end"  # symbols that are not characters
OUTCOMES = sum(not 0xD800 <= code <= 0xDFFF for code in range(0x110000)) + 1


class PlainSpelling:
    """Witten and Bell's interpolation, from the counts of every context of every length."""

    def __init__(self, words, order=5):
        self.order, self.after = order, {}
        for word in words:
            symbols = [BEGIN, *word, END]
            for i in range(1, len(symbols)):
                for n in range(min(order - 1, i) + 1):
                    self.after.setdefault(tuple(symbols[i - n : i]), Counter())[symbols[i]] += 1

    def next(self, symbol, context, outcomes=OUTCOMES):
        """P(symbol | context); the context is a tuple of characters, BEGIN and END."""
        lower = self.next(symbol, context[1:], outcomes) if context else Fraction(1, outcomes)
        if context not in self.after:
            return lower
        counts = self.after[context]
        return (counts[symbol] + len(counts) * lower) / (counts.total() + len(counts))

    def probability(self, word, outcomes=OUTCOMES):
        symbols, p = [BEGIN, *word, END], Fraction(1)
        for i in range(1, len(symbols)):
            p *= self.next(symbols[i], tuple(symbols[max(0, i - self.order + 1) : i]), outcomes)
        return p
