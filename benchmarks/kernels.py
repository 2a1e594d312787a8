"""Training steps against PyTorch, with OpenBLAS limited to its kernels for 256-bit vectors.

OpenBLAS uses these kernels on processors without 512-bit vectors, and where OPENBLAS_CORETYPE=Haswell requests the same
bits on many processors. PyTorch keeps its default kernels.
"""

from importlib import util

import speed

KERNEL = {"OPENBLAS_CORETYPE": "Haswell"}
NAMES = ("lstm", "b64", "gru", "rnn", "h650", "v33278")


def measure() -> str:
    """The table of `speed` with that kernel; no table if it is the default kernel here."""
    from rnncli.system import blas

    title = "## The same with 256-bit kernels"
    if util.find_spec("torch") is None:
        return f"{title}\n\n{speed.WITHOUT_TORCH}"
    if blas.describe()["kernel"] == "Haswell":
        return f"{title}\n\nIt is the kernel of the tables above."
    configurations = {name: speed.CONFIGURATIONS[name] for name in NAMES}
    results = {name: speed.run(each, KERNEL) for name, each in configurations.items()}
    head = [title, "", "OPENBLAS_CORETYPE=Haswell for `rnncli`; PyTorch and all else as above.", ""]
    table = speed.speed_section(results).splitlines()
    start = next(number for number, line in enumerate(table) if line.startswith("| model"))
    peaks = ", ".join(f"{result.peak:.0f}" for result in results.values())
    return "\n".join([*head, *table[start:], "", f"SGEMM peaks by row: {peaks} GFLOP/s."])


if __name__ == "__main__":
    print(measure())
