"""Equivariant attention (SO3krates): messages between invariant features and Euclidean variables, without softmax."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyff.ops import reference
from pyff.ops._check import address, feature_kernel, graph_args, require, require_device, require_graph, thread_sum
from pyff.ops._register import Triple, differentiable_op
from pyff.ops.bias_activation import ACTIVATIONS
from pyff.ops.radial import CUTOFFS, Cutoff

__all__ = ["AttentionShape", "equivariant_attention"]

MAX_DEGREE = 4

_FLOATS = (torch.float32, torch.float64)
_FEATURES = ("q1", "k1", "v1", "q2", "k2")
_WEIGHTS = ("ws1", "bs1", "ws2", "bs2")
_N_DIFF = 12  # in the order of AttentionTensors in csrc/api/pyff.hpp: features, ev, radial, weights, vec
_EV, _RADIAL, _SPHERICAL, _VEC = 5, 6, slice(7, 11), 11


@dataclass(frozen=True)
class AttentionShape:
    """What attention is made of besides its tensors: degrees l of the Euclidean variables (may repeat), heads of the
    invariant block, cutoff function, normalization nc of the coefficients, activation of the spherical filter."""

    degrees: tuple[int, ...]
    n_heads: int
    cutoff: Cutoff
    normalization: float = 1.0
    activation: str = "silu"

    def __post_init__(self) -> None:
        if not self.degrees or any(not 1 <= degree <= MAX_DEGREE for degree in self.degrees):
            raise ValueError(f"degrees must be one or more numbers in 1..{MAX_DEGREE}; received {self.degrees}")
        if self.n_heads < 1:
            raise ValueError(f"n_heads must be at least 1; received {self.n_heads}")
        if not 0 < self.normalization < float("inf"):
            raise ValueError(f"normalization must be positive and finite; received {self.normalization}")

    @property
    def n_components(self) -> int:
        """M = sum (2l + 1), the length of an atom's Euclidean variables."""
        return sum(2 * degree + 1 for degree in self.degrees)


def _dense(tensors) -> list:
    return [x.contiguous() if isinstance(x, Tensor) else x for x in tensors]


def _threads(vec: Tensor) -> int:
    if vec.is_cuda:
        return 1
    # a thread is worth waking for a few hundred edges
    return max(1, min(torch.get_num_threads(), vec.shape[0] // 400))


def _tabulated(args) -> bool:
    return args[-2] > 0  # the spacing


def _spherical(args) -> bool:
    return args[_SPHERICAL][0].numel() > 0


def _parameters(args) -> set[int]:
    return {*range(_N_DIFF)[_SPHERICAL], *([_RADIAL] if _tabulated(args) else [])}


def _call(order: int, args, threads: int, *, tangents=(), grads=(None, None), out=(None, None), memory=()) -> None:
    degrees, n_heads, kind, radius, onset, normalization, activation, *grid = args[_N_DIFF + 4 :]
    hidden = args[_SPHERICAL][0].shape[1] if _spherical(args) else 0
    intervals = args[_RADIAL].shape[0] if _tabulated(args) else 0
    addresses = lambda tensors: [address(x) for x in tensors] or [0] * _N_DIFF  # noqa: E731
    feature_kernel("equivariant_attention", args[0].dtype, args[0].device)(
        order,
        graph_args(*args[_N_DIFF : _N_DIFF + 4]),
        (args[0].shape[1], hidden, list(degrees), n_heads, (kind, radius, onset), normalization, activation,
         (intervals, *grid)),
        addresses(args[:_N_DIFF]),
        addresses(tangents),
        addresses((*grads, *out)),
        addresses(memory),
        threads,
    )  # fmt: skip


def _outputs(q1: Tensor, *args) -> tuple[Tensor, Tensor]:
    degrees = args[_N_DIFF + 3]
    return q1.new_empty(q1.shape), q1.new_empty(q1.shape[0], sum(2 * degree + 1 for degree in degrees))


def _forward(*args):
    args = _dense(args)
    out = _outputs(*args)
    _call(0, args, _threads(args[_VEC]), out=out)
    return out


def _message_grads(grads, args) -> list[Tensor]:
    """Cotangents of x and ev; zeros for one that is absent."""
    return [torch.zeros_like(y) if g is None else g.contiguous() for g, y in zip(grads, _outputs(*args))]


def _memory(args, needs, threads: int) -> list[Tensor | None]:
    """Where the gradients go: the kernel computes them by groups, those of parameters as one partial sum per thread."""
    groups = [any(needs[:5])] * 5 + [needs[_EV], needs[_RADIAL]] + [any(needs[_SPHERICAL])] * 4 + [needs[_VEC]]
    parameters, out = _parameters(args), []
    for k, (x, wanted) in enumerate(zip(args, groups)):
        if not wanted or (x.numel() == 0 and k in (_EV, *range(_N_DIFF)[_SPHERICAL])):
            out.append(None)
        elif k in parameters:
            out.append(x.new_empty(threads, *x.shape))
        else:
            out.append(torch.empty_like(x))
    return out


def _gradients(memory, args, needs) -> tuple[Tensor | None, ...]:
    out = []
    for x, m, wanted in zip(args, memory, needs):
        if not wanted or m is None:
            out.append(torch.zeros_like(x) if wanted else None)
        else:
            out.append(thread_sum(m) if m.dim() > x.dim() else m)
    return tuple(out)


def _backward(grads, args, needs):
    args = _dense(args)
    threads = _threads(args[_VEC])
    memory = _memory(args, needs, threads)
    _call(1, args, threads, grads=_message_grads(grads, args), memory=memory)
    return _gradients(memory, args, needs)


def _double_backward(cotangents, grads, args, need_grads, need_args):
    args = _dense(args)
    parameters = _parameters(args)
    if any(cotangents[k] is not None and bool(cotangents[k].any()) for k in parameters):
        # second derivatives among the parameters serve no training; the twin gives them
        return reference.double_backward(reference.equivariant_attention_flat, cotangents, grads, args, _N_DIFF)
    tangents = [
        None if k in parameters else torch.zeros_like(x) if c is None else c.contiguous()
        for k, (c, x) in enumerate(zip(cotangents, args))
    ]
    threads = _threads(args[_VEC])
    memory = _memory(args, need_args, threads)
    out = _outputs(*args) if any(need_grads) else (None, None)
    _call(2, args, threads, tangents=tangents, grads=_message_grads(grads, args), out=out, memory=memory)
    return tuple(y if n else None for y, n in zip(out, need_grads)), _gradients(memory, args, need_args)


_op = differentiable_op(
    Triple(
        name="equivariant_attention",
        schema="Tensor q1, Tensor k1, Tensor v1, Tensor q2, Tensor k2, Tensor ev, Tensor radial, Tensor ws1, "
        "Tensor bs1, Tensor ws2, Tensor bs2, Tensor vec, Tensor row_ptr, Tensor idx_i, Tensor idx_j, "
        "Tensor edge_rev, int[] degrees, int n_heads, int cutoff, float radius, float onset, float normalization, "
        "int activation, float start, float spacing, float decay",
        n_diff=_N_DIFF,
        n_out=2,
        forward=_forward,
        fake=_outputs,
        backward=_backward,
        double_backward=_double_backward,
    )
)


def _check(features, ev, radial, spherical, vec, graph: dict[str, Tensor], shape, table) -> None:
    op = "equivariant_attention"
    n, e = require_graph(op, *graph.values())
    q1 = features[0]
    require(op, "q1", q1, (n, None), _FLOATS)
    f, dtype, n_degrees = q1.shape[1], q1.dtype, len(shape.degrees)
    for name, x in zip(_FEATURES[1:], features[1:]):
        require(op, name, x, (n, f), dtype)
    for name, parts in (("n_heads", shape.n_heads), ("the number of degrees", n_degrees)):
        if f % parts or not f:
            raise ValueError(f"{op}: {name} must divide the features; received {parts} with features [N, {f}]")
    require(op, "vec", vec, (e, 3), torch.float64)
    if table is None:
        require(op, "radial", radial, (e, 2 * f), dtype)
    else:
        require(op, "radial", radial, (None, 6, 2 * f), dtype)
        if not table[1] > 0 or not radial.shape[0]:
            raise ValueError(
                f"{op}: table = (start, spacing, decay) must have a positive spacing and coefficients for at least one "
                f"interval; received {table} with {radial.shape[0]} intervals"
            )
    if (ev is None) != (spherical is None):
        raise ValueError(f"{op}: ev and spherical must be given together, or both be None")
    if spherical is not None:
        require(op, "ev", ev, (n, shape.n_components), dtype)
        require(op, "ws1", spherical[0], (2, None, n_degrees), dtype)
        hidden = spherical[0].shape[1]
        for name, x, size in zip(_WEIGHTS[1:], spherical[1:], ((2, hidden), (2, f, hidden), (2, f))):
            require(op, name, x, size, dtype)
        if not hidden:
            raise ValueError(f"{op}: ws1 must have at least one hidden row; received shape {tuple(spherical[0].shape)}")
    tensors = dict(zip(_FEATURES, features)) | {"ev": ev, "radial": radial, "vec": vec} | graph
    require_device(op, q1.device, **tensors, **dict(zip(_WEIGHTS, spherical or ())))


def equivariant_attention(
    features: tuple[Tensor, Tensor, Tensor, Tensor, Tensor], ev: Tensor | None, radial: Tensor,
    spherical: tuple[Tensor, Tensor, Tensor, Tensor] | None, vec: Tensor, row_ptr: Tensor, idx_i: Tensor,
    idx_j: Tensor, edge_rev: Tensor, shape: AttentionShape, *, table: tuple[float, float, float] | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Messages of both attention blocks of one SO3krates layer.

        x_i = concat_h sum_j a1_h v1_j,h        a1_h = phi(d)/nc sum_{c in h} q1_ic w1_c k1_jc     (n_heads heads)
        ev_i,lm = sum_j a2_l Y_lm(u_ij)         a2_l = phi(d)/nc sum_{c in l} q2_ic w2_c k2_jc     (one head per degree)
        w_b = R_b(d) + S_b(tau),  S_b = ws2_b act(ws1_b tau + bs1_b) + bs2_b,  tau_l = |ev_j - ev_i|_l^2 / sqrt(2l+1)

    features: q1, k1, v1, q2, k2 [N,F]; ev [N,M] Euclidean variables, with spherical: ws1 [2,S,L], bs1 [2,S],
    ws2 [2,F,S], bs2 [2,F]; both None where the Euclidean variables are zero (the constant S then belongs to radial).
    radial: R_1 and R_2 side by side, either [E,2F], the same for both directions of a pair, or, with
    table = (start, spacing, decay), polynomial coefficients [K,6,2F]: R(d) = sum_m radial[k,m] u^m with
    k + u = (1 - e^(-decay (d - start))) / (decay spacing), for decay 0 (d - start) / spacing. vec [E,3] float64, A,
    opposite for an edge and its reverse. Returns x [N,F] and ev [N,M]; differentiable to second order in all tensors.
    """
    if not torch.compiler.is_compiling():
        graph = {"row_ptr": row_ptr, "idx_i": idx_i, "idx_j": idx_j, "edge_rev": edge_rev}
        _check(features, ev, radial, spherical, vec, graph, shape, table)
    graph = row_ptr, idx_i, idx_j, edge_rev
    return _op(*attention_arguments(features, ev, radial, spherical, vec, graph, shape, table))


def attention_arguments(features, ev, radial, spherical, vec, graph, shape, table) -> tuple:
    """The arguments of `equivariant_attention` as the kernel takes them, unchecked; graph: its four index tensors."""
    if spherical is None:
        ev, spherical = radial.new_empty(0), (radial.new_empty(0),) * 4
    c = shape.cutoff
    return (
        *features, ev, radial, *spherical, vec, *graph, list(shape.degrees), shape.n_heads, CUTOFFS[c.kind], c.radius,
        c.onset, float(shape.normalization), ACTIVATIONS[shape.activation], *(table or (0.0, 0.0, 0.0)),
    )  # fmt: skip


# for models that write out their own adjoint: (x, ev) from the arguments, and the gradients of the twelve tensors from
# ((grad_x, grad_ev), arguments, which are needed)
attention_forward, attention_backward = _forward, _backward
