"""GraphStore: every structure of a data set collated once; batches are gathered from tensors.

The geometries of a training set never change, so their neighbor lists are computed once. A batch is then a few index
operations, a small fraction of a training step.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pyff.batch import GraphBatch, Needs, PairList, System
from pyff.errors import DataError
from pyff.train.labels import Labels, LabelStore

__all__ = ["GraphStore"]

_CHUNK_ATOMS = 20_000  # structures are collated in pieces, so that temporary memory stays small


class GraphStore:
    """Structures with their graphs and labels on one device; `batch(indices)` assembles any of them.

    systems: structures; needs: of the model; device: where everything lives.
    """

    def __init__(self, systems: Sequence[System], needs: Needs, device: torch.device | str = "cpu") -> None:
        if not len(systems):
            raise DataError("systems must hold at least one structure; received none")
        self.device = torch.device(device)
        self._n_atoms = np.array([len(s) for s in systems], dtype=np.int64)
        pieces = [_collated(systems[a:b], needs) for a, b in _chunks(self._n_atoms)]
        self._n_edges = np.concatenate([p.pop("n_edges") for p in pieces])
        self._n_pairs = np.concatenate([p.pop("n_pairs") for p in pieces])
        self._first_atom, self._first_edge, self._first_pair = map(
            _starts, (self._n_atoms, self._n_edges, self._n_pairs)
        )
        packed = {name: torch.cat([p[name] for p in pieces]) for name in pieces[0]}
        self._graph = {name: x.to(self.device) for name, x in packed.items()}
        self._labels = LabelStore(systems, self.device)
        self.any_periodic = any(bool(s.pbc.any()) for s in systems)

    def __len__(self) -> int:
        return len(self._n_atoms)

    @property
    def n_edges(self) -> int:
        return int(self._n_edges.sum())

    def has(self, label: str) -> bool:
        """Whether any structure carries the label."""
        return bool(self._labels.has[label].any())

    def batch(self, indices: Sequence[int] | np.ndarray) -> tuple[GraphBatch, Labels]:
        """The structures with these indices, in this order, as one graph, and their labels."""
        index = np.asarray(indices, dtype=np.int64)
        n, e = self._n_atoms[index], self._n_edges[index]
        ptr = _starts(n)
        atoms = self._tensor(_ranges(self._first_atom[index], n))
        edges = self._tensor(_ranges(self._first_edge[index], e))
        offset = self._tensor(np.repeat(ptr[:-1], e))
        first_edge = _starts(e)
        systems, g = self._tensor(index), self._graph
        graph = GraphBatch(
            Z=g["Z"][atoms],
            pos=g["pos"][atoms],
            cell=g["cell"][systems],
            pbc=g["pbc"][systems],
            batch=self._tensor(np.repeat(np.arange(len(index)), n)),
            ptr=self._tensor(ptr),
            idx_i=g["idx_i"][edges] + offset,
            idx_j=g["idx_j"][edges] + offset,
            shift=g["shift"][edges],
            row_ptr=_row_ptr(g["degree"][atoms]),
            edge_rev=g["edge_rev"][edges] + self._tensor(np.repeat(first_edge[:-1], e)),
            charge=g["charge"][systems],
            spin=g["spin"][systems],
            long_range=self._pairs(index, ptr, atoms) if "pair_degree" in g else None,
        )
        return graph, self._labels.batch(index, systems, atoms, self._tensor(n))

    def _pairs(self, index: np.ndarray, ptr: np.ndarray, atoms: Tensor) -> PairList:
        n, g = self._n_pairs[index], self._graph
        pairs = self._tensor(_ranges(self._first_pair[index], n))
        return PairList(
            row_ptr=_row_ptr(g["pair_degree"][atoms]),
            idx_j=g["pair_j"][pairs] + self._tensor(np.repeat(ptr[:-1], n)),
            shift=g["pair_shift"][pairs],
        )

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device)


def _chunks(n_atoms: np.ndarray) -> list[tuple[int, int]]:
    """[a, b) ranges of structures of about _CHUNK_ATOMS atoms together."""
    group = np.cumsum(n_atoms) // _CHUNK_ATOMS
    starts = np.concatenate([[0], np.flatnonzero(np.diff(group)) + 1, [len(n_atoms)]])
    return list(zip(starts[:-1].tolist(), starts[1:].tolist()))


def _collated(systems: Sequence[System], needs: Needs) -> dict:
    """Tensors of one chunk, with indices counted from the first atom and edge of each structure."""
    from pyff.data.collate import collate

    g = collate(systems, needs)
    first_edge = g.row_ptr[g.ptr]  # [B+1]
    system = g.batch[g.idx_i]
    atom0, edge0 = g.ptr[system], first_edge[system]
    return {
        "n_edges": first_edge.diff().numpy(),
        "Z": g.Z, "pos": g.pos, "cell": g.cell, "pbc": g.pbc, "charge": g.charge, "spin": g.spin, "shift": g.shift,
        "degree": g.row_ptr.diff(),
        # int32: half the memory; structures are far below 2^31 atoms and edges
        "idx_i": (g.idx_i - atom0).int(), "idx_j": (g.idx_j - atom0).int(), "edge_rev": (g.edge_rev - edge0).int(),
        **_collated_pairs(g),
    }  # fmt: skip


def _collated_pairs(g: GraphBatch) -> dict:
    """The long-range pairs of a chunk, with senders counted from the first atom of each structure."""
    if g.long_range is None:
        return {"n_pairs": np.zeros(g.n_systems, np.int64)}
    pairs = g.long_range
    n_pairs = pairs.row_ptr[g.ptr].diff()
    return {
        "n_pairs": n_pairs.numpy(),
        "pair_degree": pairs.row_ptr.diff(),
        "pair_j": (pairs.idx_j - torch.repeat_interleave(g.ptr[:-1], n_pairs)).int(),
        "pair_shift": pairs.shift,
    }


def _starts(count: np.ndarray) -> np.ndarray:
    """0, count[0], count[0] + count[1], ..."""
    return np.concatenate([[0], np.cumsum(count)])


def _row_ptr(degree: Tensor) -> Tensor:
    return torch.cat([degree.new_zeros(1), degree.cumsum(0)])


def _ranges(start: np.ndarray, count: np.ndarray) -> np.ndarray:
    """start[0], start[0]+1, ..., then start[1], ...: count[k] integers from each start."""
    shift = start - np.concatenate([[0], np.cumsum(count)[:-1]])
    return np.repeat(shift, count) + np.arange(int(count.sum()))
