"""The kernel matrix of a GDML system as the iterative solvers see it."""

from __future__ import annotations

from torch import Tensor

from pyff import ops

__all__ = ["GdmlOperator"]


class GdmlOperator:
    """K of `ops.gdml_matrix` that is never stored: products by `ops.GdmlCovariance`, chosen columns, the diagonal.

    Args:
        x: descriptors float64 [M, D]; g: their gradients [M, D, 3]; perms: int64 [P, D] of a group.
        energies: with rows and columns for the energies, after those of the forces.
    """

    def __init__(self, x: Tensor, g: Tensor, perms: Tensor, kernel: ops.GdmlKernel, *, energies: bool = False) -> None:
        self._covariance = ops.GdmlCovariance(x, g, perms, kernel, energies=energies)
        self._arrays = x, g, perms, kernel, energies
        self.size, self.device = self._covariance.size, x.device
        self.block = 3 * self._covariance.n_atoms

    def __call__(self, v: Tensor) -> Tensor:
        return self._covariance(v)

    def columns(self, indices: Tensor) -> Tensor:
        x, g, perms, kernel, energies = self._arrays
        return ops.gdml_columns(x, g, x, g, perms, kernel, indices, energies)

    def diagonal(self) -> Tensor:
        return ops.gdml_diagonal(*self._arrays)
