"""Permutations of identical atoms that molecules undergo in the data: found, completed to a group, checked.

Of every pair of geometries the atoms are matched (`pyff.ops.match_atoms`). Pairwise matches need not agree with each
other; those along the minimum spanning tree of the residual distances do, by construction, and their products make the
group. Only what the data show is found: a trajectory in which a methyl group never turns has no permutation for it.

Source: Chmiela et al., Nat. Commun. 9, 3887 (2018); Comput. Phys. Commun. 240, 38 (2019).
"""

from __future__ import annotations

import itertools
import logging

import numpy as np
import torch
from torch import Tensor

from pyff import ops

__all__ = ["checked_permutations", "find_permutations", "permutation_group"]

MAX_GROUP = 100  # a larger group than molecules have: mismatched atoms have been composed with each other


def find_permutations(
    pos: Tensor | np.ndarray,
    Z: Tensor | np.ndarray,
    cell: Tensor | np.ndarray | None = None,
    *,
    rng: np.random.Generator | None = None,
    max_points: int = 1000,
) -> Tensor:
    """The permutations of atoms found in geometries of one molecule, int64 [P, N], a group; the identity comes first.

    Args:
        pos: positions [M, N, 3].
        Z: atomic numbers [N].
        cell: lattice vectors as rows [3, 3]; distances are then those of nearest images.
        rng: draws max_points of more geometries; a generator of a fixed seed where None.
        max_points: the time grows with its square (1000: 0.4 s for 9 atoms, 1.1 s for 15), the memory with it, 24
            max_points N^2 bytes.

    Raises:
        ValueError: positions that are not finite, or shapes that do not fit each other.
    """
    pos, Z = torch.as_tensor(pos, dtype=torch.float64), torch.as_tensor(Z).long()
    if pos.dim() != 3 or pos.shape[1:] != (len(Z), 3) or not len(pos):
        raise ValueError(f"pos must have shape [M, {len(Z)}, 3], M > 0; received {tuple(pos.shape)}")
    if not bool(torch.isfinite(pos).all()):
        raise ValueError("pos must be finite; received NaN or infinity")
    if len(pos) > max_points:
        rng = np.random.default_rng(0) if rng is None else rng
        pos = pos[torch.as_tensor(rng.choice(len(pos), max_points, replace=False))]
    steps = _tree_permutations(*_spectra(pos, cell), Z)
    group = _closure(steps, MAX_GROUP)
    if group is None:
        group = _closure(_without_mixed_cycles(steps), MAX_GROUP)
    if group is None:
        logging.getLogger("pyff").warning(
            "the permutations found in the data make no group of fewer than %d elements; only the identity is used. "
            "Give the permutations of the molecule",
            MAX_GROUP,
        )
        group = np.arange(len(Z))[None]
    return torch.as_tensor(group)


def permutation_group(perms: Tensor | np.ndarray, limit: int = 10_000) -> Tensor:
    """All products of permutations [K, N]: int64 [P, N], sorted, so the identity comes first.

    Raises ValueError where there are `limit` products or more.
    """
    group = _closure(_as_permutations(perms), limit)
    if group is None:
        raise ValueError(f"perms must generate a group of fewer than {limit} elements; received generators of more")
    return torch.as_tensor(group)


def checked_permutations(perms: Tensor | np.ndarray, Z: Tensor | np.ndarray) -> Tensor:
    """Permutations that a user gave, int64 [P, N], sorted and without doubles.

    Raises:
        ValueError: rows that are no permutations of Z's atoms, that exchange atoms of different elements, or that
            are no group.
    """
    perms, Z = _as_permutations(perms), np.asarray(Z)
    if perms.shape[1] != len(Z):
        raise ValueError(f"perms must permute the {len(Z)} atoms; received rows of {perms.shape[1]}")
    mixing = (Z[perms] != Z).any(axis=1)
    if mixing.any():
        row = perms[mixing][0].tolist()
        raise ValueError(f"perms must exchange atoms of the same element only; received {row} for Z {Z.tolist()}")
    perms = np.unique(perms, axis=0)
    if _closure(perms, len(perms) + 1) is None:
        raise ValueError(
            f"perms must be a group; products are missing from the {len(perms)} given. "
            "pyff.models.gdml.permutations.permutation_group adds them"
        )
    return torch.as_tensor(perms)


def _as_permutations(perms: Tensor | np.ndarray) -> np.ndarray:
    perms = np.asarray(perms)
    if perms.ndim != 2 or not len(perms) or (np.sort(perms, axis=1) != np.arange(perms.shape[1])).any():
        raise ValueError(f"perms must hold permutations of 0 .. N - 1, one a row; received {perms.tolist()}")
    return perms.astype(np.int64)


def _spectra(pos: Tensor, cell: Tensor | np.ndarray | None) -> tuple[Tensor, Tensor]:
    """Distance matrices and their eigenvectors, by descending eigenvalue, [M, N, N]."""
    n = pos.shape[1]
    inverse, _ = ops.inverse_distances(pos, None if cell is None else torch.as_tensor(cell, dtype=torch.float64))
    distance = pos.new_zeros(len(pos), n, n)
    a, b = torch.tril_indices(n, n, -1)
    distance[:, a, b] = distance[:, b, a] = 1 / inverse
    return distance, torch.linalg.eigh(distance).eigenvectors.flip(-1)


def _tree_permutations(distance: Tensor, vectors: Tensor, Z: Tensor) -> np.ndarray:
    """Distinct permutations along the minimum spanning tree of the residual distances, [K, N]; the identity is one."""
    m = len(distance)
    i, j = torch.triu_indices(m, m, 1)
    weight = distance.new_zeros(m, m)
    weight[i, j] = weight[j, i] = ops.match_atoms(distance, vectors, Z, torch.stack([i, j], 1))[0]
    edges = torch.from_numpy(_spanning_tree(weight.numpy()))
    perms = ops.match_atoms(distance, vectors, Z, edges, perms=True)[1]
    return np.unique(np.vstack([np.arange(len(Z)), perms.numpy()]), axis=0)


def _spanning_tree(weight: np.ndarray) -> np.ndarray:
    """Edges (i < j) [M - 1, 2] of the minimum spanning tree of a complete graph, by Prim's algorithm.

    Dense, because sparse graphs take an edge of weight zero, of two equal geometries, for no edge.
    """
    m = len(weight)
    edges = np.zeros((m - 1, 2), dtype=np.int64)
    nearest, reach = np.zeros(m, dtype=np.int64), weight[0].copy()
    reach[0] = np.inf
    outside = np.arange(m) != 0
    for k in range(m - 1):
        new = int(reach.argmin())
        edges[k] = sorted((new, nearest[new]))
        outside[new] = False
        closer = outside & (weight[new] < reach)
        reach[closer], nearest[closer] = weight[new][closer], new
        reach[new] = np.inf
    return edges


def _closure(perms: np.ndarray, limit: int) -> np.ndarray | None:
    """The group that permutations [K, N] generate, sorted; None where it has `limit` elements or more."""
    identity = tuple(range(perms.shape[1]))
    group, generators = {identity}, []
    for perm in map(tuple, perms.tolist()):
        if perm in group:
            continue
        generators.append(perm)
        frontier = list(group)  # each new generator at least doubles the group: few of them do all
        while frontier:
            products = {tuple(p[k] for k in g) for p, g in itertools.product(frontier, generators)}
            frontier = list(products - group)
            group.update(frontier)
            if len(group) >= limit:
                return None
    return np.array(sorted(group))


def _cycles(perm: np.ndarray) -> list[frozenset[int]]:
    """Cycles of two atoms and more."""
    cycles, left = [], {a for a, b in enumerate(perm.tolist()) if a != b}
    while left:
        cycle, atom = set(), min(left)
        while atom not in cycle:
            cycle.add(atom)
            atom = int(perm[atom])
        left -= cycle
        cycles.append(frozenset(cycle))
    return cycles


def _without_mixed_cycles(perms: np.ndarray) -> np.ndarray:
    """Without permutations in which a cycle shares atoms with a longer cycle of any of them."""
    cycles = [_cycles(perm) for perm in perms]
    every = set(itertools.chain.from_iterable(cycles))
    mixed = [any(len(a) < len(b) and a & b for a in own for b in every) for own in cycles]
    return perms[~np.array(mixed)]
