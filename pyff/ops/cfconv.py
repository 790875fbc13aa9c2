"""Continuous-filter convolution (SchNet): y_i = sum_j W(d_ij) * h_j, with the filter from tables or from its network.

Equations of all derivatives: docs/derivations/cfconv.md. A filter is evaluated once per unordered pair.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyff.ops import reference
from pyff.ops._check import (
    address,
    feature_kernel,
    graph_args,
    require,
    require_device,
    require_graph,
    runs_on_twin,
    thread_sum,
)
from pyff.ops._register import Triple, differentiable_op
from pyff.ops.bias_activation import ACTIVATIONS
from pyff.ops.radial import CUTOFFS, Cutoff, RadialBasis

__all__ = ["FilterShape", "cfconv", "cfconv_table", "filter_nodes"]

_FLOATS = (torch.float32, torch.float64)
_WEIGHTS = ("w1", "b1", "w2", "b2")


@dataclass(frozen=True)
class FilterShape:
    """What a filter network W(d) = act_last(W2 act(W1 g(d) + b1) + b2) C(d) is made of, besides its weights."""

    basis: RadialBasis
    cutoff: Cutoff
    activation: str = "ssp"
    last_activation: str = "identity"


def _empty_like(x: Tensor, wanted: bool = True) -> Tensor | None:
    return torch.empty_like(x, memory_format=torch.contiguous_format) if wanted else None


def _dense(x: Tensor | None) -> Tensor | None:
    return None if x is None else x.contiguous()


def _data(h, distance, threads, grad_y=None, u=None, v=None) -> tuple:
    return h.shape[1], address(distance), address(h), address(grad_y), address(u), address(v), threads


def _partials(like: Tensor, threads: int) -> Tensor:
    return like.new_empty(threads, *like.shape)


def _threads(distance: Tensor) -> int:
    if distance.is_cuda:
        return 1
    # a thread is worth waking for about a thousand edges
    return max(1, min(torch.get_num_threads(), distance.shape[0] // 1000))


# filters from tables


def _table(order, args, threads, out, grad_coef=None, **data) -> None:
    h, distance, coef, row_ptr, idx_i, idx_j, edge_rev, start, spacing = args
    feature_kernel("cfconv_table", h.dtype, h.device)(
        order, graph_args(row_ptr, idx_i, idx_j, edge_rev), _data(h, distance, threads, **data),
        (address(coef), coef.shape[0], start, spacing), [address(x) for x in out], address(grad_coef),
    )  # fmt: skip


def _dense_args(args):
    return tuple(x.contiguous() if isinstance(x, Tensor) else x for x in args)


def _table_forward(*args):
    args = _dense_args(args)
    y = _empty_like(args[0])
    _table(0, args, _threads(args[1]), (y, None, None, None))
    return (y,)


def _table_backward(grads, args, needs):
    args, threads = _dense_args(args), _threads(args[1])
    h, distance, coef = args[:3]
    grad_h, grad_distance = _empty_like(h, needs[0]), _empty_like(distance, needs[1])
    partial = _partials(coef, threads) if needs[2] else None
    _table(1, args, threads, (None, grad_h, grad_distance, None), partial, grad_y=_dense(grads[0]))
    return grad_h, grad_distance, None if partial is None else thread_sum(partial)


def _table_double_backward(cotangents, grads, args, need_grads, need_args):
    args, threads = _dense_args(args), _threads(args[1])
    h, distance, coef = args[:3]
    grad_y = grads[0].contiguous()
    u = torch.zeros_like(h) if cotangents[0] is None else cotangents[0].contiguous()
    v = torch.zeros_like(distance) if cotangents[1] is None else cotangents[1].contiguous()
    grad_grad_y = _empty_like(h, need_grads[0])
    grad_h, grad_distance = _empty_like(h, need_args[0]), _empty_like(distance, need_args[1])
    partial = _partials(coef, threads) if need_args[2] else None
    _table(2, args, threads, (None, grad_h, grad_distance, grad_grad_y), partial, grad_y=grad_y, u=u, v=v)
    if cotangents[2] is not None:
        # <c, grad_coef> is the convolution's own bilinear form with c in the place of the table
        other = (h, distance, cotangents[2].contiguous(), *args[3:])
        add = _table_backward((grad_y,), other, (need_args[0], need_args[1], False))
        grad_h, grad_distance = (a if b is None else a + b for a, b in zip((grad_h, grad_distance), add))
        if need_grads[0]:
            grad_grad_y = grad_grad_y + _table_forward(*other)[0]
    return (grad_grad_y,), (grad_h, grad_distance, None if partial is None else thread_sum(partial))


_GRAPH_SCHEMA = "Tensor row_ptr, Tensor idx_i, Tensor idx_j, Tensor edge_rev"

_table_op = differentiable_op(
    Triple(
        name="cfconv_table",
        schema=f"Tensor h, Tensor distance, Tensor coef, {_GRAPH_SCHEMA}, float start, float spacing",
        n_diff=3,
        n_out=1,
        forward=_table_forward,
        fake=lambda h, *_: (_empty_like(h),),
        backward=_table_backward,
        double_backward=_table_double_backward,
    )
)


def cfconv_table(
    h: Tensor, distance: Tensor, coef: Tensor, row_ptr: Tensor, idx_i: Tensor, idx_j: Tensor, edge_rev: Tensor,
    start: float, spacing: float,
) -> Tensor:  # fmt: skip
    """Convolution with tabulated filters.

        y_i = sum_{e: i<-j} W(d_e) * h_j,   W(d) = sum_m coef[k,m] u^m,   k + u = (d - start) / spacing

    h [N,F] sender features; distance [E] float64, A, the same for both directions of a pair; coef [K,6,F] in h's
    dtype (see `pyff.nn.filter_table`). Distances beyond the last interval weigh nothing. Returns y [N,F];
    differentiable to second order in h, distance and coef.
    """
    if not torch.compiler.is_compiling():
        n, e = require_graph("cfconv_table", row_ptr, idx_i, idx_j, edge_rev)
        require("cfconv_table", "h", h, (n, None), _FLOATS)
        require("cfconv_table", "distance", distance, (e,), torch.float64)
        require("cfconv_table", "coef", coef, (None, 6, h.shape[1]), h.dtype)
        graph = {"row_ptr": row_ptr, "idx_i": idx_i, "idx_j": idx_j, "edge_rev": edge_rev}
        require_device("cfconv_table", h.device, distance=distance, coef=coef, **graph)
    return _table_op(h, distance, coef, row_ptr, idx_i, idx_j, edge_rev, start, spacing)


# filters from the network

_N_NETWORK = 6  # h, distance, w1, b1, w2, b2


def _shape_args(*flat) -> tuple:
    return flat[:5], flat[5:8], *flat[8:]


def _network(order, args, threads, out, partials=(None,) * 4, **data) -> None:
    h, distance, w1, b1, w2, b2, row_ptr, idx_i, idx_j, edge_rev, *shape = args
    feature_kernel("cfconv_network", h.dtype, h.device)(
        order,
        graph_args(row_ptr, idx_i, idx_j, edge_rev),
        _data(h, distance, threads, **data),
        [address(x) for x in (w1, b1, w2, b2)],
        _shape_args(*shape),
        [address(x) for x in out],
        [address(x) for x in partials],
    )


def _network_forward(*args):
    args = _dense_args(args)
    y = _empty_like(args[0])
    _network(0, args, _threads(args[1]), (y, None, None, None))
    return (y,)


def _weight_partials(weights, threads, needs):
    return [_partials(w, threads) for w in weights] if any(needs) else [None] * 4


def _summed(partials, needs):
    return tuple(thread_sum(p) if n else None for p, n in zip(partials, needs))


def _network_backward(grads, args, needs):
    args, threads = _dense_args(args), _threads(args[1])
    grad_h, grad_distance = _empty_like(args[0], needs[0]), _empty_like(args[1], needs[1])
    partials = _weight_partials(args[2:6], threads, needs[2:])
    _network(1, args, threads, (None, grad_h, grad_distance, None), partials, grad_y=_dense(grads[0]))
    return (grad_h, grad_distance, *_summed(partials, needs[2:]))


def _network_double_backward(cotangents, grads, args, need_grads, need_args):
    args, threads = _dense_args(args), _threads(args[1])
    if any(c is not None for c in cotangents[2:]):
        # second derivatives among the weights serve no training; the twin gives them
        return reference.double_backward(reference.cfconv_flat, cotangents, grads, args, _N_NETWORK)
    h, distance = args[:2]
    u = torch.zeros_like(h) if cotangents[0] is None else cotangents[0].contiguous()
    v = torch.zeros_like(distance) if cotangents[1] is None else cotangents[1].contiguous()
    grad_grad_y = _empty_like(h, need_grads[0])
    grad_h, grad_distance = _empty_like(h, need_args[0]), _empty_like(distance, need_args[1])
    partials = _weight_partials(args[2:6], threads, need_args[2:])
    out = (None, grad_h, grad_distance, grad_grad_y)
    _network(2, args, threads, out, partials, grad_y=grads[0].contiguous(), u=u, v=v)
    return (grad_grad_y,), (grad_h, grad_distance, *_summed(partials, need_args[2:]))


_SHAPE_SCHEMA = (
    "int basis, float start, float spacing, float gamma, int size, int cutoff, float radius, float onset, "
    "int activation, int last_activation"
)

_network_op = differentiable_op(
    Triple(
        name="cfconv",
        schema="Tensor h, Tensor distance, Tensor w1, Tensor b1, Tensor w2, Tensor b2, "
        f"{_GRAPH_SCHEMA}, {_SHAPE_SCHEMA}",
        n_diff=_N_NETWORK,
        n_out=1,
        forward=_network_forward,
        fake=lambda h, *_: (_empty_like(h),),
        backward=_network_backward,
        double_backward=_network_double_backward,
    )
)


def cfconv(
    h: Tensor, distance: Tensor, weights: tuple[Tensor, Tensor, Tensor, Tensor], row_ptr: Tensor, idx_i: Tensor,
    idx_j: Tensor, edge_rev: Tensor, shape: FilterShape,
) -> Tensor:  # fmt: skip
    """Convolution with the filter network evaluated exactly, fused: no edge-sized tensor of features is written.

        y_i = sum_{e: i<-j} W(d_e) * h_j,   W(d) = act_last(w2 act(w1 g(d) + b1) + b2) C(d)

    h [N,F]; distance [E] float64, A, the same for both directions of a pair; weights w1 [F,G], b1 [F], w2 [F,F],
    b2 [F] in h's dtype. Returns y [N,F]; differentiable to second order in h, distance and the weights.
    """
    if not torch.compiler.is_compiling():
        n, e = require_graph("cfconv", row_ptr, idx_i, idx_j, edge_rev)
        require("cfconv", "h", h, (n, None), _FLOATS)
        require("cfconv", "distance", distance, (e,), torch.float64)
        _require_weights("cfconv", weights, h.shape[1], shape, h.dtype)
        graph = {"row_ptr": row_ptr, "idx_i": idx_i, "idx_j": idx_j, "edge_rev": edge_rev}
        require_device("cfconv", h.device, distance=distance, **dict(zip(_WEIGHTS, weights)), **graph)
    return _network_op(h, distance, *weights, row_ptr, idx_i, idx_j, edge_rev, *_flat(shape))


def _require_weights(op: str, weights: tuple[Tensor, ...], f: int, shape: FilterShape, dtype: torch.dtype) -> None:
    sizes = ((f, shape.basis.size), (f,), (f, f), (f,))
    for name, x, size in zip(_WEIGHTS, weights, sizes):
        require(op, name, x, size, dtype)


def _flat(shape: FilterShape) -> tuple:
    c = shape.cutoff
    activations = ACTIVATIONS[shape.activation], ACTIVATIONS[shape.last_activation]
    return *shape.basis.args, CUTOFFS[c.kind], c.radius, c.onset, *activations


# filters at nodes


def _nodes(order, args, threads, out=None, grad_out=None, partials=(None,) * 4) -> None:
    w1, b1, w2, b2, distance, *shape = args
    feature_kernel("filter_nodes", w1.dtype, w1.device)(
        order,
        distance.shape[0],
        w1.shape[0],
        address(distance),
        [address(x) for x in (w1, b1, w2, b2)],
        _shape_args(*shape),
        address(out),
        address(grad_out),
        [address(x) for x in partials],
        threads,
    )


def _nodes_threads(distance: Tensor) -> int:
    # the hundred nodes of a table are cheaper on one thread: torch's own second thread still spins on the other core
    return max(1, min(torch.get_num_threads(), distance.shape[0] // 256))


def _nodes_empty(w1, b1, w2, b2, distance, *_) -> tuple[Tensor]:
    return (w1.new_empty(3, distance.shape[0], w1.shape[0]),)


def _nodes_forward(*args):
    args = _dense_args(args)
    out = _nodes_empty(*args)
    _nodes(0, args, _nodes_threads(args[4]), out[0])
    return out


def _nodes_backward(grads, args, needs):
    args = _dense_args(args)
    threads = _nodes_threads(args[4])
    partials = _weight_partials(args[:4], threads, needs)
    _nodes(1, args, threads, grad_out=grads[0].contiguous(), partials=partials)
    return _summed(partials, needs)


def _nodes_double_backward(cotangents, grads, args, need_grads, need_args):
    # forces are derivatives of the polynomials: no training differentiates the nodes twice
    return reference.double_backward(reference.filter_nodes_flat, cotangents, grads, args, 4)


_nodes_op = differentiable_op(
    Triple(
        name="filter_nodes",
        schema=f"Tensor w1, Tensor b1, Tensor w2, Tensor b2, Tensor distance, {_SHAPE_SCHEMA}",
        n_diff=4,
        n_out=1,
        forward=_nodes_forward,
        fake=_nodes_empty,
        backward=_nodes_backward,
        double_backward=_nodes_double_backward,
    )
)


def filter_nodes(weights: tuple[Tensor, Tensor, Tensor, Tensor], distance: Tensor, shape: FilterShape) -> Tensor:
    """W(d), W'(d), W''(d) of a filter network at n distances: [3, n, F].

    weights as in `cfconv`, float32 or float64; distance [n] float64, A, constants. Differentiable to second order in
    the weights.
    """
    if not torch.compiler.is_compiling():
        require("filter_nodes", "distance", distance, (None,), torch.float64)
        _require_weights("filter_nodes", weights, weights[0].shape[0], shape, weights[0].dtype)
        require_device("filter_nodes", distance.device, **dict(zip(_WEIGHTS, weights)))
        if runs_on_twin("filter_nodes", distance):
            return reference.filter_nodes(weights, distance, shape)
    return _nodes_op(*weights, distance, *_flat(shape))


def filter_nodes_gradients(
    weights: tuple[Tensor, ...], distance: Tensor, shape: FilterShape, grad: Tensor
) -> tuple[Tensor, ...]:
    """Gradients of the weights of `filter_nodes` from that of its output, for tables that write out their adjoint."""
    return _nodes_backward((grad,), (*weights, distance, *_flat(shape)), (True,) * 4)
