"""The Python interface of sgdml 1.0.3 on pyff's kernels.

    from pyff.compat.sgdml.predict import GDMLPredict      # was: from sgdml.predict import GDMLPredict

Modules, classes, arguments, shapes, units and signs are sgdml's. Errors are exceptions; nothing here exits the
interpreter, forks, benchmarks for minutes or writes into the installation.
"""

from __future__ import annotations

__version__ = "1.0.3"  # of the interface
DONE, NOT_DONE = 1, 0  # what callbacks are told

__all__ = ["DONE", "NOT_DONE", "__version__"]
