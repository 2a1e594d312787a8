"""The BLAS of NumPy."""

import subprocess
import sys

import pytest

from rnncli.system import process

PRODUCT = """
import numpy as np
from rnncli.system import blas, process
before = process._status("VmSize")
np.ones((50, 50), np.float32) @ np.ones((50, 50), np.float32)
print(process._status("VmSize") - before)
"""


@pytest.mark.skipif(process._status("VmSize") is None, reason="the size of a process is unknown here")
def test_a_product_maps_no_more_memory():
    """OpenBLAS ends the process where it cannot map its work space: it has it before the memory is forecast."""
    assert int(subprocess.check_output([sys.executable, "-c", PRODUCT])) < 4_000_000
