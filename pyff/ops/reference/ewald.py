from __future__ import annotations

import itertools
import math

import torch

from pyff.units import CODATA_2014

__all__ = ["ewald_energy"]


def ewald_energy(pos, cell, batch, charges, *, kind="point", length=None, cutoff=None, accuracy=1e-6):
    """Twin of pyff.ops.ewald_energy: every pair of images and every reciprocal vector in turn, system by system."""
    s = math.sqrt(-math.log(accuracy))
    alpha = s / cutoff if kind == "point" else 1 / length
    energy = torch.zeros_like(charges)
    for b in range(cell.shape[0]):
        atoms = (batch == b).nonzero().flatten()
        r, q, volume = pos[atoms], charges[atoms], torch.linalg.det(cell[b]).abs()
        phi = _vectors(r, cell[b], q, alpha, 2 * s * alpha) - 2 * alpha / math.sqrt(math.pi) * q
        if kind == "point":
            phi = phi + _images(r, cell[b], q, alpha, cutoff) - math.pi * q.sum() / (volume * alpha**2)
        energy = energy.index_add(0, atoms, 0.5 * CODATA_2014.coulomb * q * phi)
    return energy


def _grid(widths):
    rows = list(itertools.product(*(range(-m, m + 1) for m in widths)))
    return torch.tensor([n for n in rows if any(n)], dtype=torch.float64).reshape(-1, 3)


def _vectors(r, cell, q, alpha, k_cutoff):
    numbers = _grid([math.ceil(k_cutoff * float(x) / (2 * math.pi)) for x in cell.detach().norm(dim=1)])
    k = 2 * math.pi * numbers @ torch.linalg.inv(cell).T
    k2 = (k**2).sum(1)
    kernel = 4 * math.pi / torch.linalg.det(cell).abs() * torch.exp(-k2 / (4 * alpha**2)) / k2
    cos, sin = torch.cos(r @ k.T), torch.sin(r @ k.T)
    return cos @ (kernel * (q @ cos)) + sin @ (kernel * (q @ sin))


def _images(r, cell, q, alpha, cutoff):
    heights = 1 / torch.linalg.inv(cell.detach()).norm(dim=0)
    spread = torch.linalg.solve(cell.detach().T, (r.detach() - r.detach().mean(0)).T).abs().amax(1) * 2
    widths = [math.ceil(cutoff / float(h) + float(x)) for h, x in zip(heights, spread)]
    phi = torch.zeros_like(q)
    for shift in [torch.zeros(3, dtype=torch.float64), *_grid(widths)]:
        vec = r[None] + shift @ cell - r[:, None]
        d2 = (vec**2).sum(-1)
        near = (d2 < cutoff**2) & (d2 > 0)
        d = torch.where(near, d2, 1.0).sqrt()
        phi = phi + torch.where(near, torch.special.erfc(alpha * d) / d, 0.0) @ q
    return phi
