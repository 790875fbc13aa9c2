"""Checks at the public border of the ops, and what goes down to the native module."""

from __future__ import annotations

import logging
from functools import partial

import torch
from torch import Tensor

from pyff import _core

__all__ = [
    "address",
    "feature_kernel",
    "graph_args",
    "kernel",
    "require",
    "require_device",
    "require_graph",
    "runs_on_twin",
    "thread_sum",
]

_SUFFIX = {torch.float32: "float32", torch.float64: "float64"}
_SAID: set[str] = set()


def require(op: str, name: str, x: Tensor, shape: tuple, dtype: torch.dtype | tuple[torch.dtype, ...]) -> None:
    """x must be a plain dense tensor of the dtype and shape (None: any length), on the CPU or a CUDA device."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{op}: {name} must be a torch.Tensor; received {type(x).__name__}")
    dtypes = dtype if isinstance(dtype, tuple) else (dtype,)
    if x.dtype not in dtypes:
        wanted = " or ".join(str(d).removeprefix("torch.") for d in dtypes)
        raise TypeError(f"{op}: {name} must be {wanted}; received {x.dtype}. Convert it with .to()")
    if x.shape != shape and not _fits(x.shape, shape):
        text = ", ".join("any" if s is None else str(s) for s in shape)
        raise ValueError(f"{op}: {name} must have shape ({text}); received {tuple(x.shape)}")
    if x.device.type not in ("cpu", "cuda"):
        raise RuntimeError(f"{op}: {name} is on {x.device}, for which there is no kernel; move it with .cpu()")
    if x.layout is not torch.strided or x.is_conj() or x.is_neg():
        raise TypeError(f"{op}: {name} must be a dense tensor without conjugate or negative bits")


def _fits(sizes: torch.Size, shape: tuple) -> bool:
    if len(sizes) != len(shape):
        return False
    for size, wanted in zip(sizes, shape):  # noqa: SIM110  a generator takes longer than the loop
        if wanted is not None and size != wanted:
            return False
    return True


def require_graph(op: str, row_ptr: Tensor, idx_i: Tensor, idx_j: Tensor, edge_rev: Tensor) -> tuple[int, int]:
    """Checks dtypes and shapes of a graph; returns (atoms, edges). Index values are trusted: they come from
    `neighbor_list` or a collate function, and a full check would cost as much as the op."""
    require(op, "row_ptr", row_ptr, (None,), torch.int64)
    n_edges = idx_j.shape[0] if isinstance(idx_j, Tensor) and idx_j.dim() == 1 else None
    for name, x in (("idx_i", idx_i), ("idx_j", idx_j), ("edge_rev", edge_rev)):
        require(op, name, x, (n_edges,), torch.int64)
    # reading the last entry would wait for a GPU
    if row_ptr.shape[0] < 1 or (not row_ptr.is_cuda and int(row_ptr[-1]) != n_edges):
        raise ValueError(f"{op}: row_ptr must start at 0 and end at the number of edges, {n_edges}")
    return row_ptr.shape[0] - 1, n_edges


def address(x: Tensor | None) -> int:
    """Where the data of a tensor begin, for a native function; 0, its null pointer, where there is no tensor."""
    return 0 if x is None else x.data_ptr()


def graph_args(row_ptr: Tensor, idx_i: Tensor, idx_j: Tensor, edge_rev: Tensor) -> tuple:
    """A graph as native functions take it: numbers of atoms and of edges, then the addresses of the four arrays. The
    caller keeps the tensors alive during the call."""
    return (
        row_ptr.shape[0] - 1, idx_j.shape[0], row_ptr.data_ptr(), idx_i.data_ptr(), idx_j.data_ptr(),
        edge_rev.data_ptr(),
    )  # fmt: skip


def kernel(name: str, device: torch.device):
    """The native function `name` on this device."""
    if device.type == "cpu":
        return getattr(_core, name)
    from pyff.ops import _cuda

    return partial(_cuda.call, name, device)


def feature_kernel(name: str, dtype: torch.dtype, device: torch.device):
    """The native function `name` for features of this dtype, on this device."""
    return kernel(f"{name}_{_SUFFIX[dtype]}", device)


def require_device(op: str, device: torch.device, **tensors: Tensor | None) -> None:
    """All tensors must be where the first argument is; what is no tensor is left to `require`."""
    for name, x in tensors.items():
        if isinstance(x, Tensor) and x.device != device:
            raise ValueError(f"{op}: {name} must be on {device} like the others; received a tensor on {x.device}")


def runs_on_twin(op: str, x: Tensor) -> bool:
    """Whether the op has no kernel for x's device, so that its plain-torch twin runs; said once per op."""
    if x.device.type == "cpu":
        return False
    if op not in _SAID:
        _SAID.add(op)
        logging.getLogger("pyff").info("%s runs as plain torch operations on %s", op, x.device)
    return True


def thread_sum(partial: Tensor) -> Tensor:
    """The sum of the threads' results [P, ...]; that of one thread is not copied."""
    return partial[0] if len(partial) == 1 else partial.sum(0)
