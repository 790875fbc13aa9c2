"""Permutations of identical atoms that a crystal supercell allows: its space group, times the adsorbate's own.

A space-group operation takes fractional coordinates f (rows) to f W + t with integer W that keeps the metric,
W G W^T = G, G = cell cell^T. Those that map the sites onto sites of the same element, modulo lattice vectors, permute
the atoms; screw axes and glide planes among them. Source: Sauceda et al., Nat. Commun. 13, 3733 (2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from ase import Atoms
from scipy.spatial import cKDTree
from torch import Tensor

__all__ = ["SupercellGroup", "frames_group", "mean_structure", "point_operations", "rigid_permutations",
           "supercell_group"]  # fmt: skip


@dataclass(frozen=True)
class SupercellGroup:
    """A group of permutations of the atoms of a supercell.

    perms: int64 [P, N], distinct; pos[perm] is the permuted structure. Coset after coset of the translations:
    perms.reshape(-1, T, N)[c, t] = translations[t][perms[c T]]. translations: int64 [T, N], the first T rows of perms.
    """

    perms: Tensor
    translations: Tensor

    def __len__(self) -> int:
        return self.perms.shape[0]


def supercell_group(
    atoms: Atoms,
    adsorbate: Sequence[int] = (),
    adsorbate_perms: Tensor | np.ndarray | None = None,
    tolerance: float = 1e-3,
) -> SupercellGroup:
    """The permutations of atoms by the space group of an ideal supercell; the adsorbate's are independent of them.

    Args:
        atoms: the ideal (equilibrium) structure with three lattice vectors; taken as periodic along all of them. Give
            a slab the vacuum that its data have.
        adsorbate: indices of atoms that do not sit on the lattice. The substrate's operations leave them in place.
        adsorbate_perms: [Q, n] permutations of range(n), n = len(adsorbate), a group; None: those that keep the
            distances among the adsorbate's atoms in `atoms` (`rigid_permutations`).
        tolerance: largest distance (A) of a mapped atom from the site that it takes.
    Raises:
        ValueError: without three independent lattice vectors or without substrate; where the permutations are no group
            (tolerance too large or too small for the structure).
    """
    if tolerance <= 0:
        raise ValueError(f"tolerance must be positive (A); received {tolerance}")
    cell = np.asarray(atoms.cell, dtype=np.float64)
    if np.linalg.matrix_rank(cell) < 3:
        raise ValueError(
            f"atoms must have three independent lattice vectors; received {cell.tolist()}; give a slab a vacuum"
        )
    inside = np.ones(len(atoms), dtype=bool)
    inside[list(adsorbate)] = False
    if not inside.any():
        raise ValueError("adsorbate must leave atoms of the substrate; it names all of them")
    sites = np.flatnonzero(inside)
    scaled = np.linalg.solve(cell.T, atoms.positions[sites].T).T
    translations, cosets = _operations(scaled, atoms.numbers[sites], cell, tolerance)
    substrate = translations[:, cosets].swapaxes(0, 1).reshape(-1, len(sites))  # [coset, translation]
    if not _is_group(substrate):
        raise ValueError(
            f"the {len(substrate)} permutations found are no group: some operations fit within the tolerance of "
            f"{tolerance:.3g} A, their products do not; choose another tolerance, or give the ideal structure"
        )
    if adsorbate_perms is None:
        adsorbate_perms = rigid_permutations(atoms[list(adsorbate)], tolerance=max(tolerance, 1e-2))
    own = _checked_adsorbate(np.asarray(adsorbate_perms, dtype=np.int64), atoms.numbers[list(adsorbate)])
    perms = np.empty((len(own), len(substrate), len(atoms)), dtype=np.int64)
    perms[:, :, sites] = sites[substrate]
    perms[:, :, list(adsorbate)] = np.asarray(list(adsorbate), dtype=np.int64)[own][:, None]
    perms = torch.from_numpy(perms.reshape(-1, len(atoms)))
    return SupercellGroup(perms, perms[: len(translations)].clone())


def frames_group(
    Z: np.ndarray, pos: np.ndarray, cell: np.ndarray, adsorbate: Sequence[int] = (), tolerance: float | None = None
) -> SupercellGroup:
    """`supercell_group` of the crystal around whose sites the atoms of frames [M, N, 3] vibrate: of their mean.

    Z [N], pos and cell [3, 3] (rows) in A, the same atoms in the same order in each frame. tolerance: of the mean
    positions, A; a quarter of the smallest distance of the substrate if not given. Energies are invariant under every
    exchange of identical atoms, so a generous tolerance makes a model slower, never wrong.

    Raises:
        ValueError: where atoms leave their sites, as in a liquid; and as `supercell_group`.
    """
    atoms, spread = mean_structure(Z, pos, cell, adsorbate)
    substrate = atoms[np.setdiff1d(np.arange(len(atoms)), list(adsorbate))]
    lattice = np.linalg.norm(cell, axis=1).min()
    distance = substrate.get_all_distances(mic=True)[~np.eye(len(substrate), dtype=bool)].min(initial=lattice)
    if spread > distance / 4:
        raise ValueError(
            f"atoms must stay at their sites; in these frames they are {spread:.2f} A (root mean square) away from "
            f"their mean positions, which are {distance:.2f} A apart. Name atoms that move about as adsorbate, or give "
            "the ideal structure to supercell_group"
        )
    return supercell_group(atoms, adsorbate, tolerance=distance / 4 if tolerance is None else tolerance)


def mean_structure(
    Z: np.ndarray, pos: np.ndarray, cell: np.ndarray, adsorbate: Sequence[int] = ()
) -> tuple[Atoms, float]:
    """Mean positions of frames [M, N, 3], free of jumps by lattice vectors and of drift of the substrate.

    And the root mean square distance (A) of the substrate's atoms from them. The adsorbate, which may visit several
    sites, stands where it is in the first frame.
    """
    substrate = np.setdiff1d(np.arange(len(Z)), list(adsorbate))
    moved = pos - pos[:1]
    moved = moved - moved[:, substrate[:1]]  # crystals may drift further than half a cell
    moved -= np.round(moved @ np.linalg.inv(cell)) @ cell
    moved -= moved[:, substrate].mean(1, keepdims=True)
    mean = pos[0].copy()
    mean[substrate] += moved[:, substrate].mean(0)
    spread = float(np.sqrt(np.square((pos[0] + moved - mean)[:, substrate]).sum(-1).mean()))
    return Atoms(Z, mean, cell=cell, pbc=True), spread


def point_operations(cell: np.ndarray, tolerance: float = 1e-3) -> np.ndarray:
    """Integer matrices W int64 [n, 3, 3] with W G W^T = G, G = cell cell^T: lattice onto lattice, identity first.

    cell [3, 3], rows are lattice vectors. tolerance: of lengths, A. Any cell will do, reduced or not: rows of W are all
    integer vectors that are as long as the lattice vector they replace.
    """
    lengths = np.linalg.norm(cell, axis=1)
    # |w_k| = |r . b_k| <= |r| |b_k| with reciprocal vectors b_k
    bound = np.floor((lengths.max() + tolerance) * np.linalg.norm(np.linalg.inv(cell), axis=0) + 1e-9).astype(int)
    w = np.stack(np.meshgrid(*(np.arange(-b, b + 1) for b in bound), indexing="ij"), -1).reshape(-1, 3)
    vec = w @ cell
    like = [np.flatnonzero(np.abs(np.linalg.norm(vec, axis=1) - length) <= tolerance) for length in lengths]
    fits = lambda a, b: (  # noqa: E731  angles between candidates for rows a and b
        np.abs(vec[like[a]] @ vec[like[b]].T - cell[a] @ cell[b]) <= tolerance * (lengths[a] + lengths[b])
    )
    triples = np.argwhere(fits(0, 1)[:, :, None] & fits(0, 2)[:, None, :] & fits(1, 2)[None])
    found = w[np.stack([like[k][triples[:, k]] for k in range(3)], 1)]
    identity = (found == np.eye(3, dtype=int)).all((1, 2))
    return np.concatenate([found[identity], found[~identity]])


def rigid_permutations(atoms: Atoms, tolerance: float = 1e-2) -> Tensor:
    """Permutations int64 [Q, n] of identical atoms that keep all distances within tolerance (A): rotations, mirrors.

    Periodic structures: distances to nearest images.
    """
    n = len(atoms)
    distance = atoms.get_all_distances(mic=bool(atoms.pbc.any()))
    partial = np.zeros((1, 0), dtype=np.int64)
    for k in range(n):  # images of atoms 0..k, all at once
        grown = np.concatenate([np.repeat(partial, n, 0), np.tile(np.arange(n), len(partial))[:, None]], 1)
        new = grown[:, -1]
        keep = (atoms.numbers[new] == atoms.numbers[k]) & ~(grown[:, :-1] == new[:, None]).any(1)
        keep &= (np.abs(distance[grown[:, :-1], new[:, None]] - distance[:k, k]) <= tolerance).all(1)
        partial = grown[keep]
    return torch.from_numpy(partial)


def _operations(scaled: np.ndarray, Z: np.ndarray, cell: np.ndarray, tolerance: float):
    """Translations [T, N] and one permutation [C, N] of each of their cosets in the space group, identities first."""
    elements, counts = np.unique(Z, return_counts=True)
    rare = np.flatnonzero(np.isin(Z, elements[counts.argmin()]))
    match = _SiteMatch(scaled, Z, cell, tolerance)
    translations = match(np.broadcast_to(scaled, (len(rare), *scaled.shape)), rare, rare[0])
    # operations that differ by a translation take the first site to the same orbit: try one target of each
    orbits = np.unique(translations[:, rare].min(0))
    found = []
    for w in point_operations(cell, tolerance):
        found.append(match(np.broadcast_to(scaled @ w, (len(orbits), *scaled.shape)), orbits, rare[0]))
    found = np.concatenate(found)
    # different W may act alike, as the mirror of a flat sheet: one of each coset, named by its smallest element
    names = np.stack([_smallest(translations[:, perm]) for perm in found])
    _, first = np.unique(names, axis=0, return_index=True)
    return translations, found[np.sort(first)]


def _smallest(perms: np.ndarray) -> np.ndarray:
    return perms[np.lexsort(perms.T[::-1])[0]]


class _SiteMatch:
    """Which site, modulo lattice vectors, each atom of a moved structure sits on."""

    def __init__(self, scaled: np.ndarray, Z: np.ndarray, cell: np.ndarray, tolerance: float) -> None:
        self.scaled, self.Z, self.cell, self.tolerance = scaled, Z, cell, tolerance
        self.trees = {}
        for z in np.unique(Z):
            index = np.flatnonzero(np.equal(Z, z))
            self.trees[z] = cKDTree(_wrap(scaled[index]), boxsize=1.0), index

    def __call__(self, moved: np.ndarray, targets: np.ndarray, origin: int) -> np.ndarray:
        """Permutations [n, N] of those among the structures moved [C, N, 3], each shifted by what takes atom `origin`
        to its target [C], that fall onto themselves. perm[a] is the site that atom a takes."""
        shift = self.scaled[targets] - moved[:, origin]
        alive = np.arange(len(moved))
        perms = np.empty(moved.shape[:2], dtype=np.int64)
        for a in range(moved.shape[1]):  # atom by atom: wrong candidates fall out early
            tree, index = self.trees[self.Z[a]]
            at = moved[alive, a] + shift[alive]
            site = index[tree.query(_wrap(at))[1]]
            off = at - self.scaled[site]
            near = np.linalg.norm((off - np.round(off)) @ self.cell, axis=1) <= self.tolerance
            alive = alive[near]
            perms[alive, a] = site[near]
        perms = perms[alive]
        return perms[(np.sort(perms, axis=1) == np.arange(perms.shape[1])).all(1)]


def _wrap(scaled: np.ndarray) -> np.ndarray:
    wrapped = scaled % 1.0
    return np.where(wrapped >= 1.0, 0.0, wrapped)  # -1e-20 % 1 is 1


def _is_group(perms: np.ndarray) -> bool:
    """Whether distinct permutations [P, N], the identity first, contain the product of any two of them.

    Products with generators suffice when the generators reach every element; each new one at least doubles the reach.
    """
    names = {perm.tobytes() for perm in perms}
    reached, generators = {perms[0].tobytes()}, []
    for perm in perms:
        if perm.tobytes() in reached:
            continue
        if not names.issuperset(product.tobytes() for product in perms[:, perm]):
            return False
        generators.append(perm)
        frontier = np.stack([np.frombuffer(name, dtype=perms.dtype) for name in reached])
        while len(frontier):
            products = np.concatenate([frontier[:, g] for g in generators])
            new = {product.tobytes() for product in products} - reached
            reached |= new
            frontier = np.array([np.frombuffer(name, dtype=perms.dtype) for name in new])
    return len(names) == len(perms) and bool((perms[0] == np.arange(perms.shape[1])).all())


def _checked_adsorbate(perms: np.ndarray, Z: np.ndarray) -> np.ndarray:
    """The adsorbate's permutations, identity first; ValueError where they are no group of its identical atoms."""
    expected = f"adsorbate_perms must be [Q, {len(Z)}], permutations of range({len(Z)})"
    if (
        perms.ndim != 2
        or not len(perms)
        or perms.shape[1] != len(Z)
        or (np.sort(perms, axis=1) != np.arange(len(Z))).any()
    ):
        raise ValueError(f"{expected}; received {perms.tolist()}")
    perms = np.unique(perms, axis=0)
    if (Z[perms] != Z).any():
        raise ValueError(f"{expected} that exchange identical atoms only; received {perms.tolist()} for Z {Z.tolist()}")
    if not _is_group(perms):
        raise ValueError(f"{expected} that form a group; add the missing products; received {perms.tolist()}")
    return perms
