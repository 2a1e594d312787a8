"""Checks on the user's machine: gradients, and runs that repeat and resume to the bit."""
