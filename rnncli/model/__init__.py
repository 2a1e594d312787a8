"""The language model: parameters, cells, output layers, and the engines that run them.

`LanguageModel` joins input rows, a stack of cells and an output layer; `config/build.py` makes one from a config.
Nothing here reads a file.
"""

from __future__ import annotations

from rnncli.model.architecture import Architecture, State
from rnncli.model.language_model import LanguageModel, Pass
from rnncli.model.noise import Noise
from rnncli.model.parameters import Gradients, Parameters

__all__ = ["Architecture", "Gradients", "LanguageModel", "Noise", "Parameters", "Pass", "State"]
