"""Telling structures apart, whatever their orientation and the order of equal atoms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms

__all__ = ["Fingerprint", "fingerprint"]


@dataclass(frozen=True)
class Fingerprint:
    """surroundings [N, N - 1]: of every atom the distances to the others in A, sorted within their elements. They are
    the same for mirror images.

    hands, mirrored [N]: one pseudoscalar per atom, and its negative as a mirror image has it, sorted within elements.
    """

    numbers: np.ndarray
    surroundings: np.ndarray
    hands: np.ndarray
    mirrored: np.ndarray

    def difference(self, other: Fingerprint) -> float:
        """How far the surroundings of an atom differ, A: root mean square over its distances, for the worst atom.

        Equal atoms are paired so that the squares add up to the least. One turned group is seen in any large molecule.
        """
        from scipy.optimize import linear_sum_assignment
        from scipy.spatial.distance import cdist

        worst = 0.0
        if len(self.numbers) < 2:
            return worst
        for z in np.unique(self.numbers):
            mine = self.numbers == z
            squares = cdist(self.surroundings[mine], other.surroundings[mine], "sqeuclidean")
            worst = max(worst, float(squares[linear_sum_assignment(squares)].max()))
        return float(np.sqrt(worst / (len(self.numbers) - 1)))

    def is_mirror_image(self, other: Fingerprint) -> bool:
        """Of two structures with equal surroundings: whether they have opposite hands."""
        same = np.linalg.norm(self.hands - other.hands)
        turned = np.linalg.norm(self.hands - other.mirrored)
        # noise of relaxed positions alone is no hand
        return bool(same > 3 * turned + 1e-3 * np.sqrt(len(self.hands)))


def fingerprint(atoms: Atoms) -> Fingerprint:
    """Fingerprint of a structure; nearest images where it is periodic, which needs the same cell throughout."""
    vectors = atoms.get_all_distances(mic=bool(atoms.pbc.any()), vector=True)
    distance, numbers = np.linalg.norm(vectors, axis=2), atoms.numbers
    others = ~np.eye(len(atoms), dtype=bool)
    rows = [d[mask][np.lexsort((d[mask], numbers[mask]))] for d, mask in zip(distance, others)]
    hands = _hands(vectors, distance, numbers)
    by_element = lambda values: values[np.lexsort((values, numbers))]  # noqa: E731
    return Fingerprint(numbers.copy(), np.array(rows), by_element(hands), by_element(-hands))


def _hands(vectors: np.ndarray, distance: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """a_i . (b_i x c_i) of three sums over neighbors with different weights; odd under reflection."""
    direction = vectors / np.where(distance > 0, distance, 1.0)[..., None]
    near = np.exp(-((distance / 2.0) ** 2)) * (distance > 0)
    far = np.exp(-((distance / 4.0) ** 2)) * (distance > 0)
    a = (near[..., None] * direction).sum(1)
    b = ((near * np.sqrt(numbers))[..., None] * direction).sum(1)
    c = (far[..., None] * direction).sum(1)
    return np.einsum("ix,ix->i", a, np.cross(b, c))
