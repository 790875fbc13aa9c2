"""Water as three Morse bonds: energies and forces in closed form, in kcal/mol and A; and copper in eV and A."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.calculators.emt import EMT

from pyff.interfaces.sgdml import dataset_arrays
from pyff.train.gdml import GdmlData

EQUILIBRIUM = np.array([[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]])
PAIRS = ((0, 1, 100.0, 2.2, 0.97), (0, 2, 100.0, 2.2, 0.97), (1, 2, 20.0, 1.0, 1.52))  # atoms, depth, width, length


def morse(pos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Energies [M] and forces [M, 3, 3] of positions [M, 3, 3]."""
    energy, forces = np.full(len(pos), -1000.0), np.zeros_like(pos)
    for a, b, depth, width, length in PAIRS:
        vec = pos[:, a] - pos[:, b]
        r = np.linalg.norm(vec, axis=1)
        x = np.exp(-width * (r - length))
        energy += depth * (1 - x) ** 2
        pull = -(2 * depth * width * x * (1 - x) / r)[:, None] * vec
        forces[:, a] += pull
        forces[:, b] -= pull
    return energy, forces


def water(m: int, seed: int = 0, spread: float = 0.08, cell: np.ndarray | None = None) -> GdmlData:
    pos = EQUILIBRIUM + spread * np.random.default_rng(seed).normal(size=(m, 3, 3))
    energy, forces = morse(pos)
    return GdmlData(
        Z=np.array([8, 1, 1], np.uint8), pos=pos, forces=forces, energy=energy, cell=cell, name="water",
        theory="Morse", energy_unit="kcal/mol", length_unit="Angstrom",
    )  # fmt: skip


def shaken(ideal: Atoms, m: int = 20) -> GdmlData:
    """m frames of a metal around its sites, labelled by effective-medium theory."""
    frames, rng = [], np.random.default_rng(0)
    for _ in range(m):
        frame = ideal.copy()
        frame.rattle(0.08, rng=rng)
        frame.calc = EMT()
        frames.append((frame.positions, frame.get_forces(), frame.get_potential_energy()))
    pos, forces, energy = map(np.array, zip(*frames))
    return GdmlData(
        Z=ideal.numbers, pos=pos, forces=forces, energy=energy, cell=ideal.cell[:], name="copper", theory="EMT",
        energy_unit="eV", length_unit="Ang",
    )  # fmt: skip


def arrays_of_data(data: GdmlData) -> dict:
    """The arrays of a data set file."""
    return dataset_arrays(data.Z, data.pos, data.forces, data.energy, name=data.name, theory=data.theory,
                          cell=data.cell, e_unit=data.energy_unit, r_unit=data.length_unit)  # fmt: skip
