"""Reuse of a neighbor list along a trajectory."""

from __future__ import annotations

import torch
from torch import Tensor

from pyff import _core
from pyff.ops._check import require, require_device
from pyff.ops.neighbor_list import NeighborList, neighbor_list

__all__ = ["VerletList", "within_cutoff"]

_COMPLETE, _WRAPPED, _OUTDATED = 0, 1, 2


class VerletList:
    """A list of one structure built at cutoff + skin, reused while it provably holds every pair within the cutoff.

    With R0 and H0 the positions and cell of the last build, F the deformation that takes H0 to H, and
    u_i = R_i - m_i H - R0_i F (integers m_i absorb atoms that were wrapped in between), the list is complete while
    sigma_min(F) (cutoff + skin) - 2 max_i |u_i - mean(u)| >= cutoff. Otherwise, and when the number of atoms or pbc
    changes, it is rebuilt.

    It pays where preparing a new list costs more than reading longer ones, for instance where buffers or compiled code
    hang on the list. It does not where a model's cost follows the number of edges: the skin adds
    ((cutoff + skin) / cutoff)^3 - 1 of them, a third at 5 A + 0.5 A, and dropping those with `within_cutoff` costs more
    than a fresh search. pyff's own calculator searches at every step, because that is cheaper.

    Args:
        cutoff: A.
        skin: A; 0 rebuilds at every change.
    """

    def __init__(self, cutoff: float, skin: float = 0.5) -> None:
        for name, value in (("cutoff", cutoff), ("skin", skin)):
            if not 0 <= value < float("inf"):
                raise ValueError(f"{name} must be a finite number >= 0; received {value}")
        self.cutoff, self.skin = float(cutoff), float(skin)
        self._neighbors: NeighborList | None = None

    def update(self, pos: Tensor, cell: Tensor, pbc: Tensor) -> tuple[NeighborList, bool]:
        """(edges for these positions, whether the list was rebuilt).

        pos float64 [N,3], cell float64 [3,3], pbc bool [3], on the CPU. The edges hold every pair within the cutoff
        and some within cutoff + skin (models weigh those with zero; `within_cutoff` drops them), with the shifts of
        the positions as given. Their order changes with rebuilds only. The tensors may be shared between calls: do
        not write to them.
        """
        require_device("VerletList.update", torch.device("cpu"), pos=pos, cell=cell, pbc=pbc)
        require("VerletList.update", "pos", pos, (None, 3), torch.float64)
        require("VerletList.update", "cell", cell, (3, 3), torch.float64)
        require("VerletList.update", "pbc", pbc, (3,), torch.bool)
        pos, cell, pbc = pos.detach().contiguous(), cell.detach().contiguous(), pbc.contiguous()
        if self._neighbors is not None and pos.shape == self._pos.shape and torch.equal(pbc, self._pbc):
            jump = torch.empty(pos.shape, dtype=torch.int32)
            state = _core.verlet_state(
                pos.shape[0], self._pos.data_ptr(), self._cell.data_ptr(), self._pbc.data_ptr(), self.cutoff,
                self.skin, pos.data_ptr(), cell.data_ptr(), jump.data_ptr(),
            )  # fmt: skip
            if state != _OUTDATED:
                return (self._neighbors if state == _COMPLETE else _shifted(self._neighbors, jump)), False
        self._neighbors = neighbor_list(pos, cell, pbc, self.cutoff + self.skin)
        self._pos, self._cell, self._pbc = pos.clone(), cell.clone(), pbc.clone()
        return self._neighbors, True


def _shifted(neighbors: NeighborList, jump: Tensor) -> NeighborList:
    shift = neighbors.shift + jump[neighbors.idx_i] - jump[neighbors.idx_j]
    return neighbors._replace(shift=shift)


def within_cutoff(neighbors: NeighborList, pos: Tensor, cell: Tensor, cutoff: float) -> NeighborList:
    """The edges of one structure that are shorter than the cutoff, in the same order.

    For code that needs the kept list and must not see its skin; else a new `neighbor_list` is several times cheaper.
    """
    vec = pos[neighbors.idx_j] - pos[neighbors.idx_i] + neighbors.shift.to(pos.dtype) @ cell
    keep = torch.linalg.vector_norm(vec, dim=1) < cutoff
    keep &= keep[neighbors.edge_rev]  # both directions or none, however the norm was rounded
    number = torch.cumsum(keep, 0) - 1
    row_ptr = torch.zeros_like(neighbors.row_ptr)
    torch.cumsum(torch.bincount(neighbors.idx_i[keep], minlength=row_ptr.shape[0] - 1), 0, out=row_ptr[1:])
    return NeighborList(
        neighbors.idx_i[keep], neighbors.idx_j[keep], neighbors.shift[keep], row_ptr,
        number[neighbors.edge_rev[keep]],
    )  # fmt: skip
