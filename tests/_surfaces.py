"""Surfaces with known minima."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

EPSILON, SIGMA = 0.1, 2.28  # eV, A: neighbors 2.56 A apart, as in copper


class LennardJonesCluster(Calculator):
    """4 eps sum [(s/r)^12 - (s/r)^6] over all pairs, no cutoff; counts its calls, fails after `limit` of them."""

    implemented_properties = ("energy", "forces")

    def __init__(self, limit: int = 10**9) -> None:
        super().__init__()
        self.calls, self.limit = 0, limit

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        if self.calls > self.limit:
            raise ValueError("no more calls")
        vec = self.atoms.positions[None] - self.atoms.positions[:, None]
        square = (vec**2).sum(2) + np.diag(np.full(len(vec), 1e12))
        x = (SIGMA**2 / square) ** 3
        slope = -24 * EPSILON * (2 * x * x - x) / square
        self.results = {"energy": float(2 * EPSILON * (x * x - x).sum()), "forces": (slope[..., None] * vec).sum(1)}


def cluster(n: int, seed: int = 0) -> Atoms:
    """A heap of n atoms, relaxed a little."""
    from pyff.md import relax

    atoms = Atoms(f"Cu{n}", np.random.default_rng(seed).normal(size=(n, 3)) * 2.0, calculator=LennardJonesCluster())
    relax(atoms, fmax=0.05, steps=3000, optimizer="fire")
    atoms.calc = None
    return atoms
