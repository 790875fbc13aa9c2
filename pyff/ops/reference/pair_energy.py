from __future__ import annotations

import math

import torch

from pyff.ops.reference.pointwise import cutoff_function
from pyff.units import CODATA_2014

__all__ = ["coulomb_energy", "dispersion_energy", "smooth_step", "zbl_energy"]

_K = CODATA_2014.coulomb


def smooth_step(r, on, off):
    """1 up to `on`, 0 from `off`: s(1-x)/(s(1-x) + s(x)), s(x) = exp(-1/x), x = (r - on)/(off - on)."""
    x = (r - on) / (off - on)
    between = (x > 0) & (x < 1)
    x = torch.where(between, x, 0.5)  # finite derivatives of the branch that is not selected
    f, g = torch.exp(-1 / (1 - x)), torch.exp(-1 / x)
    return torch.where(between, f / (f + g), (r <= on).to(r.dtype))


def _pairs(pos, cell, batch, pairs, cutoff):
    """Receivers, senders and distances of the pairs within the cutoff."""
    i = torch.repeat_interleave(torch.arange(pos.shape[0], device=pos.device), pairs.row_ptr.diff())
    vec = pos[pairs.idx_j] - pos[i] + torch.einsum("pa,pab->pb", pairs.shift.to(cell.dtype), cell[batch[i]])
    near = torch.linalg.vector_norm(vec.detach(), dim=1) < (math.inf if cutoff is None else cutoff)
    return i[near], pairs.idx_j[near], torch.linalg.vector_norm(vec[near], dim=1)


def _sum(pos, i, energy):
    return pos.new_zeros(pos.shape[0]).index_add(0, i, 0.5 * energy)


def _shifted(function, r, cutoff):
    """b(r) - b(R) and b(r) - b(R) - b'(R) (r - R)."""
    if cutoff is None:
        return function(r), function(r)
    with torch.enable_grad():
        end = torch.tensor(cutoff, dtype=r.dtype, device=r.device, requires_grad=True)
        value = function(end)
        slope = torch.autograd.grad(value, end)[0]
    value = value.detach()
    return function(r) - value, function(r) - value - slope * (r - cutoff)


def coulomb_energy(pos, cell, batch, pairs, charges, *, kind="damped", length=1.0, cutoff=None):
    """Twin of pyff.ops.coulomb_energy."""
    i, j, r = _pairs(pos, cell, batch, pairs, cutoff)
    if kind == "erfc":
        h = torch.erfc(r / length) / r
    elif kind == "point":
        h = _shifted(lambda x: 1 / x, r, cutoff)[1]
    elif kind == "softened":
        f = smooth_step(r, 0.25 * length, 0.75 * length)
        soft = _shifted(lambda x: 1 / torch.sqrt(x**2 + 1), r, cutoff)[1]
        h = f * soft + (1 - f) * _shifted(lambda x: 1 / x, r, cutoff)[1]
    else:
        value, force = _shifted(lambda x: torch.erf(x / length) / x, r, cutoff)
        f = 1.0 if cutoff is None else smooth_step(r, 0.45 * cutoff, cutoff)
        h = f * value + (1 - f) * force
    return _sum(pos, i, _K * charges[i] * charges[j] * h)


def dispersion_energy(pos, cell, batch, pairs, alpha, c6, *, scale=1.2, cutoff=None, width=2.0):
    """Twin of pyff.ops.dispersion_energy."""
    u = CODATA_2014
    i, j, r = _pairs(pos, cell, batch, pairs, cutoff)
    mean = (alpha[i] + alpha[j]) / 2
    C6 = 2 * c6[i] * c6[j] * alpha[i] * alpha[j] / (alpha[i] ** 2 * c6[j] + alpha[j] ** 2 * c6[i])
    R = u.fine_structure ** (-4 / 21) * mean ** (1 / 7)
    sigma = -0.00433008 + 0.24428889 * R + 0.04125273 * R**2 - 0.00078893 * R**3
    gamma = 1 / (2 * sigma**2)
    C8, C10 = 5 / gamma * C6, 245 / 8 / gamma**2 * C6
    p = scale * 2 * 2.54 * mean ** (1 / 7)
    x = r / u.bohr
    energy = -u.hartree * (C6 / (x**6 + p**6) + C8 / (x**8 + p**8) + C10 / (x**10 + p**10))
    return _sum(pos, i, energy if cutoff is None else energy * smooth_step(r, cutoff - width, cutoff))


def zbl_energy(
    pos, cell, batch, pairs, Z, exponents, weights, power, inverse_length, *, cutoff, end=1.5
):  # fmt: skip
    """Twin of pyff.ops.zbl_energy."""
    i, j, r = _pairs(pos, cell, batch, pairs, cutoff.radius if end is None else min(cutoff.radius, end))
    charge = Z.to(pos.dtype)
    reduced = r * inverse_length * (charge[i] ** power + charge[j] ** power)
    screening = (weights * torch.exp(-exponents * reduced[:, None])).sum(1)
    phi = cutoff_function(r, cutoff, dtype=pos.dtype)
    w = 1.0 if end is None else smooth_step(r, 0.0, end)
    return _sum(pos, i, w * phi * _K * charge[i] * charge[j] / r * screening)
