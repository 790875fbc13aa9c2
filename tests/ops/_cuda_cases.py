"""Attention and pair energies as functions of positions, on any device, for the tests of their CUDA kernels."""

from __future__ import annotations

import math

import numpy as np
import torch
from _gdml import random_positions, rotations
from _graphs import edge_arguments, graph_batch, random_crystal, random_molecule

from pyff import ops
from pyff.ops import reference

CUTOFF = 3.0
INTERVALS = 17
DEGREES = (1, 2, 1, 3)  # repeated
PAIR_LAWS = ("point", "damped", "softened", "erfc", "dispersion", "zbl")


def batch():
    """A crystal smaller than the cutoff, a molecule, an atom alone."""
    isolated = ([1], np.zeros((1, 3)), np.zeros((3, 3)), False)
    return graph_batch([random_crystal(), random_molecule(9, 2), isolated], CUTOFF)


def draw(*size, seed=0):
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def attention(device, kind, dtype, *, spherical=True):
    """(op, inputs, mask of the cotangents that training on forces has); kind: 'table' or 'rows'."""
    b, f, s, n_degrees = batch().to(device), 24, 7, len(DEGREES)
    shape = ops.AttentionShape(DEGREES, 3, ops.Cutoff("cosine", CUTOFF), 1.7)
    # filters of a typical size; large ones only lose digits
    radial = draw(INTERVALS, 6, 2 * f, seed=6) / 3 if kind == "table" else draw(b.n_edges, 2 * f, seed=6)
    inputs = [*(draw(b.n_atoms, f, seed=k) for k in range(1, 6)), radial]
    if spherical:
        weights = [draw(2, s, n_degrees, seed=8), draw(2, s, seed=9), draw(2, f, s, seed=10) / 3, draw(2, f, seed=11)]
        inputs += [draw(b.n_atoms, shape.n_components, seed=7) / 2, *weights]
    mask = [True] * 6 + [kind == "rows"] + [k == 0 for k in range(len(inputs) - 6)]

    def op(pos, q1, k1, v1, q2, k2, radial, ev=None, *weights):
        graph = edge_arguments(b)
        vec = reference.edge_geometry(pos, b.cell, b.shift, *graph, b.batch)[0]
        if kind == "rows":
            radial = radial[torch.minimum(torch.arange(b.n_edges, device=pos.device), b.edge_rev)]
        return ops.equivariant_attention(
            (q1, k1, v1, q2, k2), ev, radial, weights or None, vec, *graph, shape,
            table=(0.1, -math.expm1(-0.8 * (CUTOFF - 0.1)) / 0.8 / INTERVALS, 0.8) if kind == "table" else None,
        )  # fmt: skip

    return op, [b.pos, *(x.to(device, dtype) for x in inputs)], mask


def pair_energy(device, law, *, cutoff: float | None = CUTOFF):
    """(op, inputs)"""
    b = batch().to(device)
    n, end = b.n_atoms, {"kind": law, "length": 1.3, "cutoff": cutoff}
    positive = lambda *size, seed: (draw(*size, seed=seed).abs() + 0.5).to(device)  # noqa: E731
    if law == "dispersion":
        width = {"width": 1.0, "cutoff": cutoff}
        op = lambda pos, cell, alpha, c6: ops.dispersion_energy(pos, cell, b.batch, b, alpha, c6, **width)  # noqa: E731
        return op, [b.pos, b.cell, positive(n, seed=1), positive(n, seed=2)]
    if law == "zbl":

        def zbl(pos, cell, *parameters):
            c = ops.Cutoff("cosine", CUTOFF)
            return ops.zbl_energy(pos, cell, b.batch, b, b.Z, *parameters, cutoff=c, end=cutoff)

        return zbl, [b.pos, b.cell, *(positive(*size, seed=3) for size in ((4,), (4,), (), ()))]
    op = lambda pos, cell, charges: ops.coulomb_energy(pos, cell, b.batch, b, charges, **end)  # noqa: E731
    return op, [b.pos, b.cell, draw(n, seed=4).to(device)]


def gdml(device) -> dict:
    """Descriptors, products with Jacobians, expansions and covariances of a few sizes, name -> tensor on the CPU."""
    cell = torch.tensor([[6.0, 0, 0], [2.5, 5.5, 0], [-1.0, 2.0, 6.5]], dtype=torch.float64, device=device)
    out = {}
    for b, m, n, p, images in ((1, 50, 9, 6, None), (7, 33, 13, 3, "search"), (40, 5, 4, 1, "round")):
        pos = (random_positions(b, n, seed=5, spread=0.5).to(device), random_positions(m, n).to(device))
        cells = () if images is None else (cell, images)
        (query, g), (train, _) = (ops.inverse_distances(x, *cells) for x in pos)
        perms = ops.descriptor_permutations(rotations(n, p)).to(device)
        coef, coef_energy = draw(*train.shape).to(device), draw(m, seed=1).to(device)
        for kernel in (ops.GdmlKernel(2.0), ops.GdmlKernel(0.9, "rbf")):
            f, energy = ops.gdml_product(query, train, coef, perms, kernel)
            with_energies = ops.gdml_product(query, train, coef, perms, kernel, coef_energy)
            parts = {"x": query, "g": g, "f": f, "energy": energy, "f_e": with_energies[0], "e": with_energies[1]}
            parts["Ju"] = ops.jacobian_product(g, draw(b, n, 3).to(device))
            parts["JTu"] = ops.jacobian_transpose_product(g, f)
            covariance = ops.GdmlCovariance(query, g, perms, kernel, energies=True)
            parts["Kv"] = covariance(draw(covariance.size).to(device))
            out |= {f"{name} {m} {kernel.profile}": x.cpu() for name, x in parts.items()}
    return out
