"""Small graphs for op and model tests, from ASE's neighbor list, so that pyff's own list is not what tests them."""

from __future__ import annotations

import numpy as np
import torch
from ase.neighborlist import primitive_neighbor_list

from pyff.batch import GraphBatch


def _edges(pos, cell, pbc, cutoff):
    if not len(pos):
        return np.zeros((2, 0), int), np.zeros((0, 3), int)
    box = np.where(np.abs(cell).sum(1, keepdims=True) > 0, cell, np.eye(3))
    i, j, S = primitive_neighbor_list("ijS", pbc, box, pos, float(cutoff), self_interaction=False)
    order = np.lexsort((*S.T[::-1], j, i))
    return np.stack([i, j])[:, order], S[order]


def graph_batch(systems, cutoff: float) -> GraphBatch:
    """GraphBatch of (Z, pos, cell, pbc) tuples."""
    Z, pos, cells, pbcs, ij, shift, n = [], [], [], [], [], [], [0]
    for z, p, cell, pbc in systems:
        edges, S = _edges(p, np.asarray(cell), np.broadcast_to(pbc, 3), cutoff)
        Z.append(z), pos.append(np.reshape(p, (-1, 3))), cells.append(cell), pbcs.append(np.broadcast_to(pbc, 3))
        ij.append(edges + n[-1]), shift.append(S)
        n.append(n[-1] + len(p))
    i, j = np.concatenate(ij, 1)
    S = np.concatenate(shift)
    reverse = np.lexsort((*(-S).T[::-1], i, j))  # the k-th edge by (j, i, -S) is the reverse of the k-th by (i, j, S)
    ints = lambda x: torch.tensor(np.asarray(x), dtype=torch.int64)  # noqa: E731
    doubles = lambda x: torch.tensor(np.asarray(x), dtype=torch.float64)  # noqa: E731
    return GraphBatch(
        Z=ints(np.concatenate(Z)), pos=doubles(np.concatenate(pos)), cell=doubles(np.stack(cells)),
        pbc=torch.tensor(np.stack(pbcs)), batch=ints(np.repeat(np.arange(len(Z)), np.diff(n))), ptr=ints(n),
        idx_i=ints(i), idx_j=ints(j), shift=torch.tensor(S, dtype=torch.int32),
        row_ptr=ints(np.concatenate([[0], np.cumsum(np.bincount(i, minlength=n[-1]))])), edge_rev=ints(reverse),
        charge=torch.zeros(len(Z), dtype=torch.float64), spin=torch.zeros(len(Z), dtype=torch.float64),
    )  # fmt: skip


def random_crystal(n: int = 8, length: float = 4.0, seed: int = 0):
    """(Z, pos, cell, pbc) of n atoms in a skewed cell, smaller than the usual cutoff."""
    rng = np.random.default_rng(seed)
    cell = length * np.eye(3) + 0.15 * length * rng.normal(size=(3, 3))
    return rng.choice([1, 6, 8], n), rng.random((n, 3)) @ cell, cell, True


def random_molecule(n: int = 7, seed: int = 1, spread: float = 1.3):
    rng = np.random.default_rng(seed)
    pos = spread * n ** (1 / 3) * rng.normal(size=(n, 3)) / 1.5
    return rng.choice([1, 6, 8], n), pos, np.zeros((3, 3)), False


def edge_arguments(b: GraphBatch):
    return b.row_ptr, b.idx_i, b.idx_j, b.edge_rev
