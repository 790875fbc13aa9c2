"""Neighbor lists on tensors, one structure or a batch in one call."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pyff import _core
from pyff.ops import _cuda
from pyff.ops._check import require, require_one_device

__all__ = ["NeighborList", "neighbor_list"]

_SERIAL_BELOW = 512  # atoms: a second thread costs more than it saves


class NeighborList(NamedTuple):
    """Directed edges i <- j, sorted by the receiver i; every edge's reverse is present.

    The edge's vector is pos[idx_j] - pos[idx_i] + shift @ cell.
    """

    idx_i: Tensor  # int64 [E] receivers
    idx_j: Tensor  # int64 [E] senders
    shift: Tensor  # int32 [E, 3] lattice translations of the sender
    row_ptr: Tensor  # int64 [N + 1] first edge of each receiver
    edge_rev: Tensor  # int64 [E] index of the reversed edge


def neighbor_list(
    pos: Tensor,
    cell: Tensor | None = None,
    pbc: Tensor | None = None,
    cutoff: float = 5.0,
    *,
    batch: Tensor | None = None,
    ptr: Tensor | None = None,
) -> NeighborList:
    """All pairs (i, j, S) with |pos[j] - pos[i] + S @ cell| < cutoff, of one structure or of many.

    Args:
        pos: float [N, 3], A; atoms of a structure are consecutive. Searched in float64, not differentiated: see
            edge_geometry for vectors and distances that are.
        cell: float [B, 3, 3] or [3, 3], A, rows are lattice vectors; not read along non-periodic axes. None: open.
        pbc: bool [B, 3] or [3]. None: open.
        cutoff: A.
        batch: int64 [N], ascending, the structure of each atom; or
        ptr: int64 [B + 1], the first atom of each structure. Neither: one structure.

    Returns:
        NeighborList of new tensors on the device of pos.

    Raises:
        ValueError: naming the argument, for NaN or infinite input, wrong shapes, a negative cutoff, a cell that is
            singular along periodic axes, and lists that cannot fit in memory.
    """
    require("neighbor_list", "pos", pos, (None, 3), (torch.float64, torch.float32))
    pos = pos.detach().double().contiguous()
    ptr = _structure_starts(pos, batch, ptr, cell)
    n_systems = ptr.shape[0] - 1
    if pbc is None:
        pbc = torch.zeros(n_systems, 3, dtype=torch.bool, device=pos.device)
    pbc = _rows(pbc, "pbc", n_systems, (3,))
    if cell is None:
        if bool(pbc.any()):
            raise ValueError("neighbor_list: cell must be given for periodic structures; received None")
        cell = torch.zeros(n_systems, 3, 3, dtype=torch.float64, device=pos.device)
    cell = _rows(cell, "cell", n_systems, (3, 3)).double()
    pbc = pbc.bool()
    require_one_device("neighbor_list", pos=pos, cell=cell, pbc=pbc, ptr=ptr)
    if pos.is_cuda:
        systems = torch.arange(n_systems, device=pos.device)
        batch = torch.repeat_interleave(systems, ptr.diff(), output_size=pos.shape[0])
        return NeighborList(*_cuda.neighbor_list(pos, cell, pbc, batch, ptr, cutoff))
    out = []

    def allocate(n_atoms: int, n_edges: int) -> list[int]:
        i64, i32 = torch.int64, torch.int32
        out.extend((
            torch.empty(n_edges, dtype=i64), torch.empty(n_edges, dtype=i64), torch.empty(n_edges, 3, dtype=i32),
            torch.empty(n_atoms + 1, dtype=i64), torch.empty(n_edges, dtype=i64),
        ))  # fmt: skip
        return [x.data_ptr() for x in out]

    threads = 1 if pos.shape[0] < _SERIAL_BELOW else torch.get_num_threads()
    _core.neighbor_batch(
        pos.data_ptr(), cell.data_ptr(), pbc.data_ptr(), ptr.data_ptr(), n_systems, float(cutoff), threads, allocate
    )
    return NeighborList(*out)


def _rows(x: Tensor, name: str, n_systems: int, shape: tuple[int, ...]) -> Tensor:
    """x as a dense [B, *shape] tensor; one structure may leave the first axis out."""
    if isinstance(x, Tensor) and n_systems == 1 and x.dim() == len(shape):
        x = x[None]
    dtypes = (torch.bool,) if name == "pbc" else (torch.float64, torch.float32)
    require("neighbor_list", name, x, (n_systems, *shape), dtypes)
    return x.detach().contiguous()


def _structure_starts(pos: Tensor, batch: Tensor | None, ptr: Tensor | None, cell: Tensor | None) -> Tensor:
    n_atoms = pos.shape[0]
    if batch is not None and ptr is not None:
        raise ValueError("neighbor_list: batch and ptr must not be given together; received both")
    if ptr is not None:
        require("neighbor_list", "ptr", ptr, (None,), torch.int64)
        ends_fit = ptr.shape[0] > 0 and int(ptr[0]) == 0 and int(ptr[-1]) == n_atoms
        if not ends_fit or bool((ptr[1:] < ptr[:-1]).any()):
            raise ValueError(f"neighbor_list: ptr must ascend from 0 to the number of atoms, {n_atoms}")
        return ptr.contiguous()
    if batch is None:
        return torch.tensor([0, n_atoms], device=pos.device)
    require("neighbor_list", "batch", batch, (n_atoms,), torch.int64)
    if bool((batch[1:] < batch[:-1]).any()) or (n_atoms and int(batch[0]) < 0):
        raise ValueError("neighbor_list: batch must be ascending and not negative; sort the atoms by structure")
    n_systems = int(batch[-1]) + 1 if n_atoms else 0
    if isinstance(cell, Tensor) and cell.dim() == 3:
        n_systems = max(n_systems, cell.shape[0])  # the last structures may be empty
    ptr = batch.new_zeros(n_systems + 1)
    torch.cumsum(torch.bincount(batch, minlength=n_systems), 0, out=ptr[1:])
    return ptr
