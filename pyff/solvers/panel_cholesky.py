"""Cholesky factor of a large symmetric matrix that is written tile by tile, in the memory of one of its triangles.

    A + lam I = U^T U,    A x = b:  U^T z = b, U x = z

The unknowns are cut into panels. Panel i keeps the rows of its unknowns from the diagonal on, in one array; tiles of A
are written there, and the factor overwrites them:

    A_ij -= sum_{k<i} U_ki^T U_kj        U_ii = chol(A_ii)        U_ij = U_ii^-T A_ij

With one panel this is LAPACK's routine, in place.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from pyff.errors import PyffError

__all__ = ["NotPositiveDefiniteError", "PanelCholesky"]


class NotPositiveDefiniteError(PyffError, ArithmeticError):
    """A pivot that is not positive: the matrix has no such factor in float64."""


class PanelCholesky:
    """Upper Cholesky factor of a symmetric matrix of len(sizes) x len(sizes) tiles.

    Args:
        sizes: number of unknowns of each panel.
        device: of the matrix, which is float64.

    Raises:
        ValueError: sizes that are empty or not positive.
    """

    def __init__(self, sizes: Sequence[int], *, device: torch.device | str = "cpu") -> None:
        if not sizes or min(sizes) < 1:
            raise ValueError(f"sizes must be positive numbers of unknowns, at least one; received {list(sizes)}")
        self.starts = [0, *itertools.accumulate(sizes)]
        self._panels = [
            torch.empty(size, self.n - start, dtype=torch.float64, device=device)
            for start, size in zip(self.starts, sizes)
        ]

    @property
    def n(self) -> int:
        """Number of unknowns."""
        return self.starts[-1]

    @property
    def n_panels(self) -> int:
        return len(self._panels)

    def tile(self, i: int, j: int) -> Tensor:
        """The place of tile (i, j), i <= j, to write A to; of diagonal tiles the upper triangle is read."""
        return self._panels[i][:, self.starts[j] - self.starts[i] : self.starts[j + 1] - self.starts[i]]

    def factor(self, ridge: float = 0.0) -> Iterator[int]:
        """Replace A by the factor of A + ridge I; yields the number of panels done, so that a caller can stop.

        Raises NotPositiveDefiniteError where a pivot is not positive; the tiles must then be written again.
        """
        for i, panel in enumerate(self._panels):
            size = len(panel)
            for k in range(i):
                above = self._panels[k][:, self.starts[i] - self.starts[k] :]
                panel.addmm_(above[:, :size].T, above, alpha=-1)
            diagonal = panel[:, :size]
            diagonal.diagonal().add_(ridge)
            _cholesky_in_place(diagonal, self.starts[i])
            if panel.shape[1] > size:
                panel[:, size:] = torch.linalg.solve_triangular(diagonal.T, panel[:, size:], upper=False)
            yield i + 1

    def half_solve(self, b: Tensor) -> Tensor:
        """U^-T b, b [n] or [n, columns], once `factor` has run to its end; its squared length is b^T A^-1 b."""
        if b.shape[0] != self.n:
            raise ValueError(f"b must have {self.n} rows; received shape {tuple(b.shape)}")
        z = b.clone(memory_format=torch.contiguous_format)
        for panel, here, below in self._parts(z):
            here.copy_(torch.linalg.solve_triangular(panel[:, : len(here)].T, here, upper=False))
            below.addmm_(panel[:, len(here) :].T, here, alpha=-1)
        return z

    def solve(self, b: Tensor) -> Tensor:
        """x of A x = b, b [n] or [n, columns], once `factor` has run to its end."""
        x = self.half_solve(b)
        for panel, here, below in reversed(self._parts(x)):
            here.addmm_(panel[:, len(here) :], below, alpha=-1)
            here.copy_(torch.linalg.solve_triangular(panel[:, : len(here)], here, upper=True))
        return x

    def _parts(self, x: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Of every panel: itself, the rows of x of its unknowns, and those of the panels after it."""
        rows = x.view(self.n, -1)
        return [(p, rows[a:b], rows[b:]) for p, a, b in zip(self._panels, self.starts, self.starts[1:])]


def _cholesky_in_place(a: Tensor, before: int) -> None:
    """The upper factor of a in its upper triangle; zeros below. before: unknowns eliminated already."""
    # to LAPACK, which wants contiguous columns, the rows of a are the columns of a lower triangle
    columns = a.T
    info = torch.empty((), dtype=torch.int32, device=a.device)
    torch.linalg.cholesky_ex(columns, out=(columns, info))
    if info.item():
        raise NotPositiveDefiniteError(
            f"the matrix must be positive definite; its leading minor of order {before + info.item()} is not. Add a "
            "larger ridge"
        )
