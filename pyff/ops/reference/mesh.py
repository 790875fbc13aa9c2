from __future__ import annotations

import torch

__all__ = ["mesh_gather", "mesh_spread", "spline_weights"]


def spline_weights(w, order):
    """M_order(w + j), j = 0 .. order - 1, along a new last axis, by the recursion of the cardinal B-splines."""
    m = [w, 1 - w]
    for n in range(3, order + 1):
        old = [*m, torch.zeros_like(w)]
        m = [((w + j) * old[j] + ((n - j - w) * old[j - 1] if j else 0)) / (n - 1) for j in range(n)]
    return torch.stack(m, -1)


def _stencil(u, shape, order):
    """Weights [N, order^3] and mesh points [N, order^3] of each atom."""
    base = u.detach().floor()
    x, y, z = spline_weights(u - base, order).unbind(1)
    weights = (x[:, :, None, None] * y[:, None, :, None] * z[:, None, None]).flatten(1)
    points = base.long()[:, :, None] - torch.arange(order, device=u.device)
    a, b, c = (points[:, k] % n for k, n in enumerate(shape))
    return weights, ((a[:, :, None, None] * shape[1] + b[:, None, :, None]) * shape[2] + c[:, None, None]).flatten(1)


def mesh_spread(weight, u, shape, order):
    """Twin of pyff.ops.mesh.mesh_spread."""
    weights, points = _stencil(u, shape, order)
    mesh = weight.new_zeros(shape[0] * shape[1] * shape[2])
    return mesh.index_add(0, points.flatten(), (weight[:, None] * weights).flatten()).reshape(shape)


def mesh_gather(mesh, u, order):
    """Twin of pyff.ops.mesh.mesh_gather."""
    weights, points = _stencil(u, mesh.shape, order)
    return (mesh.flatten()[points] * weights).sum(1)
