"""The CUDA kernels: whether they are live, and calls on the current stream of a device.

The library lies beside `pyff._core`, which opens it on the first call; the same wheel runs without a GPU.
"""

from __future__ import annotations

from types import ModuleType

import torch
from torch import Tensor

from pyff import _core

__all__ = ["call", "is_live", "library", "neighbor_list", "status"]

# bits of NeighborFault in csrc/cuda/neighbor_list.hpp
_NEIGHBOR_FAULTS = {
    1: "pos must be finite; received NaN or infinity",
    2: "cell must have linearly independent, finite vectors along its periodic axes; received a singular cell",
    4: "pos must lie within 5e8 cells of the origin; wrap the atoms into the cell",
    8: "cutoff must be small enough for the periodic images to be searched; received {cutoff} A for a far smaller cell",
}


def is_live() -> bool:
    """Whether pyff's CUDA kernels run on a GPU of this machine."""
    return _core.cuda_available()


def status() -> str:
    """'live on <GPUs>', or 'not live: <why>' in one sentence."""
    return _core.cuda_status()


def library() -> ModuleType:
    """The native module, once its CUDA library is loaded. Raises RuntimeError with the reason if it cannot be."""
    _core.cuda_require()
    return _core


class _Scratch:
    """Memory of a call. The caching allocator may give it away at once: whoever gets it comes later in the stream."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.tensors: list[Tensor] = []

    def __call__(self, n_bytes: int) -> int:
        self.tensors.append(torch.empty(n_bytes, dtype=torch.uint8, device=self.device))
        return self.tensors[-1].data_ptr()


def _target(device: torch.device, scratch: _Scratch) -> tuple:
    if device.type != "cuda":  # only the host implementation that tests load; the stream has no meaning there
        return 0, 0, scratch
    index = torch.cuda.current_device() if device.index is None else device.index
    return index, torch.cuda.current_stream(index).cuda_stream, scratch


def call(name: str, device: torch.device, *args) -> object:
    """Runs `_core.cuda_<name>(*args)` on the device's current stream, with scratch memory from torch's allocator."""
    return getattr(library(), f"cuda_{name}")(*args, _target(device, _Scratch(device)))


def neighbor_list(pos: Tensor, cell: Tensor, pbc: Tensor, batch: Tensor, ptr: Tensor, cutoff: float) -> tuple:
    """idx_i, idx_j, shift, row_ptr, edge_rev of all pairs closer than cutoff, sorted by (i, j, shift).

    Dense tensors of one device: pos [N,3] and cell [B,3,3] float64, pbc [B,3] bool, batch [N] and ptr [B+1] int64.
    Waits for the GPU once, to learn the number of pairs. Raises ValueError that names the argument.
    """
    n_atoms, device = pos.shape[0], pos.device
    arrays = (x.data_ptr() for x in (pos, cell, pbc, batch, ptr))
    structures = (n_atoms, cell.shape[0], *arrays, float(cutoff))
    row_ptr = torch.empty(n_atoms + 1, dtype=torch.int64, device=device)
    summary = torch.empty(2, dtype=torch.int64, device=device)
    counted = _Scratch(device)
    native = library()
    work = native.cuda_neighbor_count(structures, row_ptr.data_ptr(), summary.data_ptr(), _target(device, counted))
    n_edges, faults = summary.tolist()
    for bit, text in _NEIGHBOR_FAULTS.items():
        if faults & bit:
            raise ValueError(f"neighbor_list: {text.format(cutoff=cutoff)}")
    idx_i, idx_j, edge_rev = (torch.empty(n_edges, dtype=torch.int64, device=device) for _ in range(3))
    shift = torch.empty(n_edges, 3, dtype=torch.int32, device=device)
    out = [x.data_ptr() for x in (idx_i, idx_j, shift, edge_rev)]
    native.cuda_neighbor_fill(structures, row_ptr.data_ptr(), n_edges, out, work, _target(device, _Scratch(device)))
    return idx_i, idx_j, shift, row_ptr, edge_rev
