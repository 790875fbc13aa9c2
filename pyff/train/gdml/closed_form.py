"""The linear system of a GDML model solved by Cholesky, in the memory of its matrix or of half of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pyff.models.gdml.panels import KernelPanels, panel_points
from pyff.solvers import NotPositiveDefiniteError
from pyff.train.gdml.operator import GdmlOperator
from pyff.train.gdml.system import LinearSystem

__all__ = ["ClosedForm", "closed_form_bytes", "solve_closed_form"]

JITTER = 10.0  # factor of the ridge after a failure
LARGEST_RIDGE = 1e-4  # of the mean diagonal element: beyond, the labels would be smoothed visibly

Progress = Callable[[str, float, float], None]


@dataclass(frozen=True)
class ClosedForm:
    """beta [n], and the ridge it was found with."""

    beta: Tensor
    lam: float


def closed_form_bytes(n_points: int, per_point: int) -> int:
    """Memory of `solve_closed_form`: the matrix and its work space."""
    sizes = [m * per_point for m in panel_points(n_points, per_point)]
    n = n_points * per_point
    left = [n - sum(sizes[:i]) for i in range(len(sizes))]
    matrix = sum(size * rest for size, rest in zip(sizes, left))
    work = sizes[0] * n if len(sizes) > 1 else 0  # a triangular solve is not in place
    return 8 * (matrix + work + 8 * n)


def solve_closed_form(
    system: LinearSystem, progress: Progress = lambda stage, done, total: None, say: Callable[[str], None] = print
) -> ClosedForm:
    """Solve (K + lam I) beta = y, with one step of iterative refinement.

    A matrix that has no Cholesky factor in float64 (points that nearly coincide) is tried again with a larger ridge,
    which `say` is told.

    Raises:
        NotPositiveDefiniteError: also with the largest ridge.
    """
    panels = KernelPanels(system.x, system.g, system.perms, system.kernel, system.energies)
    cholesky, lam = panels.empty(), system.lam
    while True:
        largest = panels.write(cholesky, progress)
        try:
            for done in cholesky.factor(lam):
                share = done / cholesky.n_panels
                progress("factoring", share**2 * (3 - 2 * share), 1.0)  # panels in the middle have most to subtract
            break
        except NotPositiveDefiniteError:
            if not lam < LARGEST_RIDGE * largest:  # also where it is NaN
                raise
            lam = max(lam * JITTER, largest * torch.finfo(torch.float64).eps)
            say(f"the kernel matrix is not positive definite in double precision; trying lambda = {lam:.1e}")
    beta = torch.empty_like(system.y)
    beta[panels.order] = cholesky.solve(system.y[panels.order])
    # MKL's factor is off by ten times its rounding: a step of refinement takes most of what that costs away
    product = GdmlOperator(system.x, system.g, system.perms, system.kernel, energies=system.energies)
    residual = system.y - product(beta) - lam * beta
    beta[panels.order] += cholesky.solve(residual[panels.order])
    return ClosedForm(beta, lam)
