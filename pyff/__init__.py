"""pyff: machine-learned force fields with native kernels, from labels to molecular dynamics.

    model = pyff.load("model.safetensors")
    atoms.calc = pyff.Calculator("model.safetensors")
    i, j, d = pyff.neighbor_list("ijd", atoms, cutoff=5.0)

Importing pyff is cheap: torch, scipy and ase are imported by the functions that need them.
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec

_HOME = {  # public name -> module that defines it
    "Calculator": "pyff.calculators",
    "System": "pyff.batch",
    "GraphBatch": "pyff.batch",
    "Output": "pyff.batch",
    "Needs": "pyff.batch",
    "finetune": "pyff.train.finetune",
    "load": "pyff.models.file",
    "save": "pyff.models.file",
    "neighbor_list": "pyff.neighbors",
}
_SUBMODULES = (
    "analysis", "batch", "calculators", "cli", "compat", "data", "interfaces", "md", "models", "neighbors", "nn", "ops",
    "sampling", "solvers", "testing", "train", "units",
)  # fmt: skip

__all__ = ["Calculator", "GraphBatch", "Needs", "Output", "System", "finetune", "load", "neighbor_list", "save"]

if find_spec("pyff._core") is None:
    _message = (
        f"pyff's native module is missing in {__path__[0]}: Python found a source tree, not an installed package; "
        "run `pip install .` in the source tree and start Python in another folder."
    )
    # `python -m pyff` should print the sentence alone, without a traceback
    raise SystemExit(_message) if sys.argv[:1] == ["-m"] else ImportError(_message)

from pyff._core import __version__ as __version__  # noqa: E402


def __getattr__(name: str):
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    if name in _SUBMODULES:
        return importlib.import_module(f"pyff.{name}")
    raise AttributeError(f"module 'pyff' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_SUBMODULES, "__version__"})
