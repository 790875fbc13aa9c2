"""From atoms to beads: coarse-grained positions and forces, and frames drawn evenly over collective variables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["CoarseMapping", "stratified_frames"]


@dataclass(frozen=True)
class CoarseMapping:
    """Linear map of atoms to beads, R = M r, weights M [beads, atoms], rows of sum 1.

    Forces are mapped by (M M^T)^-1 M, whose average at fixed beads is minus the gradient of the potential of mean force
    (atoms without constraints). Source: Ciccotti, Kapral, Vanden-Eijnden, ChemPhysChem 6, 1809 (2005).
    """

    weights: np.ndarray

    def __post_init__(self) -> None:
        weights = np.asarray(self.weights, dtype=float)
        if weights.ndim != 2 or not np.allclose(weights.sum(1), 1.0):
            raise ValueError("weights must have shape (beads, atoms) and rows that add up to 1")
        if np.linalg.matrix_rank(weights) < len(weights):
            raise ValueError("weights must have independent rows: every bead needs a position of its own")
        object.__setattr__(self, "weights", weights)

    @classmethod
    def from_groups(
        cls, groups: Sequence[Sequence[int] | int], n_atoms: int, masses: np.ndarray | None = None
    ) -> CoarseMapping:
        """Beads at the centres of groups of atoms, of mass where masses [n_atoms] are given; an index is a group."""
        weights = np.zeros((len(groups), n_atoms))
        for bead, group in enumerate(groups):
            atoms = np.atleast_1d(group)
            if atoms.size == 0 or atoms.min() < 0 or atoms.max() >= n_atoms:
                raise ValueError(f"groups must name atoms in 0..{n_atoms - 1}; received {group} for bead {bead}")
            weights[bead, atoms] = 1.0 if masses is None else np.asarray(masses)[atoms]
        return cls(weights / weights.sum(1, keepdims=True))

    def positions(self, pos: np.ndarray) -> np.ndarray:
        """Beads [..., beads, 3] of atoms [..., atoms, 3]; molecules must be whole."""
        return np.einsum("ba,...ax->...bx", self.weights, pos)

    def forces(self, forces: np.ndarray) -> np.ndarray:
        """Forces on beads [..., beads, 3] of forces on atoms [..., atoms, 3]."""
        pull = np.linalg.solve(self.weights @ self.weights.T, self.weights)
        return np.einsum("ba,...ax->...bx", pull, forces)


def stratified_frames(
    variables: np.ndarray, size: int, rng: np.random.Generator, *, bins: int = 100, replace: bool = True
) -> np.ndarray:
    """Indices [size] of frames that cover collective variables [S, K] evenly: a bin is drawn among those that are
    occupied, then a frame in it.

    replace: draw bins independently (frames may repeat), else take every bin in turn, in random order, and no frame
    twice.
    """
    variables = np.asarray(variables, dtype=float)
    if variables.ndim != 2 or not np.isfinite(variables).all():
        raise ValueError(f"variables must be finite, of shape (frames, K); received shape {variables.shape}")
    if not replace and size > len(variables):
        raise ValueError(f"size must be at most the number of frames, {len(variables)}; received {size}")
    low, high = variables.min(0), variables.max(0)
    cells = np.floor((variables - low) / np.where(high > low, high - low, 1.0) * bins).clip(0, bins - 1)
    _, bin_of = np.unique(cells, axis=0, return_inverse=True)
    order = rng.permutation(len(variables))
    order = order[np.argsort(bin_of[order], kind="stable")]
    start = np.searchsorted(bin_of[order], np.arange(bin_of.max() + 2))
    if replace:
        drawn = rng.integers(len(start) - 1, size=size)
        return order[start[drawn] + (rng.random(size) * np.diff(start)[drawn]).astype(int)]
    # the k-th frames of all bins come before any (k+1)-th
    round_of = np.arange(len(order)) - start[bin_of[order]]
    return order[np.lexsort((rng.random(len(order)), round_of))][:size]
