"""Second derivatives of a twin by torch's own autograd."""

from __future__ import annotations

import torch

__all__ = ["double_backward"]


def double_backward(twin, cotangents, grads, args, n_diff: int):
    """Cotangents of (grads, the first n_diff args) from cotangents of the twin's first-order gradients."""
    with torch.enable_grad():
        grads = tuple(None if g is None else g.detach().requires_grad_() for g in grads)
        diff = tuple(x.detach().requires_grad_() for x in args[:n_diff])
        out = twin(*diff, *args[n_diff:])
        out = out if isinstance(out, tuple) else (out,)
        pairs = [(y, g) for y, g in zip(out, grads) if g is not None]
        first = torch.autograd.grad(
            [y for y, _ in pairs], diff, [g for _, g in pairs], create_graph=True, materialize_grads=True
        )
        total = sum(((f * c).sum() for f, c in zip(first, cotangents) if c is not None))
        inputs = [g for _, g in pairs] + list(diff)
        second = list(torch.autograd.grad(total, inputs, materialize_grads=True))
    of_grads = tuple(None if g is None else second.pop(0) for g in grads)
    return of_grads, tuple(second)
