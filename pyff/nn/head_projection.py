"""Projections of features head by head, several at once.

    y_k[n, h d + o] = sum_i W_k[h, o, i] x[n, h d + i]

One product per group of matrices with the same heads, and adjoints written out: both derivatives are such products
again, and torch's own would be five times as many operations, most of them copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pyff.ops._register import needed_inputs

__all__ = ["head_projection"]


def head_projection(x: Tensor, weights: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """W x for each of the weights [H,d,d] (out, in): [N,F] each, F = H d; differentiable to second order."""
    return _Projection.apply(x, *weights)


def _groups(tensors: Sequence, weights: Sequence[Tensor]):
    """Neighbors whose weights have the same shape: (tensors, weights)."""
    for _, group in groupby(zip(tensors, weights), key=lambda pair: pair[1].shape):
        yield tuple(zip(*group))


def _heads(x: Tensor, w: Tensor) -> Tensor:
    """[N,F] as [H,N,d]."""
    return x.view(len(x), w.shape[0], w.shape[1]).transpose(0, 1)


def _project(x: Tensor, weights: Sequence[Tensor]) -> list[Tensor]:
    out, n = [], len(x)
    for group, _ in _groups(weights, weights):
        h, d, _ = group[0].shape
        y = torch.bmm(_heads(x, group[0]), torch.cat(group, 1).transpose(1, 2))  # [H, N, k d]
        out += y.view(h, n, -1, d).permute(2, 1, 0, 3).reshape(-1, n, h * d).unbind()
    return out


def _stacked(grads: Sequence[Tensor], w: Tensor) -> Tensor:
    """Gradients of a group's outputs, [H, N, k d]."""
    return torch.cat([_heads(g, w) for g in grads], 2)


def _features_back(grads: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """sum_k W_k^T g_k [N,F]."""
    total = None
    for g, group in _groups(grads, weights):
        part = torch.bmm(_stacked(g, group[0]), torch.cat(group, 1)).transpose(0, 1).reshape(g[0].shape)
        total = part if total is None else total.add_(part)
    return total


def _weights_back(grads: Sequence[Tensor], weights: Sequence[Tensor], x: Tensor) -> list[Tensor]:
    """sum_n g_k[n] x[n] for each of the weights."""
    out = []
    for g, group in _groups(grads, weights):
        both = torch.bmm(_stacked(g, group[0]).transpose(1, 2), _heads(x, group[0]))  # [H, k d, d]
        out += both.split(group[0].shape[1], 1)
    return out


def _filled(grads, like: Tensor) -> list[Tensor]:
    return [torch.zeros_like(like) if g is None else g.contiguous() for g in grads]


class _Projection(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, *weights: Tensor):
        ctx.set_materialize_grads(False)
        x = x.contiguous()
        ctx.save_for_backward(x, *weights)
        return tuple(_project(x, weights))

    @staticmethod
    def backward(ctx, *grads):
        x, *weights = ctx.saved_tensors
        needs = needed_inputs(ctx, ctx.saved_tensors, 0)
        return _ProjectionBackward.apply(needs, x, *_filled(grads, x), *weights)


class _ProjectionBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, needs, x: Tensor, *tensors: Tensor):
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, *tensors)
        grads, weights = tensors[: len(tensors) // 2], tensors[len(tensors) // 2 :]
        grad_x = _features_back(grads, weights) if needs[0] else None
        return grad_x, *(_weights_back(grads, weights, x) if any(needs[1:]) else [None] * len(weights))

    @staticmethod
    @once_differentiable
    def backward(ctx, cot_x, *cot_weights):
        """The adjoint is linear in x, in the gradients and in the weights."""
        x, *tensors = ctx.saved_tensors
        half = len(tensors) // 2
        grads, weights = tensors[:half], tensors[half:]
        needs = needed_inputs(ctx, ctx.saved_tensors, 1)
        out_x, out_grads, out_weights = None, [None] * half, [None] * half
        if cot_x is not None:
            cot_x = cot_x.contiguous()
            if any(needs[1 : 1 + half]):
                out_grads = _project(cot_x, weights)
            if any(needs[1 + half :]):
                out_weights = _weights_back(grads, weights, cot_x)
        if any(c is not None for c in cot_weights):
            cot_weights = [torch.zeros_like(w) if c is None else c for c, w in zip(cot_weights, weights)]
            out_x = _features_back(grads, cot_weights)
            more = _project(x, cot_weights)
            out_grads = more if out_grads[0] is None else [a + b for a, b in zip(out_grads, more)]
        return None, out_x, *out_grads, *out_weights
