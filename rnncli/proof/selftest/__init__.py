"""Proof on this machine: a tiny model is trained, killed, resumed, damaged; the bits and the gradients are compared.

Everything runs through the command line, in processes of its own, in a temporary folder.
"""

from rnncli.proof.selftest.checks import Check, Selftest

__all__ = ["Check", "Selftest"]
