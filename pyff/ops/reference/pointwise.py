from __future__ import annotations

import math

import torch

__all__ = ["activate", "bias_activation", "cutoff_function", "gaussian_basis"]


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


def gaussian_basis(distance, basis, *, dtype=torch.float32):
    """Twin of pyff.ops.gaussian_basis."""
    centres = basis.start + basis.spacing * torch.arange(basis.size, dtype=distance.dtype, device=distance.device)
    return torch.exp(-basis.gamma * (distance[:, None] - centres) ** 2).to(dtype)


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
    else:
        value = 1 + 0 * d
    return torch.where(inside, value, 0.0).to(dtype)
