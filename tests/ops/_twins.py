"""Comparing an op with its twin: values, gradients and second derivatives."""

from __future__ import annotations

import torch


def waves(like: torch.Tensor, frequency: float) -> torch.Tensor:
    """A smooth cotangent without symmetry, as an expression of the index."""
    n = torch.arange(like.numel(), dtype=torch.float64)
    return torch.sin(frequency * n + 0.3).reshape(like.shape).to(like.dtype)


def derivatives(op, inputs, cotangent_mask=None):
    """(outputs, gradients, second-order cotangents) of op at inputs, for fixed cotangents."""
    inputs = [x.detach().clone().requires_grad_() for x in inputs]
    out = op(*inputs)
    out = out if isinstance(out, tuple) else (out,)
    grads = [waves(y, 0.7 + k).requires_grad_() for k, y in enumerate(out)]
    first = torch.autograd.grad(out, inputs, grads, create_graph=True, materialize_grads=True)
    mask = cotangent_mask or [True] * len(first)
    total = sum((g * waves(g, 1.1 + k)).sum() for k, (g, m) in enumerate(zip(first, mask)) if m)
    second = torch.autograd.grad(total, [*grads, *inputs], materialize_grads=True)
    return out, first, second


def error(a: torch.Tensor, b: torch.Tensor) -> float:
    """Largest difference relative to the largest magnitude."""
    scale = b.detach().double().abs().max() if b.numel() else 0.0
    if not b.numel():
        return 0.0 if a.shape == b.shape else float("inf")
    return float((a.detach().double() - b.detach().double()).abs().max() / max(float(scale), 1e-300))


def assert_equals_twin(op, twin, inputs, cotangent_mask=None) -> None:
    """float64: values to 1e-12, gradients of both orders to 1e-10 of the largest magnitude."""
    for level, (got, want) in enumerate(zip(derivatives(op, inputs, cotangent_mask),
                                            derivatives(twin, inputs, cotangent_mask))):  # fmt: skip
        for k, (a, b) in enumerate(zip(got, want)):
            assert error(a, b) < (1e-10 if level else 1e-12), f"order {level}, tensor {k}: error {error(a, b):.2e}"


def assert_single_precision_as_good_as_twin(op, twin, inputs, cotangent_mask=None) -> None:
    """float32: at most four times the error of the plain float32 twin (or of one rounding), order by order."""
    single = [x.float() if x.dtype == torch.float64 and k not in op.double_inputs else x
              for k, x in enumerate(inputs)]  # fmt: skip
    exact = derivatives(twin, inputs, cotangent_mask)
    ours, plain = derivatives(op, single, cotangent_mask), derivatives(twin, single, cotangent_mask)
    for level in range(3):
        for a, b, c in zip(ours[level], plain[level], exact[level]):
            assert error(a, c) < 4 * error(b, c) + 4e-7, f"order {level}: {error(a, c):.2e}, twin {error(b, c):.2e}"


def strided(x: torch.Tensor) -> torch.Tensor:
    """The same numbers, two elements apart in memory."""
    wide = torch.full((*x.shape, 2), 7, dtype=x.dtype)
    wide[..., 0] = x
    view = wide[..., 0]
    assert x.numel() < 2 or not view.is_contiguous()
    return view
