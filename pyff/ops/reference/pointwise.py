from __future__ import annotations

import math

import torch

__all__ = ["activate", "bias_activation", "cutoff_function", "radial_basis"]


def activate(x, activation):
    """Activation by name or by its number in csrc/math/activation.hpp."""
    if activation in ("ssp", 1):
        return torch.nn.functional.softplus(x, threshold=1000.0) - math.log(2.0)
    if activation in ("silu", 2):
        return torch.nn.functional.silu(x)
    if activation in ("tanh", 3):
        return torch.tanh(x)
    return x


def bias_activation(x, bias, activation):
    """Twin of pyff.ops.bias_activation."""
    return activate(x + bias, activation)


def radial_basis(distance, basis, *, dtype=torch.float32):
    """Twin of pyff.ops.radial_basis; basis may also be its flat form."""
    kind, start, spacing, gamma, size = getattr(basis, "args", basis)
    d, k = distance[:, None], torch.arange(size, dtype=distance.dtype, device=distance.device)
    if kind in (0, 1):
        x = d if kind == 0 else torch.exp(-d)
        value = torch.exp(-gamma * (x - (start + spacing * k)) ** 2)
    elif kind == 2:
        n = size - 1
        binomials = k.new_tensor([math.comb(n, j) for j in range(size)])
        value = binomials * torch.exp(-gamma * k * d) * (-torch.expm1(-gamma * d)) ** (n - k)
    else:
        w = gamma * (k + 1)
        value = w * torch.sinc(w * d / math.pi)
    return value.to(dtype)


def cutoff_function(distance, cutoff, *, dtype=torch.float32):
    """Twin of pyff.ops.cutoff_function. Distances outside are replaced before the formula, so that the branch that is
    not selected has finite derivatives too."""
    inside = distance < cutoff.radius
    d = torch.where(inside, distance, 0.5 * (cutoff.radius + cutoff.onset))
    if cutoff.kind == "cosine":
        value = 0.5 * (1 + torch.cos(math.pi * d / cutoff.radius))
    elif cutoff.kind == "mollifier":
        value = torch.exp(1 - 1 / (1 - (d / cutoff.radius) ** 2))
    elif cutoff.kind == "smooth":
        x = (d - cutoff.onset) / (cutoff.radius - cutoff.onset)
        falling = x > 0
        x = torch.where(falling, x, 0.5)
        f, g = torch.exp(-1 / x), torch.exp(-1 / (1 - x))
        value = torch.where(falling, g / (f + g), 1.0)
    elif cutoff.kind in ("polynomial3", "polynomial6"):
        p, t = int(cutoff.kind[-1]), d / cutoff.radius
        value = 1 - t**p * ((p + 1) * (p + 2) / 2 - p * (p + 2) * t + p * (p + 1) / 2 * t**2)
    else:
        value = 1 + 0 * d
    return torch.where(inside, value, 0.0).to(dtype)
