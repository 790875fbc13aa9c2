"""The kernel matrix of a GDML model as panels of a Cholesky factor: half of it, written tile by tile."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

from pyff import ops
from pyff.ops.gdml import atoms_of
from pyff.solvers import PanelCholesky

__all__ = ["KernelPanels", "panel_points"]

ONE_PANEL_BYTES = 2**28  # up to here LAPACK factors the whole matrix: 10 % faster, twice the memory, 2 s without Ctrl-C
PANEL_UNKNOWNS = 512


def panel_points(n_points: int, per_point: int) -> list[int]:
    """Training points of each panel, where one has so many unknowns."""
    if 8 * (n_points * per_point) ** 2 <= ONE_PANEL_BYTES:
        return [n_points]
    size = max(1, PANEL_UNKNOWNS // per_point)
    return [min(size, n_points - start) for start in range(0, n_points, size)]


class KernelPanels:
    """K of `ops.gdml_gram`, whose arguments these are, in panels of whole training points.

    order: int64 [n], where the unknowns of the panels (forces of a panel's points, then their energies) stand in K.
    """

    def __init__(self, x: Tensor, g: Tensor, perms: Tensor, kernel: ops.GdmlKernel, energies: bool) -> None:
        self.x, self.g, self.perms, self.kernel, self.energies = x, g, perms, kernel, energies
        n_forces = 3 * atoms_of("KernelPanels", x.shape[1])
        self.per_point = n_forces + energies
        self.points = panel_points(len(x), self.per_point)
        starts = [0, *itertools.accumulate(self.points)]
        self._rows = [slice(a, b) for a, b in itertools.pairwise(starts)]
        self.order = self._order(n_forces)

    def _order(self, n_forces: int) -> Tensor:
        parts = []
        for rows in self._rows:
            parts.append(torch.arange(rows.start * n_forces, rows.stop * n_forces))
            if self.energies:
                parts.append(len(self.x) * n_forces + torch.arange(rows.start, rows.stop))
        return torch.cat(parts).to(self.x.device)

    def empty(self) -> PanelCholesky:
        """Room for the factor."""
        return PanelCholesky([m * self.per_point for m in self.points], device=self.x.device)

    def write(
        self, cholesky: PanelCholesky, progress: Callable[[str, float, float], None] = lambda stage, done, total: None
    ) -> float:
        """Write the tiles of K to a factor made by `empty`; the mean diagonal element."""
        trace = 0.0
        for i, rows in enumerate(self._rows):
            one = self.x[rows], self.g[rows]
            ops.gdml_gram(*one, self.perms, self.kernel, self.energies, out=cholesky.tile(i, i))
            for j, columns in enumerate(self._rows[i + 1 :], i + 1):
                other = self.x[columns], self.g[columns]
                ops.gdml_matrix(*one, *other, self.perms, self.kernel, self.energies, out=cholesky.tile(i, j))
            trace += float(cholesky.tile(i, i).diagonal().sum())
            progress("assembling", 1 - (1 - rows.stop / len(self.x)) ** 2, 1.0)
        return trace / cholesky.n
