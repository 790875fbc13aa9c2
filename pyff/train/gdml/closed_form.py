"""The linear system of a GDML model solved by Cholesky, in the memory of its matrix or of half of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pyff import ops
from pyff.solvers import NotPositiveDefiniteError, PanelCholesky
from pyff.train.gdml.system import LinearSystem

__all__ = ["ClosedForm", "closed_form_bytes", "solve_closed_form"]

ONE_PANEL_BYTES = 2**28  # up to here LAPACK factors the whole matrix: 10 % faster, twice the memory, 2 s without Ctrl-C
PANEL_UNKNOWNS = 512
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


def panel_points(n_points: int, per_point: int) -> list[int]:
    """Training points of each panel."""
    if 8 * (n_points * per_point) ** 2 <= ONE_PANEL_BYTES:
        return [n_points]
    size = max(1, PANEL_UNKNOWNS // per_point)
    return [min(size, n_points - start) for start in range(0, n_points, size)]


def solve_closed_form(
    system: LinearSystem, progress: Progress = lambda stage, done, total: None, say: Callable[[str], None] = print
) -> ClosedForm:
    """Solve (K + lam I) beta = y.

    A matrix that has no Cholesky factor in float64 (points that nearly coincide) is tried again with a larger ridge,
    which `say` is told.

    Raises:
        NotPositiveDefiniteError: also with the largest ridge.
    """
    points = panel_points(system.n_points, system.per_point)
    cholesky = PanelCholesky([m * system.per_point for m in points], device=system.x.device)
    lam = system.lam
    while True:
        largest = assemble(system, points, cholesky, progress)
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
    order = unknown_order(system, points)
    beta = torch.empty_like(system.y)
    beta[order] = cholesky.solve(system.y[order])
    return ClosedForm(beta, lam)


def assemble(system: LinearSystem, points: list[int], cholesky: PanelCholesky, progress: Progress) -> float:
    """Write the tiles of K; the mean diagonal element."""
    s, edges, trace = system, [0, *itertools.accumulate(points)], 0.0
    slices = [slice(a, b) for a, b in itertools.pairwise(edges)]
    for i, rows in enumerate(slices):
        one = s.x[rows], s.g[rows]
        ops.gdml_gram(*one, s.perms, s.kernel, s.energies, out=cholesky.tile(i, i))
        for j in range(i + 1, len(slices)):
            other = s.x[slices[j]], s.g[slices[j]]
            ops.gdml_matrix(*one, *other, s.perms, s.kernel, s.energies, out=cholesky.tile(i, j))
        trace += float(cholesky.tile(i, i).diagonal().sum())
        progress("assembling", 1 - (1 - rows.stop / s.n_points) ** 2, 1.0)
    return trace / s.n_unknowns


def unknown_order(system: LinearSystem, points: list[int]) -> Tensor:
    """Indices into y of the unknowns as the panels hold them: forces of a panel's points, then their energies."""
    u = system.per_point - system.energies
    n_forces, order, start = system.n_points * u, [], 0
    for m in points:
        order.append(torch.arange(start * u, (start + m) * u))
        if system.energies:
            order.append(torch.arange(n_forces + start, n_forces + start + m))
        start += m
    return torch.cat(order).to(system.y.device)
