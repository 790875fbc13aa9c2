"""Curvature of a potential-energy surface from forces alone: flat directions, and what is no minimum."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from pyff.md.dynamics import without_net_motion

__all__ = ["lowest_curvature", "softened"]

_SMALL = 0.02  # A, length of the displacement whose forces give H v


def softened(atoms: Atoms, direction: np.ndarray, steps: int) -> np.ndarray:
    """`direction` [N, 3] turned towards flat directions: v <- v - s (H v - (v.H v) v), normalised, `steps` times.

    This damps the part along stiff bonds, which cannot lead over a barrier. s is a quarter of the inverse of |H v| of
    the first direction: stable up to eight times its curvature. One force call per step.
    """
    origin, size = atoms.positions.copy(), 0.05 * np.sqrt(len(atoms))
    direction, step = _unit(_free(atoms, direction)), None
    forces = atoms.get_forces() if steps else None
    for _ in range(steps):
        atoms.positions = origin + size * direction
        curved = (forces - atoms.get_forces()) / size
        step = step or 0.25 / max(np.linalg.norm(curved), 1e-12)
        direction = _unit(direction - step * (curved - (curved * direction).sum() * direction))
    atoms.positions = origin
    return direction


def lowest_curvature(atoms: Atoms, direction: np.ndarray, *, iterations: int = 20) -> tuple[float, np.ndarray]:
    """Lowest eigenvalue of the Hessian in eV/A^2, translation and rotation left out, and its direction [N, 3].

    Lanczos' method from a first direction, with H v from central differences of forces: two force calls per iteration.
    The value is an upper bound, so that a negative one proves that a point is no minimum.
    """
    origin = atoms.positions.copy()
    basis, products = [], []
    vector = _inner(atoms, direction)
    for _ in range(min(iterations, max(1, 3 * len(atoms) - 6))):
        for other in 2 * basis:  # twice, because once loses orthogonality
            vector = vector - (vector * other).sum() * other
        if np.linalg.norm(vector) < 1e-8:
            break
        basis.append(_unit(vector))
        atoms.positions = origin + _SMALL * basis[-1]
        forward = atoms.get_forces()
        atoms.positions = origin - _SMALL * basis[-1]
        products.append((atoms.get_forces() - forward) / (2 * _SMALL))
        atoms.positions = origin
        vector = _inner(atoms, products[-1])
    if not basis:
        return 0.0, np.zeros_like(direction)
    matrix = np.einsum("aix,bix->ab", np.array(basis), np.array(products))
    values, vectors = np.linalg.eigh(0.5 * (matrix + matrix.T))
    return float(values[0]), _unit(np.einsum("a,aix->ix", vectors[:, 0], np.array(basis)))


def _inner(atoms: Atoms, vector: np.ndarray) -> np.ndarray:
    """Without net translation and rotation (of equal masses) and without what constraints forbid."""
    plain = atoms.copy()
    plain.set_masses(np.ones(len(atoms)))
    return _free(atoms, vector if atoms.constraints else without_net_motion(plain, vector))


def _free(atoms: Atoms, vector: np.ndarray) -> np.ndarray:
    vector = vector.copy()
    for constraint in atoms.constraints:
        constraint.adjust_forces(atoms, vector)
    return vector


def _unit(vector: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vector)
    return vector / length if length > 0 else vector
