"""SO3krates without autograd inside: features of frozen weights, and their gradient by hand in one backward pass.

Molecular dynamics asks for energies and forces of weights that stay. For small structures torch's bookkeeping would
cost more than the arithmetic, so the layers run here as plain tensor expressions on rearranged weights, and the adjoint
is written out. Same numbers as the layers up to rounding, tested against them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import silu

from pyff.models.so3krates_layers import EPSILON, Layer
from pyff.ops.equivariant_attention import attention_arguments, attention_backward, attention_forward

if TYPE_CHECKING:
    from pyff.models.so3krates import SO3krates
    from pyff.models.so3krates_attention import Messages

__all__ = ["frozen_readouts", "is_plain"]

_silu_backward = torch.ops.aten.silu_backward
_layer_norm_backward = torch.ops.aten.native_layer_norm_backward
_VEC_ONLY, _ALL_BUT_WEIGHTS = (False,) * 11 + (True,), (True,) * 6 + (False,) * 5 + (True,)


def is_plain(config) -> bool:
    """Whether a configuration has the layers that are written out here: those of the paper and of SO3LR."""
    return (
        bool(config.degrees)
        and config.activation == "silu"
        and config.readout_activation == "silu"
        and config.qk_activation == "identity"
        and not (config.qk_norm or config.residual_scalars)
    )


def frozen_readouts(model: SO3krates, x: Tensor, messages: Messages, tables, readouts) -> dict[str, Tensor]:
    """Outputs [N,*] of the readouts by name, float64, from the embedding x and a table of radial filters for each
    layer; differentiable once, with respect to the edge vectors."""
    parts = [(r.w1, r.b1, r.w2, r.b2) for r in readouts.values()]

    def make():  # one readout with the hidden units of all, in float64 as each of them
        w1, b1, b2 = (torch.cat([part[k] for part in parts]).double() for k in (0, 1, 3))
        return w1, b1, torch.block_diag(*[part[2] for part in parts]).double(), b2

    heads = model.frozen_readouts(tuple(w for part in parts for w in part), make)
    out = _Network.apply(messages.geometry.vec, x.detach(), model.layers, messages, tables, heads)
    return dict(zip(readouts, out.split([len(part[3]) for part in parts], 1)))


@dataclass(frozen=True)
class _Weights:
    """Weights of a layer as this module reads them.

    projections: for each group of matrices with the same heads, (in, out) side by side [H, d, k d], and their
    transposes one below the other [H, k d, d]; q1, k1, v1, q2, k2 in this order.
    """

    projections: tuple[tuple[Tensor, Tensor], ...]
    contract: Tensor  # [M,L], squares of Euclidean variables to invariants
    spread: Tensor  # [L,M], degrees to components


def _weights(layer: Layer) -> _Weights:
    parts = [layer._parameters[name] for name in ("w_q1", "w_k1", "w_v1", "w_q2", "w_k2")]

    def make() -> _Weights:
        scaled = [*parts[:3], parts[3] * layer.second_block_scale, parts[4]]
        groups = [scaled] if parts[0].shape == parts[3].shape else [scaled[:3], scaled[3:]]
        projections = tuple(
            (torch.cat([w.transpose(1, 2) for w in group], 2).contiguous(), torch.cat(group, 1).contiguous())
            for group in groups
        )
        contract = layer.contraction(parts[0])
        return _Weights(projections, contract, (contract > 0).to(contract.dtype).T.contiguous())

    return layer.frozen_weights(tuple(parts), make)


def _project(x: Tensor, w: _Weights) -> list[Tensor]:
    """q1, k1, v1, q2, k2 [N,F]."""
    out, n = [], len(x)
    for forth, _ in w.projections:
        heads, size, _ = forth.shape
        y = torch.bmm(x.view(n, heads, size).transpose(0, 1), forth).view(heads, n, -1, size)
        out += y.permute(2, 1, 0, 3).reshape(-1, n, heads * size).unbind()
    return out


def _project_back(grads, w: _Weights) -> Tensor:
    """Gradient of x from those of q1, k1, v1, q2, k2."""
    total, first, n = None, 0, len(grads[0])
    for forth, back in w.projections:
        heads, size, count = forth.shape[0], forth.shape[1], forth.shape[2] // forth.shape[1]
        stacked = torch.stack(grads[first : first + count]).view(count, n, heads, size)
        part = torch.bmm(stacked.permute(2, 1, 0, 3).reshape(heads, n, count * size), back)
        part = part.transpose(0, 1).reshape(n, heads * size)
        total, first = part if total is None else total.add_(part), first + count
    return total


class _Network(torch.autograd.Function):
    @staticmethod
    def forward(ctx, vec: Tensor, x: Tensor, layers, messages: Messages, tables, heads) -> Tensor:
        ctx.tape, ev, last = [], None, len(layers) - 1
        for k, (layer, table) in enumerate(zip(layers, tables)):
            x, ev, saved = _forward(layer, x, ev, (vec, messages.graph, messages.shape, *table), k < last)
            ctx.tape.append((layer, saved))
        w1, b1, w2, b2 = heads
        hidden = torch.addmm(b1, x.double(), w1.T)
        ctx.heads = w1, w2, hidden, x.dtype
        return torch.addmm(b2, silu(hidden), w2.T)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        w1, w2, hidden, dtype = ctx.heads
        grad_x = (_silu_backward(grad @ w2, hidden) @ w1).to(dtype)
        grad_vec = grad_ev = None
        while ctx.tape:  # popped: what is used up is freed
            layer, saved = ctx.tape.pop()
            grad_x, grad_ev, part = _backward(layer, saved, grad_x.contiguous(), grad_ev, first=not ctx.tape)
            grad_vec = part if grad_vec is None else grad_vec.add_(part)
        return grad_vec, None, None, None, None, None


def _forward(layer: Layer, x: Tensor, ev: Tensor | None, edges, gate: bool):
    """(x, ev) after a layer and what its adjoint reads."""
    w, (vec, graph, shape, radial, table) = _weights(layer), edges
    p = layer._parameters  # a module's attributes take ten times as long to look up
    features = _project(x, w)
    spherical = None if ev is None else layer.spherical_weights()
    arguments = attention_arguments(features, ev, radial, spherical, vec, graph, shape, table)
    message, ev_message = attention_forward(*arguments)
    a, ev_a = x + message, ev_message if ev is None else ev + ev_message
    b, norm_1 = _norm(layer, "norm_1", a)
    d, mlp_1 = _mlp(layer, "mlp_1", b)
    f = x.shape[1]
    both = torch.cat([d, ev_a.square() @ w.contract], 1)
    rows = slice(None) if gate else slice(f)
    y = torch.addmm(p["exchange_b"][rows], both, p["exchange_w"][rows].T)
    e, ev_e, factor = d + y[:, :f], ev_a, None
    if gate:
        factor = torch.addmm(y.new_ones(1), y[:, f:], w.spread)
        ev_e = ev_a * factor
    g, mlp_2 = _mlp(layer, "mlp_2", e)
    h, norm_2 = _norm(layer, "norm_2", g)
    return h, ev_e, (w, arguments, norm_1, mlp_1, ev_a, factor, mlp_2, norm_2)


def _backward(layer: Layer, saved, grad: Tensor, grad_ev: Tensor | None, *, first: bool):
    """Gradients of (x, ev, vec) before the layer from those of (x, ev) after it."""
    w, arguments, norm_1, mlp_1, ev, factor, mlp_2, norm_2 = saved
    f, exchange = grad.shape[1], layer._parameters["exchange_w"]
    grad = _mlp_back(layer, "mlp_2", mlp_2, _norm_back(layer, "norm_2", norm_2, grad))
    if factor is None:
        grad_y, exchange, grad_direct = grad, exchange[:f], None
    else:
        grad_y = torch.cat([grad, (grad_ev * ev) @ w.spread.T], 1)
        grad_direct = grad_ev * factor
    grad_both = grad_y @ exchange
    grad_squares = (grad_both[:, f:] @ w.contract.T) * ev
    grad_ev = grad_squares.mul_(2) if grad_direct is None else grad_direct.add_(grad_squares, alpha=2)
    grad = _mlp_back(layer, "mlp_1", mlp_1, grad + grad_both[:, :f])
    grad = _norm_back(layer, "norm_1", norm_1, grad)
    if first:  # the embedding does not depend on the positions; the kernel wants its five gradients all the same
        return None, None, attention_backward((grad, grad_ev), arguments, _VEC_ONLY)[11]
    out = attention_backward((grad, grad_ev), arguments, _ALL_BUT_WEIGHTS)
    return _project_back(out[:5], w).add_(grad), grad_ev.add(out[5]), out[11]


def _norm(layer: Layer, name: str, x: Tensor):
    kind = getattr(layer.config, name)
    if kind == "none":
        return x, None
    if kind == "rms":
        inverse = torch.rsqrt(x.square().mean(-1, keepdim=True) + EPSILON)
        y = x * inverse
        return y, (y, inverse)
    scale, bias = layer._parameters[f"{name}_scale"], layer._parameters[f"{name}_bias"]
    y, mean, inverse = torch.native_layer_norm(x, (x.shape[1],), scale, bias, EPSILON)
    return y, (x, mean, inverse)


def _norm_back(layer: Layer, name: str, saved, grad: Tensor) -> Tensor:
    kind = getattr(layer.config, name)
    if kind == "none":
        return grad
    if kind == "rms":
        y, inverse = saved
        return (grad - y * (grad * y).mean(-1, keepdim=True)) * inverse
    x, mean, inverse = saved
    scale, bias = layer._parameters[f"{name}_scale"], layer._parameters[f"{name}_bias"]
    return _layer_norm_backward(grad, x, (x.shape[1],), mean, inverse, scale, bias, [True, False, False])[0]


def _mlp(layer: Layer, name: str, x: Tensor):
    if not getattr(layer.config, f"residual_{name}"):
        return x, None
    w1, b1, w2, b2 = (layer._parameters[f"{name}_{part}"] for part in ("w1", "b1", "w2", "b2"))
    hidden = torch.addmm(b1, silu(x), w1.T)
    return x + torch.addmm(b2, silu(hidden), w2.T), (x, hidden)


def _mlp_back(layer: Layer, name: str, saved, grad: Tensor) -> Tensor:
    if saved is None:
        return grad
    x, hidden = saved
    p = layer._parameters
    inner = _silu_backward(grad @ p[f"{name}_w2"], hidden) @ p[f"{name}_w1"]
    return grad + _silu_backward(inner, x)
