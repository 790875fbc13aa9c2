from __future__ import annotations

import torch

from pyff.ops.reference.pointwise import activate, cutoff_function, radial_basis

__all__ = ["cfconv", "cfconv_flat", "cfconv_table", "filter_nodes", "filter_nodes_flat"]


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
    g = radial_basis(distance, shape.basis, dtype=h.dtype)
    filters = activate(activate(g @ w1.T + b1, shape.activation) @ w2.T + b2, shape.last_activation)
    return _convolve(h, filters * cutoff_function(distance, shape.cutoff, dtype=h.dtype)[:, None], idx_i, idx_j)


def filter_nodes(weights, distance, shape):
    """Twin of pyff.ops.filter_nodes."""
    w1, b1, w2, b2 = weights

    def filters(d):
        g = radial_basis(d, shape.basis, dtype=w1.dtype)
        w = activate(activate(g @ w1.T + b1, shape.activation) @ w2.T + b2, shape.last_activation)
        return w * cutoff_function(d, shape.cutoff, dtype=w1.dtype)[:, None]

    with torch.enable_grad():
        d = distance.detach().requires_grad_()
        value = filters(d)
        slope = _along(value, d)
        return torch.stack([value, slope, _along(slope, d)])


def _along(y, d):
    """dy[n, f] / dd[n], each row depending on its own distance: reverse mode twice makes forward mode."""
    v = torch.zeros_like(y, requires_grad=True)
    pulled = torch.autograd.grad(y, d, v, create_graph=True)[0]
    return torch.autograd.grad(pulled.sum(), v, create_graph=True)[0]


def cfconv_flat(h, distance, w1, b1, w2, b2, row_ptr, idx_i, idx_j, edge_rev, *shape):
    """cfconv with the arguments of the registered op."""
    return cfconv(h, distance, (w1, b1, w2, b2), row_ptr, idx_i, idx_j, edge_rev, _shape(*shape))


def filter_nodes_flat(w1, b1, w2, b2, distance, *shape):
    """filter_nodes with the arguments of the registered op."""
    return filter_nodes((w1, b1, w2, b2), distance, _shape(*shape))


def _shape(*args):
    from pyff.ops.cfconv import FilterShape
    from pyff.ops.radial import CUTOFFS, BasisArgs, Cutoff

    names = {number: name for name, number in CUTOFFS.items()}
    kind, radius, onset, activation, last = args[5:]
    return FilterShape(BasisArgs(*args[:5]), Cutoff(names[kind], radius, onset), activation, last)
