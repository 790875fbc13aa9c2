"""A small energy model and data it can learn in seconds: clusters bound by a Morse potential."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import BaseModel
from torch import nn

from pyff.data import Dataset, from_arrays
from pyff.models.base import AtomOutputs, EnergyModel

WELL, WIDTH, LENGTH = 1.0, 1.2, 1.6  # eV, 1/A, A


class PairConfig(BaseModel):
    cutoff: float = 6.0
    n_rbf: int = 16
    hidden: int = 24
    dropout: float = 0.0


class PairModel(EnergyModel):
    """E_i = sum_j net(rbf(d_ij)) (1 - d/rc)^2."""

    architecture = "toy_pair"

    def __init__(self, config: PairConfig | None = None, elements=(1, 6), reference_energy=None, seed: int = 0) -> None:
        super().__init__(config or PairConfig(), elements, reference_energy)
        c = self.config
        self.net = nn.Sequential(nn.Linear(c.n_rbf, c.hidden), nn.SiLU(), nn.Dropout(c.dropout), nn.Linear(c.hidden, 1))
        generator = torch.Generator().manual_seed(seed)
        for p in self.parameters():
            nn.init.normal_(p, std=0.3, generator=generator)
        self.calls = 0

    def atom_outputs(self, batch, geometry) -> AtomOutputs:
        distance = geometry.distance
        self.calls += 1
        c = self.config
        centres = torch.linspace(0.5, c.cutoff, c.n_rbf, dtype=torch.float64)
        rbf = torch.exp(-2.0 * (distance[:, None] - centres) ** 2)
        pair = self.net(rbf.to(self.dtype))[:, 0] * ((1 - distance / c.cutoff) ** 2).to(self.dtype)
        return AtomOutputs(pair.new_zeros(batch.n_atoms).index_add(0, batch.idx_i, pair), None)


def morse(pos: np.ndarray) -> tuple[float, np.ndarray]:
    """Energy and forces of D (1 - exp(-a (d - d0)))^2 - D over all pairs."""
    vec = pos[None] - pos[:, None]  # [i, j] from i to j
    d = np.linalg.norm(vec, axis=-1) + np.eye(len(pos))
    x = np.exp(-WIDTH * (d - LENGTH))
    off = 1 - np.eye(len(pos))
    energy = 0.5 * float(np.sum(off * (WELL * (1 - x) ** 2 - WELL)))
    slope = off * 2 * WELL * WIDTH * (1 - x) * x
    return energy, np.sum((slope / d)[..., None] * vec, axis=1)


def morse_data(n_frames: int = 40, n_atoms: int = 4, seed: int = 0, shift: float = 0.0) -> Dataset:
    """Rattled clusters with energies and forces; `shift` eV per atom is added to the energies."""
    rng = np.random.default_rng(seed)
    base = 1.7 * np.array([[0, 0, 0], [1, 0, 0], [0.5, 0.87, 0], [0.5, 0.29, 0.82], [1.5, 0.87, 0]])[:n_atoms]
    pos = base + rng.normal(scale=0.15, size=(n_frames, n_atoms, 3))
    energy, forces = zip(*(morse(p) for p in pos))
    Z = np.array([1, 6, 1, 6, 1])[:n_atoms]
    return from_arrays(Z, pos, np.array(energy) + shift * n_atoms, np.array(forces), units="eV,Angstrom", name="morse")
