"""Texts: files, lines, tokens, vocabularies, and corpora of word ids."""
