from __future__ import annotations

import numpy as np
import pytest
import torch

from pyff.batch import Needs, System
from pyff.data.collate import collate
from pyff.ops import neighbor_list


def systems():
    rng = np.random.default_rng(0)
    return [
        System(Z=[8, 1, 1], pos=rng.normal(size=(3, 3)), charge=-1.0, spin=1),
        System(Z=[29] * 4, pos=rng.random((4, 3)) * 3.6, cell=np.eye(3) * 3.6, pbc=True),
        System(Z=[], pos=np.zeros((0, 3))),
        System(Z=[1], pos=np.zeros((1, 3)), cell=np.diag([3.0, 1.0, 1.0]), pbc=(True, False, False)),
    ]


def test_collate_concatenates_structures():
    given = systems()
    batch = collate(given, Needs(cutoff=3.5))
    assert batch.n_systems == 4 and batch.n_atoms == 8
    assert batch.ptr.tolist() == [0, 3, 7, 7, 8]
    assert batch.batch.tolist() == [0, 0, 0, 1, 1, 1, 1, 3]
    assert batch.Z.tolist() == [8, 1, 1, 29, 29, 29, 29, 1]
    assert batch.charge.tolist() == [-1, 0, 0, 0] and batch.spin.tolist() == [1, 0, 0, 0]
    assert batch.pos.dtype == batch.cell.dtype == torch.float64
    np.testing.assert_array_equal(batch.pos.numpy(), np.concatenate([s.pos for s in given]))
    np.testing.assert_array_equal(batch.cell.numpy(), np.stack([s.cell for s in given]))
    np.testing.assert_array_equal(batch.pbc.numpy(), np.stack([s.pbc for s in given]))


def test_collate_edges_are_those_of_each_structure():
    given = systems()
    batch = collate(given, Needs(cutoff=3.5))
    assert batch.row_ptr.shape == (9,) and int(batch.row_ptr[-1]) == batch.n_edges
    for b, system in enumerate(given):
        one = neighbor_list(*(torch.tensor(x) for x in (system.pos, system.cell, system.pbc)), 3.5)
        own = batch.batch[batch.idx_i] == b
        assert torch.equal(batch.idx_j[own] - batch.ptr[b], one.idx_j)
        assert torch.equal(batch.shift[own], one.shift)
    assert torch.equal(batch.idx_i[batch.edge_rev], batch.idx_j)


def test_collate_copies_nothing_back_into_the_systems():
    given = systems()
    before = [s.pos.copy() for s in given]
    batch = collate(given[:1], Needs(cutoff=3.5))
    batch.pos.add_(1.0)
    for s, pos in zip(given, before):
        np.testing.assert_array_equal(s.pos, pos)


def test_collate_refuses_no_structures():
    with pytest.raises(ValueError, match="systems must hold at least one"):
        collate([], Needs(cutoff=3.0))
