"""Rules for settings, and a builder that turns written values into dataclasses and lists every fault."""
