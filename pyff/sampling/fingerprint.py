"""Telling structures apart, whatever their orientation and the order of equal atoms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms

__all__ = ["Fingerprint", "fingerprint"]


@dataclass(frozen=True)
class Fingerprint:
    """distances: of all pairs in A, sorted within every pair of elements. They are the same for mirror images.

    hands: one pseudoscalar per atom, sorted within every element; a mirror image has the negative ones.
    """

    distances: np.ndarray
    hands: np.ndarray
    mirrored: np.ndarray

    def difference(self, other: Fingerprint) -> float:
        """Root mean square over pairs of the difference of sorted distances, A. It changes smoothly with positions."""
        if not len(self.distances):
            return 0.0
        return float(np.sqrt(np.mean((self.distances - other.distances) ** 2)))

    def is_mirror_image(self, other: Fingerprint) -> bool:
        """Of two structures with equal distances: whether they have opposite hands."""
        same = np.linalg.norm(self.hands - other.hands)
        turned = np.linalg.norm(self.hands - other.mirrored)
        # noise of relaxed positions alone is no hand
        return bool(same > 3 * turned + 1e-3 * np.sqrt(max(1, len(self.hands))))


def fingerprint(atoms: Atoms) -> Fingerprint:
    """Fingerprint of a structure; nearest images where it is periodic, which needs the same cell throughout."""
    n = len(atoms)
    vectors = atoms.get_all_distances(mic=bool(atoms.pbc.any()), vector=True)
    distance = np.linalg.norm(vectors, axis=2)
    i, j = np.triu_indices(n, 1)
    low, high = np.minimum(atoms.numbers[i], atoms.numbers[j]), np.maximum(atoms.numbers[i], atoms.numbers[j])
    order = np.lexsort((distance[i, j], high, low))
    hands = _hands(vectors, distance, atoms.numbers)
    by_element = lambda values: values[np.lexsort((values, atoms.numbers))]  # noqa: E731
    return Fingerprint(distance[i, j][order], by_element(hands), by_element(-hands))


def _hands(vectors: np.ndarray, distance: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """a_i . (b_i x c_i) of three sums over neighbors with different weights; odd under reflection."""
    direction = vectors / np.where(distance > 0, distance, 1.0)[..., None]
    near = np.exp(-((distance / 2.0) ** 2)) * (distance > 0)
    far = np.exp(-((distance / 4.0) ** 2)) * (distance > 0)
    a = (near[..., None] * direction).sum(1)
    b = ((near * np.sqrt(numbers))[..., None] * direction).sum(1)
    c = (far[..., None] * direction).sum(1)
    return np.einsum("ix,ix->i", a, np.cross(b, c))
