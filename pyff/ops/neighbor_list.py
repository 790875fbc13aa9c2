"""Neighbor lists on tensors, one structure or a batch in one call."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from pyff import _core
from pyff.ops._check import address, require, require_device

__all__ = ["NeighborList", "neighbor_list"]

_FLOATS = (torch.float64, torch.float32)
_SERIAL_BELOW = 512  # atoms: a second thread costs more than it saves
_MOST_SYSTEMS = 2**24  # a larger number in batch is a mistake, not a batch


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
        ValueError: naming the argument, for NaN or infinite input, wrong shapes, tensors on different devices, a
            negative cutoff, batch or ptr that do not ascend, a cell that is singular along periodic axes, and lists
            that cannot fit in memory.
    """
    require("neighbor_list", "pos", pos, (None, 3), _FLOATS)
    require_device("neighbor_list", pos.device, cell=cell, pbc=pbc, batch=batch, ptr=ptr)
    n_atoms = pos.shape[0]
    n_systems = _system_count(n_atoms, cell, batch, ptr)
    pos = _dense(pos, torch.float64)
    ptr, batch = (None if x is None else _dense(x, torch.int64) for x in (ptr, batch))
    if pbc is not None:
        pbc = _per_system("pbc", pbc, n_systems, (3,), torch.bool)
    if cell is not None:
        cell = _per_system("cell", cell, n_systems, (3, 3), _FLOATS)
    elif pbc is not None and bool(pbc.any()):
        raise ValueError("neighbor_list: cell must be given for periodic structures; received None")
    if pos.is_cuda:
        return _on_cuda(pos, cell, pbc, batch, ptr, n_systems, cutoff)
    threads = 1 if n_atoms < _SERIAL_BELOW else torch.get_num_threads()
    arrays = _core.neighbor_batch(
        n_atoms, n_systems, pos.data_ptr(), address(cell), address(pbc), address(ptr), address(batch), cutoff, threads
    )
    return NeighborList(*map(torch.from_numpy, arrays))


def _on_cuda(pos, cell, pbc, batch, ptr, n_systems: int, cutoff: float) -> NeighborList:
    from pyff.ops import _cuda

    if not 0 <= cutoff < math.inf:
        raise ValueError(f"neighbor_list: cutoff must be finite and not negative; received {cutoff}")
    _require_ascending(batch, ptr, pos.shape[0], n_systems)
    on = {"device": pos.device}
    if batch is None and ptr is None:
        ptr = torch.tensor([0, pos.shape[0]], **on)
    if ptr is None:
        counts = torch.bincount(batch, minlength=n_systems)
        ptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    if batch is None:
        batch = torch.repeat_interleave(torch.arange(n_systems, **on), ptr[1:] - ptr[:-1])
    if cell is None:
        cell = torch.zeros(n_systems, 3, 3, dtype=torch.float64, **on)
    if pbc is None:
        pbc = torch.zeros(n_systems, 3, dtype=torch.bool, **on)
    cell = cell.masked_fill(~pbc[:, :, None], 0.0)
    return NeighborList(*_cuda.neighbor_list(pos.detach(), cell, pbc, batch, ptr, cutoff))


def _require_ascending(batch: Tensor | None, ptr: Tensor | None, n_atoms: int, n_systems: int) -> None:
    """What the native code checks itself on the CPU; kernels would read and write outside of their arrays."""
    if ptr is not None and not bool((ptr[0] == 0) & (ptr[-1] == n_atoms) & (ptr.diff() >= 0).all()):
        raise ValueError(f"neighbor_list: ptr must ascend from 0 to the number of atoms, {n_atoms}")
    if batch is not None and not bool(((batch >= 0) & (batch < n_systems)).all() & (batch.diff() >= 0).all()):
        raise ValueError(
            f"neighbor_list: batch must be ascending and in 0..{n_systems - 1}; sort the atoms by structure"
        )


def _dense(x: Tensor, dtype: torch.dtype) -> Tensor:
    """x itself where it is what the native code reads; only its memory is used, so gradients need no detaching."""
    return x if x.dtype == dtype and x.is_contiguous() else x.detach().to(dtype).contiguous()


def _per_system(name: str, x: Tensor, n_systems: int, shape: tuple[int, ...], dtypes) -> Tensor:
    """x as a dense [B, *shape] tensor; one structure may leave the first axis out."""
    if isinstance(x, Tensor) and n_systems == 1 and x.dim() == len(shape):
        x = x[None]
    require("neighbor_list", name, x, (n_systems, *shape), dtypes)
    return _dense(x, torch.bool if dtypes is torch.bool else torch.float64)


def _system_count(n_atoms: int, cell: Tensor | None, batch: Tensor | None, ptr: Tensor | None) -> int:
    if batch is None and ptr is None:
        return 1
    if batch is None:
        require("neighbor_list", "ptr", ptr, (None,), torch.int64)
        if ptr.shape[0] == 0:
            raise ValueError("neighbor_list: ptr must hold at least one entry, 0; received none")
        return ptr.shape[0] - 1
    if ptr is not None:
        raise ValueError("neighbor_list: batch and ptr must not be given together; received both")
    require("neighbor_list", "batch", batch, (n_atoms,), torch.int64)
    if isinstance(cell, Tensor) and cell.dim() == 3:
        return cell.shape[0]  # the last structures may be empty
    last = int(batch[-1]) if n_atoms else -1
    if n_atoms and not 0 <= int(batch[0]) <= last < _MOST_SYSTEMS:
        raise ValueError(
            f"neighbor_list: batch must be ascending and in 0..{_MOST_SYSTEMS - 1}; received {int(batch[0])} for the "
            f"first atom and {last} for the last"
        )
    return last + 1
