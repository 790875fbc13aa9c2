from __future__ import annotations

import numpy as np
import pytest
import torch
from _graphs import random_crystal, random_molecule

from pyff.batch import Needs, System
from pyff.data.collate import collate
from pyff.errors import DataError
from pyff.train import graphs
from pyff.train.graphs import GraphStore

NEEDS = Needs(cutoff=3.0)


def systems() -> list[System]:
    made = [random_molecule(5, 1), random_crystal(4, seed=2), random_molecule(1, 3), random_crystal(6, seed=4)]
    made = [System(*m, charge=k, spin=2 * k) for k, m in enumerate(made)]
    forces = np.arange(15.0).reshape(5, 3)
    made[0] = made[0].with_labels(energy=1.5, forces=forces)
    made[1] = made[1].with_labels(stress=np.eye(3))
    return made


@pytest.mark.parametrize("long_range_cutoff", [None, 6.0])
@pytest.mark.parametrize("chunk", [1, 6, 10_000])
@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 1, 0], [2], [1, 1]])
def test_store_batch_equals_collating_the_same_structures(order, chunk, long_range_cutoff, monkeypatch):
    monkeypatch.setattr(graphs, "_CHUNK_ATOMS", chunk)
    made, needs = systems(), Needs(3.0, long_range_cutoff)
    got, _ = GraphStore(made, needs).batch(order)
    expected = collate([made[k] for k in order], needs)
    assert (expected.long_range is None) == (long_range_cutoff is None)
    got, expected = (dict(b.named_tensors()) for b in (got, expected))
    assert list(got) == list(expected)
    for name, want in expected.items():
        assert got[name].dtype == want.dtype and torch.equal(got[name], want), name


def test_store_labels_are_nan_where_missing():
    _, labels = GraphStore(systems(), NEEDS).batch([1, 0])
    assert labels.has["energy"].tolist() == [False, True] and labels.has["stress"].tolist() == [True, False]
    assert torch.isnan(labels.values["energy"][0]) and labels.values["energy"][1] == 1.5
    assert torch.isnan(labels.values["forces"][:4]).all() and labels.values["forces"][4].tolist() == [0, 1, 2]
    assert labels.volume[0] > 0 and labels.volume[1] == 0
    assert labels.n_atoms.tolist() == [4, 5]


def test_store_without_structures_is_refused():
    with pytest.raises(DataError, match="at least one structure"):
        GraphStore([], NEEDS)
