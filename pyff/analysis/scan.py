"""Energy along a path through a structure: dilation of all of it, or one bond."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from pyff.md.bonds import bonded_pairs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["dilated", "path_energies", "scan_panel", "stretched"]


def dilated(atoms: Atoms, factor: float) -> Atoms:
    """The structure, and its cell, with all lengths multiplied by a factor."""
    if not factor > 0:
        raise ValueError(f"factor must be positive; received {factor}")
    moved = atoms.copy()
    if atoms.cell.rank:
        moved.set_cell(atoms.cell.array * factor, scale_atoms=False)
    moved.positions = atoms.positions * factor
    return moved


def stretched(atoms: Atoms, i: int, j: int, length: float) -> Atoms:
    """The molecule with atoms i and j `length` A apart: what hangs on j moves with it, along the line from i to j.

    Raises ValueError where i and j are the same, lie in a ring, belong to one molecule without being bonded, or the
    structure is periodic.
    """
    n = len(atoms)
    if not (0 <= i < n and 0 <= j < n and i != j):
        raise ValueError(f"a bond must name two of the atoms 0..{n - 1}; received {i} and {j}")
    if atoms.pbc.any():
        raise ValueError("a bond can be stretched in molecules only; received a periodic structure")
    part = _side(atoms, i, j)
    if part[i]:
        names = [f"{chemical_symbols[atoms.numbers[k]]}{k}" for k in (i, j)]
        if (min(i, j), max(i, j)) not in _bonds(atoms):
            raise ValueError(f"{names[0]} and {names[1]} are not bonded; bonds: {_bonds_text(atoms, i, j)}")
        raise ValueError(f"{names[0]} and {names[1]} lie in a ring: no part of the molecule can move alone")
    vector = atoms.positions[j] - atoms.positions[i]
    distance = np.linalg.norm(vector)
    moved = atoms.copy()
    moved.positions[part] += (length - distance) / distance * vector
    return moved


def _bonds(atoms: Atoms) -> list[tuple[int, int]]:
    bonds = bonded_pairs(atoms)
    return list(zip(bonds.idx_i.tolist(), bonds.idx_j.tolist()))


def _bonds_text(atoms: Atoms, i: int, j: int) -> str:
    """The bonds of atoms i and j."""
    name = lambda k: f"{chemical_symbols[atoms.numbers[k]]}{k}"  # noqa: E731
    return ", ".join(f"{name(a)}-{name(b)}" for a, b in _bonds(atoms) if {a, b} & {i, j}) or "none"


def _side(atoms: Atoms, i: int, j: int) -> np.ndarray:
    """Which atoms stay connected with j when the bond i-j is cut."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    bonds = bonded_pairs(atoms)
    kept = (bonds.idx_i != min(i, j)) | (bonds.idx_j != max(i, j))
    a, b = bonds.idx_i[kept], bonds.idx_j[kept]
    graph = coo_array((np.ones(len(a)), (a, b)), shape=(len(atoms), len(atoms)))
    labels = connected_components(graph, directed=False)[1]
    return labels == labels[j]


def path_energies(path: Sequence[Atoms], calculator) -> np.ndarray:
    """Energies [K] in eV of structures by an ASE calculator."""
    return np.array([float(calculator.get_potential_energy(atoms)) for atoms in path])


def scan_panel(x: np.ndarray, energies: np.ndarray, label: str, start: float, title: str) -> Callable[[Axes], None]:
    """Panel of the energy, above its lowest value, against x; the structure that was scanned is marked at `start`."""

    def draw(axes: Axes) -> None:
        axes.plot(x, energies - energies.min(), "o-", linewidth=1.2, markersize=3, color="#1f5fa8")
        axes.axvline(start, color="0.6", linewidth=0.8, linestyle="--")
        axes.set(xlabel=label, ylabel="energy above the lowest (eV)", title=title)

    return draw
