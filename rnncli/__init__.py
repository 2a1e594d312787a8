"""Word-level recurrent language models on NumPy: train, check, predict.

The packages, in the order in which data passes through them; each imports only from those before it:

errors, system, schema, reference   errors; the machine; settings; the course's equations
text, batches                       files to ids, and ids to (T, B) windows
model, optim, evaluation            parameters, cells, output layers, engines; optimizers; perplexity and prediction
config                              the config, and the objects that it names
corpus_check, runs                  the check of a corpus; checkpoints and run folders
training, proof                     the step and the loop around it; gradients and runs proven
api, cli                            `rnncli.load`; the command line
"""

from __future__ import annotations

import time
from typing import Any

__version__ = "0.1.0"
STARTED = time.monotonic()
"""When this program began, in seconds."""


def __getattr__(name: str) -> Any:
    # Import `load` on first use: `import rnncli` and `rnncli --help` then do not import NumPy.
    if name == "load":
        from rnncli.system.threads import prepare

        prepare()  # must run before NumPy is imported
        from rnncli.api import load

        return load
    raise AttributeError(f"module 'rnncli' has no attribute {name!r}")
