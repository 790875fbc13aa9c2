from __future__ import annotations

import torch

from pyff.ops.reference.pointwise import activate, cutoff_function, gaussian_basis

__all__ = ["cfconv", "cfconv_flat", "cfconv_table"]


def _convolve(h, filters, idx_i, idx_j):
    return torch.zeros_like(h).index_add(0, idx_i, filters * h[idx_j])


def cfconv_table(h, distance, coef, row_ptr, idx_i, idx_j, edge_rev, start, spacing):
    """Twin of pyff.ops.cfconv_table."""
    x = (distance - start) / spacing
    interval = x.detach().floor().long().clamp(0, coef.shape[0] - 1)
    u = (x - interval).to(h.dtype)
    powers = torch.stack([u**m for m in range(6)], 1)
    filters = torch.einsum("em,emf->ef", powers, coef[interval])
    inside = distance < start + spacing * coef.shape[0]
    return _convolve(h, filters * inside[:, None], idx_i, idx_j)


def cfconv(h, distance, weights, row_ptr, idx_i, idx_j, edge_rev, shape):
    """Twin of pyff.ops.cfconv."""
    w1, b1, w2, b2 = weights
    g = gaussian_basis(distance, shape.basis, dtype=h.dtype)
    filters = activate(activate(g @ w1.T + b1, shape.activation) @ w2.T + b2, shape.last_activation)
    return _convolve(h, filters * cutoff_function(distance, shape.cutoff, dtype=h.dtype)[:, None], idx_i, idx_j)


def cfconv_flat(h, distance, w1, b1, w2, b2, row_ptr, idx_i, idx_j, edge_rev, *shape):
    """cfconv with the arguments of the registered op."""
    from pyff.ops.cfconv import FilterShape
    from pyff.ops.radial import CUTOFFS, Cutoff, GaussianBasis

    start, spacing, gamma, size, kind, radius, onset, activation, last = shape
    names = {number: name for name, number in CUTOFFS.items()}
    filter_shape = FilterShape(
        GaussianBasis(start, spacing, gamma, size), Cutoff(names[kind], radius, onset), activation, last
    )
    return cfconv(h, distance, (w1, b1, w2, b2), row_ptr, idx_i, idx_j, edge_rev, filter_shape)
