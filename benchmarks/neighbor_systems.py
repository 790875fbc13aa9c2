"""Structures for the neighbor-list benchmarks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Structure(NamedTuple):
    pos: np.ndarray
    cell: np.ndarray
    periodic: bool


def molecule(seed: int | None = None) -> Structure:
    """21 atoms of a branched organic molecule's size and density; rattled if a seed is given."""
    rng = np.random.default_rng(21)
    pos = [np.zeros(3)]
    while len(pos) < 21:  # a random tree of bonds, no atoms closer than 1 A
        step = rng.normal(size=3)
        new = pos[rng.integers(len(pos))] + step * (rng.uniform(1.0, 1.5) / np.linalg.norm(step))
        if min(np.linalg.norm(new - p) for p in pos) > 0.99:
            pos.append(new)
    pos = np.array(pos)
    if seed is not None:
        pos = pos + np.random.default_rng(seed).normal(scale=0.05, size=pos.shape)
    return Structure(pos, np.zeros((3, 3)), False)


def water(n_atoms: int) -> Structure:
    """Periodic water at 0.997 g/cm3, molecules on a jittered grid with random orientation."""
    rng = np.random.default_rng(0)
    n = round(n_atoms / 3)
    length = (n / 0.033327) ** (1 / 3)
    m = int(np.ceil(n ** (1 / 3)))
    grid = np.stack(np.meshgrid(*[np.arange(m)] * 3, indexing="ij"), -1).reshape(-1, 3)
    grid = grid[np.sort(rng.permutation(len(grid))[:n])]
    centre = (grid + 0.5) * (length / m) + rng.uniform(-0.1, 0.1, (n, 3))
    monomer = np.array([[0, 0, 0.0], [0.9572, 0, 0], [-0.2399872, 0.9266272, 0]])
    rotation, _ = np.linalg.qr(rng.normal(size=(n, 3, 3)))
    pos = (centre[:, None] + np.einsum("nab,kb->nka", rotation, monomer)).reshape(-1, 3)
    return Structure(pos % length, np.eye(3) * length, True)


def skewed() -> Structure:
    """12 atoms in a strongly skewed cell whose heights are smaller than a 5 A cutoff."""
    cell = np.array([[4.6, 0, 0], [3.1, 4.4, 0], [-2.7, 2.9, 4.2]])
    return Structure(np.random.default_rng(0).random((12, 3)) @ cell, cell, True)
