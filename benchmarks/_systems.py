"""Structures and graphs that the benchmarks share: the 21-atom molecule, liquid water, and batches of them."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from pyff.batch import GraphBatch, Needs
from pyff.data.collate import collate
from pyff.data.from_ase import from_ase

WATER_DENSITY = 0.033327  # molecules per cubic A at 0.997 g/cm3

_MOLECULE = """C 3.4038 0.5543 0.0552 C 2.0439 0.1391 0.5312 O 1.6894 0.1441 1.7031 O 1.2884 -0.2659 -0.5636
C -0.0284 -0.5847 -0.2190 C -0.3282 -1.9424 -0.0674 C -1.6290 -2.3304 0.2478 C -2.6259 -1.3671 0.3983
C -2.3267 -0.0114 0.2273 C -1.0220 0.3968 -0.0914 C -0.7032 1.8334 -0.3031 O 0.3609 2.3052 -0.6590
O -1.7563 2.6373 -0.0592 H 3.9239 -0.3054 -0.3741 H 3.9844 0.9300 0.9025 H 3.3109 1.3562 -0.6817
H 0.4490 -2.6922 -0.1857 H -1.8659 -3.3836 0.3782 H -3.6405 -1.6701 0.6470 H -3.1244 0.7190 0.3429
H -1.4037 3.5378 -0.2188"""


def molecule(seed: int | None = None) -> Atoms:
    """Aspirin, 21 atoms; a seed rattles it by 0.03 A."""
    rows = np.array(_MOLECULE.split()).reshape(-1, 4)
    atoms = Atoms(list(rows[:, 0]), positions=rows[:, 1:].astype(float))
    if seed is not None:
        atoms.rattle(0.03, seed=seed)
    return atoms


def water(n_atoms: int, periodic: bool = True, seed: int = 0) -> Atoms:
    """Water at liquid density: molecules on a jittered grid, turned at random; n_atoms is rounded to 3n."""
    rng = np.random.default_rng(seed)
    n = max(1, round(n_atoms / 3))
    length = (n / WATER_DENSITY) ** (1 / 3)
    m = int(np.ceil(n ** (1 / 3)))
    grid = np.stack(np.meshgrid(*[np.arange(m)] * 3, indexing="ij"), -1).reshape(-1, 3)
    grid = grid[np.sort(rng.permutation(len(grid))[:n])]
    centre = (grid + 0.5) * (length / m) + rng.uniform(-0.1, 0.1, (n, 3))
    shape = np.array([[0, 0, 0.0], [0.9572, 0, 0], [-0.2399872, 0.9266272, 0]])
    turns = np.linalg.qr(rng.normal(size=(n, 3, 3)))[0]
    turns *= np.linalg.det(turns)[:, None, None]
    pos = (centre[:, None] + np.einsum("nab,kb->nka", turns, shape)).reshape(-1, 3)
    if not periodic:
        return Atoms("OHH" * n, positions=pos)
    return Atoms("OHH" * n, positions=pos % length, cell=[length] * 3, pbc=True)


def skewed() -> Atoms:
    """12 atoms in a strongly skewed cell whose heights are smaller than a 5 A cutoff."""
    cell = np.array([[4.6, 0, 0], [3.1, 4.4, 0], [-2.7, 2.9, 4.2]])
    return Atoms("C4O4H4", scaled_positions=np.random.default_rng(0).random((12, 3)), cell=cell, pbc=True)


def batch(atoms: list[Atoms], cutoff: float = 5.0) -> GraphBatch:
    return collate([from_ase(a) for a in atoms], Needs(cutoff=cutoff))


def workloads() -> dict[str, GraphBatch]:
    """The two graphs of the SchNet benchmarks: 32 molecules of 21 atoms, and 999 atoms of water."""
    return {"32x21": batch([molecule(k) for k in range(32)]), "water999": batch([water(999)])}
