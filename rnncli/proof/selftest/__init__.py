"""Test on this machine: train a tiny model, kill it, resume it, damage its checkpoint; compare bytes and gradients.

Every command runs in a separate process in a temporary folder.
"""

from rnncli.proof.selftest.checks import Check, Selftest

__all__ = ["Check", "Selftest"]
