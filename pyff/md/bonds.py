"""Which atoms of a structure are bonded, and how far a moving structure has left those bonds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols, covalent_radii

from pyff.neighbors import neighbor_list

__all__ = ["BOND_SCALE", "Bonds", "bonded_pairs", "fragments"]

# a bond is a pair closer than this times the sum of the covalent radii: 1.36 A for C-H, 1.9 A for C-C; contacts that
# are no bonds (H...O of hydrogen bonds, H...H of methyl groups) begin at 1.5 times
BOND_SCALE = 1.25


@dataclass(frozen=True)
class Bonds:
    """Bonded pairs i < j of one structure: idx_i, idx_j int64 [P], shift int32 [P, 3] (lattice translations of j),
    length float64 [P] in A."""

    idx_i: np.ndarray
    idx_j: np.ndarray
    shift: np.ndarray
    length: np.ndarray

    def __len__(self) -> int:
        return len(self.idx_i)

    def deviations(self, atoms: Atoms) -> np.ndarray:
        """| |r_ij| - b_ij | [P] in A. Atoms must not have been wrapped into the cell since the bonds were found."""
        vectors = atoms.positions[self.idx_j] - atoms.positions[self.idx_i] + self.shift @ atoms.cell.array
        return np.abs(np.linalg.norm(vectors, axis=1) - self.length)

    def label(self, atoms: Atoms, k: int) -> str:
        """Name of bond k, such as C0-H4."""
        i, j = self.idx_i[k], self.idx_j[k]
        return f"{chemical_symbols[atoms.numbers[i]]}{i}-{chemical_symbols[atoms.numbers[j]]}{j}"

    def pairs(self) -> frozenset[tuple[int, int]]:
        """The bond graph: which atoms are bonded, whatever the lengths."""
        return frozenset(zip(self.idx_i.tolist(), self.idx_j.tolist()))


def bonded_pairs(atoms: Atoms, *, scale: float = BOND_SCALE) -> Bonds:
    """Pairs closer than `scale` times the sum of their covalent radii, each once."""
    i, j, S, d = neighbor_list("ijSd", atoms, scale * covalent_radii[atoms.numbers], half=True)
    swap = i > j
    i, j = np.where(swap, j, i), np.where(swap, i, j)
    return Bonds(i, j, np.where(swap[:, None], -S, S), d)


def fragments(atoms: Atoms, *, scale: float = BOND_SCALE) -> int:
    """Number of parts that no bond joins."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    bonds, n = bonded_pairs(atoms, scale=scale), len(atoms)
    graph = coo_array((np.ones(len(bonds)), (bonds.idx_i, bonds.idx_j)), shape=(n, n))
    return int(connected_components(graph, directed=False)[0])
