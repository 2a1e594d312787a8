"""The command that removes invisible characters where they do not belong."""

from __future__ import annotations

from collections.abc import Collection

from rnncli.text.invisible import pattern


def removing(characters: Collection[str], present: Collection[str]) -> str:
    """The filter that removes these characters where they do not belong from a text. present: all of the text's."""
    return f"perl -CSD -pe 's/{for_perl(pattern(characters, present))}//g'"


def for_perl(expression: str) -> str:
    """A regular expression in ASCII."""
    return "".join(c if c.isascii() and c.isprintable() else f"\\x{{{ord(c):x}}}" for c in expression)
