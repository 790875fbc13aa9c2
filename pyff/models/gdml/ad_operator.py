"""The matrix of a kernel by automatic differentiation as pyff.solvers see it: products, columns, diagonal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from pyff.models.gdml.ad import ForceKernel

__all__ = ["ForceOperator"]


class ForceOperator:
    """K [3N M, 3N M] of training geometries [M, N, 3], never formed."""

    def __init__(self, kernel: ForceKernel, pos: Tensor) -> None:
        self.kernel, self.pos = kernel, pos
        self.size, self.block, self.device = pos.numel(), pos[0].numel(), pos.device

    def __call__(self, v: Tensor) -> Tensor:
        return self.kernel.expansion(self.pos, v.reshape(self.pos.shape))(self.pos)[1].reshape(-1)

    def columns(self, indices: Tensor) -> Tensor:
        """K[:, indices], from the columns of the geometries they belong to, a geometry at a time."""
        out = self.pos.new_empty(self.size, len(indices))
        owner = indices // self.block
        for point in owner.unique().tolist():
            mine = (owner == point).nonzero()[:, 0]
            whole = self.kernel.matrix(self.pos, self.pos[point : point + 1])
            out[:, mine] = whole[:, indices[mine] % self.block]
        return out

    def diagonal(self) -> Tensor:
        return torch.cat([self.kernel.matrix(p, p).diagonal() for p in self.pos.split(1)])
