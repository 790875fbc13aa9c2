"""sgdml.utils.perm: permutations of identical atoms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pyff.models.gdml.permutations import find_permutations

__all__ = ["find_perms", "inv_perm"]


def find_perms(
    R: np.ndarray, z: np.ndarray, lat_and_inv: tuple[np.ndarray, np.ndarray] | None = None,
    callback: Callable | None = None, max_processes: int | None = None,
) -> np.ndarray:  # fmt: skip
    """The group of permutations [P, N] that geometries [M, N, 3] show; lat_and_inv: lattice vectors as columns first.

    callback and max_processes are accepted and not used.
    """
    cell = None if lat_and_inv is None else np.array(lat_and_inv[0]).T
    return find_permutations(np.asarray(R, float), np.asarray(z, int), cell).numpy()


def inv_perm(perm: np.ndarray) -> np.ndarray:
    """The permutation [N] that undoes another."""
    return np.argsort(perm)
