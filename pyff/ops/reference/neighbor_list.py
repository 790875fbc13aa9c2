from __future__ import annotations

import torch
from torch import Tensor

from pyff.ops.neighbor_list import NeighborList

__all__ = ["neighbor_list"]


def neighbor_list(pos, cell=None, pbc=None, cutoff=5.0, *, batch=None, ptr=None) -> NeighborList:
    """Twin of pyff.ops.neighbor_list: every pair of every image; within a row ordered by j, then by shift."""
    pos = pos.detach().double()
    if ptr is None:
        batch = torch.zeros(pos.shape[0], dtype=torch.int64) if batch is None else batch
        ptr = torch.cat([torch.zeros(1, dtype=torch.int64), torch.bincount(batch).cumsum(0)])
    n_systems = ptr.shape[0] - 1
    cell = torch.zeros(n_systems, 3, 3, dtype=torch.float64) if cell is None else cell.double().reshape(-1, 3, 3)
    pbc = torch.zeros(n_systems, 3, dtype=torch.bool) if pbc is None else pbc.reshape(-1, 3)
    edges = [
        _edges(pos[ptr[b] : ptr[b + 1]], cell[b], pbc[b], cutoff) + torch.tensor([ptr[b], ptr[b], 0, 0, 0])
        for b in range(n_systems)
    ]
    edges = torch.cat(edges) if edges else torch.zeros(0, 5, dtype=torch.int64)
    rows = {tuple(e): k for k, e in enumerate(edges.tolist())}
    edge_rev = [rows[j, i, -a, -b, -c] for i, j, a, b, c in rows]
    counts = torch.bincount(edges[:, 0], minlength=pos.shape[0])
    row_ptr = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    return NeighborList(
        edges[:, 0], edges[:, 1], edges[:, 2:].int(), row_ptr, torch.tensor(edge_rev, dtype=torch.int64)
    )


def _edges(pos: Tensor, cell: Tensor, pbc: Tensor, cutoff: float) -> Tensor:
    """[E, 5]: i, j and shift, in lexicographic order."""
    shifts = _shifts(pos, cell, pbc, cutoff)
    translation = shifts.double() @ torch.where(pbc[:, None], cell, 0.0)
    vec = (pos[None, :] - pos[:, None])[:, :, None] + translation  # [N, N, S, 3]
    near = torch.linalg.vector_norm(vec, dim=-1) < cutoff
    n = torch.arange(pos.shape[0])
    near[n, n] &= (shifts != 0).any(1)
    i, j, s = torch.nonzero(near, as_tuple=True)
    return torch.cat([torch.stack([i, j], 1), shifts[s]], 1)


def _shifts(pos: Tensor, cell: Tensor, pbc: Tensor, cutoff: float) -> Tensor:
    """Lattice translations that can bring two atoms within the cutoff: |f_j - f_i + S| <= cutoff / height."""
    if not pbc.any() or pos.shape[0] == 0:
        return torch.zeros(1, 3, dtype=torch.int64)
    periodic = cell[pbc]  # [p, 3]
    dual = torch.linalg.pinv(periodic)  # columns: gradients of the fractional coordinates
    fractional = pos @ dual
    reach = (fractional.max(0).values - fractional.min(0).values) + cutoff * torch.linalg.vector_norm(dual, dim=0)
    count = torch.zeros(3, dtype=torch.int64)
    count[pbc] = torch.ceil(reach).long()
    return torch.cartesian_prod(*[torch.arange(-int(m), int(m) + 1) for m in count])
