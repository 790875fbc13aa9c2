"""Linear algebra on matrices that are asked for in parts, or never formed; knows nothing of models."""

from __future__ import annotations

from pyff.solvers.cholesky import jittered_cholesky
from pyff.solvers.conjugate_gradients import ConjugateGradients, effectiveness
from pyff.solvers.iterative import solve_iteratively
from pyff.solvers.nystroem import KINDS, NystroemPreconditioner, nystroem
from pyff.solvers.operators import DenseOperator, Operator
from pyff.solvers.panel_cholesky import NotPositiveDefiniteError, PanelCholesky
from pyff.solvers.partial_cholesky import Factor, partial_cholesky
from pyff.solvers.settings import IterativeSettings, Progress, Solution
from pyff.solvers.size import columns_in_memory, default_columns, preconditioner_bytes

__all__ = [
    "KINDS",
    "ConjugateGradients",
    "DenseOperator",
    "Factor",
    "IterativeSettings",
    "NotPositiveDefiniteError",
    "NystroemPreconditioner",
    "Operator",
    "PanelCholesky",
    "Progress",
    "Solution",
    "columns_in_memory",
    "default_columns",
    "effectiveness",
    "jittered_cholesky",
    "nystroem",
    "partial_cholesky",
    "preconditioner_bytes",
    "solve_iteratively",
]
