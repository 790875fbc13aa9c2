"""Edge vectors and distances."""

from __future__ import annotations

import torch
from torch import Tensor

from pyff import _core
from pyff.ops import reference
from pyff.ops._check import address, graph_args, require, require_device, require_graph, runs_on_twin
from pyff.ops._register import Triple, differentiable_op

__all__ = ["edge_geometry", "strained"]

# positions of the arrays that the native function takes
_ARRAYS = (
    "batch", "shift", "pos", "cell", "vec", "distance", "grad_vec", "grad_distance", "grad_pos", "grad_cell",
    "cot_pos", "cot_cell", "out_vec", "out_distance",
)  # fmt: skip


def _call(order: int, args, **arrays: Tensor | None) -> None:
    pos, cell, shift, row_ptr, idx_i, idx_j, edge_rev, batch = args
    arrays |= {"pos": pos, "cell": cell, "shift": shift, "batch": batch}
    _core.edge_geometry(
        order, graph_args(row_ptr, idx_i, idx_j, edge_rev), cell.shape[0],
        [address(arrays.get(name)) for name in _ARRAYS], torch.get_num_threads(),
    )  # fmt: skip


def _outputs(pos: Tensor, cell: Tensor, shift: Tensor, *_) -> tuple[Tensor, Tensor]:
    return pos.new_empty(shift.shape[0], 3), pos.new_empty(shift.shape[0])


def _dense(args):
    return tuple(x.contiguous() for x in args)


def _forward(*args):
    args = _dense(args)
    vec, distance = _outputs(*args)
    _call(0, args, vec=vec, distance=distance)
    return vec, distance


def _backward(grads, args, needs):
    args = _dense(args)
    vec, distance = _forward(*args)
    grad_vec, grad_distance = (None if g is None else g.contiguous() for g in grads)
    out = [torch.empty_like(x) if n else None for x, n in zip(args, needs)]
    _call(1, args, vec=vec, distance=distance, grad_vec=grad_vec, grad_distance=grad_distance,
          grad_pos=out[0], grad_cell=out[1])  # fmt: skip
    return out


def _double_backward(cotangents, grads, args, need_grads, need_args):
    args = _dense(args)
    vec, distance = _forward(*args)
    cot_pos, cot_cell = (torch.zeros_like(x) if c is None else c.contiguous() for c, x in zip(cotangents, args))
    out_vec = torch.empty_like(vec) if need_grads[0] else None
    out_distance = torch.empty_like(distance) if need_grads[1] else None
    grad_pos, grad_cell = (torch.empty_like(x) if n else None for x, n in zip(args, need_args))
    grad_distance = None if grads[1] is None else grads[1].contiguous()
    _call(2, args, vec=vec, distance=distance, grad_distance=grad_distance, cot_pos=cot_pos, cot_cell=cot_cell,
          out_vec=out_vec, out_distance=out_distance, grad_pos=grad_pos, grad_cell=grad_cell)  # fmt: skip
    return (out_vec, out_distance), (grad_pos, grad_cell)


_op = differentiable_op(
    Triple(
        name="edge_geometry",
        schema="Tensor pos, Tensor cell, Tensor shift, Tensor row_ptr, Tensor idx_i, Tensor idx_j, Tensor edge_rev, "
        "Tensor batch",
        n_diff=2,
        n_out=2,
        forward=_forward,
        fake=_outputs,
        backward=_backward,
        double_backward=_double_backward,
    )
)


def strained(pos: Tensor, cell: Tensor, strain: Tensor, batch: Tensor) -> tuple[Tensor, Tensor]:
    """pos (1 + strain) and cell (1 + strain), strain [B,3,3] of each structure."""
    deformation = torch.eye(3, dtype=strain.dtype, device=strain.device) + strain
    return torch.bmm(pos[:, None, :], deformation[batch])[:, 0], cell @ deformation


def edge_geometry(
    pos: Tensor, cell: Tensor, shift: Tensor, row_ptr: Tensor, idx_i: Tensor, idx_j: Tensor, edge_rev: Tensor,
    batch: Tensor, *, strain: Tensor | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Vectors and distances of directed edges i <- j.

        r_e = (pos[j] - pos[i] + shift_e @ cell[b]) (1 + strain[b]),   d_e = |r_e|

    pos [N,3], cell [B,3,3], strain [B,3,3] are float64 and differentiable to second order; shift [E,3] is int32;
    row_ptr [N+1], idx_i, idx_j, edge_rev [E], batch [N] are int64. Returns r [E,3] and d [E] in A, float64.
    The derivative of d is taken as zero for coincident atoms. dE/dstrain / volume is the stress.
    """
    if not torch.compiler.is_compiling():
        n, e = require_graph("edge_geometry", row_ptr, idx_i, idx_j, edge_rev)
        require("edge_geometry", "pos", pos, (n, 3), torch.float64)
        require("edge_geometry", "cell", cell, (None, 3, 3), torch.float64)
        require("edge_geometry", "shift", shift, (e, 3), torch.int32)
        require("edge_geometry", "batch", batch, (n,), torch.int64)
        if strain is not None:
            require("edge_geometry", "strain", strain, tuple(cell.shape), torch.float64)
        graph = {"row_ptr": row_ptr, "idx_i": idx_i, "idx_j": idx_j, "edge_rev": edge_rev}
        require_device("edge_geometry", pos.device, cell=cell, shift=shift, batch=batch, **graph)
        if runs_on_twin("edge_geometry", pos):
            return reference.edge_geometry(pos, cell, shift, *graph.values(), batch, strain=strain)
    if strain is not None:
        pos, cell = strained(pos, cell, strain, batch)
    return _op(pos, cell, shift, row_ptr, idx_i, idx_j, edge_rev, batch)
