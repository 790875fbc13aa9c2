"""A harmonic crystal as a potential, and what statistical mechanics says about it."""

from __future__ import annotations

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from pydantic import BaseModel, ConfigDict
from torch import nn

from pyff.models import EnergyModel, register
from pyff.models.base import AtomOutputs

SPRING, ONSITE = 16.0, 4.0  # eV/A^2: between neighbors, and to each site
KB, HBAR = 8.617333262e-5, 0.6582119569  # eV/K, eV fs
AMU = 103.642695  # eV fs^2/A^2


class CrystalConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    sites: list[list[float]]
    cutoff: float = 2.0


@register
class HarmonicCrystal(EnergyModel):
    """E = u^T H u / 2 with the displacements u from the sites; atoms may not leave the cell they start in."""

    architecture = "test_harmonic_crystal"
    Config = CrystalConfig

    def __init__(self, config, elements=(6,), reference_energy=None) -> None:
        super().__init__(config, elements, reference_energy)
        self.hessian = nn.Parameter(torch.zeros(3 * len(config.sites), 3 * len(config.sites)))

    def atom_outputs(self, batch, geometry):
        u = geometry.pos - torch.tensor(self.config.sites, dtype=torch.float64)
        product = (self.hessian.to(u.dtype) @ u.reshape(-1)).reshape(-1, 3)
        # the base adds up energies of atoms and differentiates
        return AtomOutputs(0.5 * (u * product).sum(1))


def crystal() -> Atoms:
    """Eight carbon atoms of a simple cubic lattice, periodic."""
    return bulk("C", "sc", a=2.0) * (2, 2, 2)


def hessian(atoms: Atoms) -> np.ndarray:
    """Springs SPRING along the axes between neighbors at 2 A (both ways round the cell), ONSITE to the sites."""
    n, out = len(atoms), np.zeros((3 * len(atoms), 3 * len(atoms)))
    for i in range(n):
        out[3 * i : 3 * i + 3, 3 * i : 3 * i + 3] += ONSITE * np.eye(3)
        for j in range(n):
            d = atoms.get_distance(i, j, mic=True, vector=True)
            if i == j or abs(np.linalg.norm(d) - 2.0) > 0.1:
                continue
            spring = 2 * SPRING * np.outer(d, d) / (d @ d)  # two images of the same neighbor
            out[3 * i : 3 * i + 3, 3 * i : 3 * i + 3] += spring
            out[3 * i : 3 * i + 3, 3 * j : 3 * j + 3] -= spring
    return out


def crystal_model() -> HarmonicCrystal:
    atoms = crystal()
    model = HarmonicCrystal(CrystalConfig(sites=atoms.positions.tolist())).double()
    model.hessian.data = torch.as_tensor(hessian(atoms))
    return model.eval()


def frequencies() -> np.ndarray:
    """Angular frequencies [3N] in 1/fs."""
    atoms = crystal()
    return np.sqrt(np.linalg.eigvalsh(hessian(atoms)) / (atoms.get_masses()[0] * AMU))


def mean_energies(temperature: float, beads: int) -> tuple[float, float]:
    """(potential, kinetic) energy in eV of ring polymers with `beads` beads; one bead is classical.

    V = kT/2 sum_s sum_k w_s^2 / (w_k^2 + w_s^2), w_k = 2 (P kT/hbar) sin(k pi/P); for P -> infinity
    hbar w/4 coth(hbar w/2kT) per mode s. The kinetic energy is the centroid virial's: kT/2 per mode, and the terms
    k > 0 of V.
    """
    kT, w = KB * temperature, frequencies()[:, None]
    ring = 2 * beads * kT / HBAR * np.sin(np.arange(beads) * np.pi / beads)
    terms = 0.5 * kT * w**2 / (ring**2 + w**2)
    return float(terms.sum()), float(0.5 * kT * len(w) + terms[:, 1:].sum())


def quantum_energy(temperature: float) -> float:
    """Exact mean potential energy in eV, the limit of many beads."""
    x = HBAR * frequencies() / (2 * KB * temperature)
    return float((HBAR * frequencies() / 4 / np.tanh(x)).sum())
