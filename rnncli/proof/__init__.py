"""Proof on this machine: gradients, and runs that repeat and resume to the bit."""
