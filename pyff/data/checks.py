"""What makes a frame unusable. Every function takes values in eV and A and returns the first reason, or ""."""

from __future__ import annotations

import numpy as np

from pyff.batch import LABELS

__all__ = ["CLOSEST", "LARGEST_FORCE", "closest_pair", "problem"]

CLOSEST = 0.2  # A; no chemistry happens below, but overlapping atoms of a broken input do
LARGEST_FORCE = 1e3  # eV/A; beyond it a calculation has failed


def problem(Z: np.ndarray, pos: np.ndarray, cell: np.ndarray, pbc: np.ndarray, labels: dict) -> str:
    """Why a frame cannot be used, or ""."""
    n = len(Z)
    if n == 0:
        return "no atoms"
    if Z.min() < 1 or Z.max() > 118:
        return f"atomic number {int(Z.min() if Z.min() < 1 else Z.max())}"
    if pos.shape != (n, 3):
        return f"positions of shape {pos.shape} for {n} atoms"
    if not np.isfinite(pos).all():
        return "positions not finite"
    if not np.isfinite(cell).all():
        return "cell not finite"
    if pbc.any() and _shortest_period(cell, pbc) < 1e-3:
        return "periodic axes without a cell vector"
    return _label_problem(labels, n) or _close_problem(pos, cell, pbc)


def _label_problem(labels: dict, n: int) -> str:
    for name, value in labels.items():
        shape = tuple(n if s == "N" else s for s in LABELS[name][0])
        if np.shape(value) != shape:
            return f"{name} of shape {np.shape(value)}, not {shape}"
        if not np.isfinite(value).all():
            return f"{name} not finite"
    if "forces" in labels and np.abs(labels["forces"]).max() > LARGEST_FORCE:
        return f"a force of {np.abs(labels['forces']).max():.3g} eV/A"
    if "stress" in labels:
        stress = labels["stress"]
        if np.abs(stress - stress.T).max() > 1e-2 * np.abs(stress).max() + 1e-6:
            return "stress not symmetric"
    return ""


def _shortest_period(cell: np.ndarray, pbc: np.ndarray) -> float:
    """Smallest length of the periodic cell vectors."""
    return float(np.linalg.norm(cell[pbc], axis=1).min())


def _close_problem(pos: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> str:
    pair = closest_pair(pos, cell, pbc, CLOSEST)
    if pair is None:
        return ""
    i, j, distance = pair
    return f"atoms {i} and {j} are {distance:.3f} A apart"


def closest_pair(pos, cell, pbc, limit: float) -> tuple[int, int, float] | None:
    """The closest pair of atoms, images included, if it is nearer than `limit` (A)."""
    from scipy.spatial import cKDTree

    if len(pos) == 1 and not pbc.any():
        return None
    points, owner = _with_ghosts(pos, cell, pbc, limit) if pbc.any() else (pos, np.arange(len(pos)))
    pairs = cKDTree(points).query_pairs(limit, output_type="ndarray")
    if not len(pairs):
        return None
    distance = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    best = int(distance.argmin())
    i, j = sorted((int(owner[pairs[best, 0]]), int(owner[pairs[best, 1]])))
    return i, j, float(distance[best])


def _with_ghosts(pos, cell, pbc, limit):
    """Atoms wrapped into the cell, and copies just across its upper faces; enough to see each close pair once."""
    from ase.geometry import complete_cell

    full = complete_cell(np.where(pbc[:, None], cell, 0.0))
    fractional = pos @ np.linalg.inv(full)
    fractional[:, pbc] -= np.floor(fractional[:, pbc])
    heights = 1.0 / np.linalg.norm(np.linalg.inv(full), axis=0)
    owner = np.arange(len(pos))
    for axis in np.flatnonzero(pbc):
        near = fractional[:, axis] < limit / heights[axis]
        fractional = np.concatenate([fractional, fractional[near] + np.eye(3)[axis]])
        owner = np.concatenate([owner, owner[near]])
    return fractional @ full, owner
