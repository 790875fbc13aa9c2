from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest
import torch
from _graphs import random_crystal, random_molecule
from _pairs import as_rows, brute_force

from pyff.batch import Needs, System
from pyff.data.collate import collate

CUTOFF = 7.0  # more than half of every box below


def systems() -> list[System]:
    crystal, molecule = random_crystal(5, 3.5, seed=1), random_molecule(6, 2)
    return [
        System(*molecule),
        System(*crystal),
        System(Z=[], pos=np.zeros((0, 3))),
        System(Z=[1, 1], pos=[[0.1, 0, 0], [9.0, 1, 4]], cell=np.diag([5.0, 1.0, 30.0]), pbc=(True, False, True)),
        System(Z=[8], pos=[[50.0, 0, 0]]),
    ]


def rows(pairs, first: int, last: int) -> list[tuple]:
    """(i, j, S) of the receivers first .. last - 1, counted from first."""
    a, b = int(pairs.row_ptr[first]), int(pairs.row_ptr[last])
    i = np.repeat(np.arange(last - first), np.diff(pairs.row_ptr[first : last + 1].numpy()))
    return as_rows(i, pairs.idx_j[a:b].numpy() - first, pairs.shift[a:b].numpy())


def test_long_range_pairs_of_a_batch_equal_brute_force():
    given = systems()
    batch = collate(given, Needs(cutoff=2.0, long_range_cutoff=CUTOFF))
    pairs = batch.long_range
    assert (pairs.row_ptr.dtype, pairs.idx_j.dtype, pairs.shift.dtype) == (torch.int64, torch.int64, torch.int32)
    assert pairs.row_ptr.shape == (batch.n_atoms + 1,) and int(pairs.row_ptr[-1]) == pairs.idx_j.shape[0]
    assert pairs.shift.shape == (pairs.idx_j.shape[0], 3)
    for b, s in enumerate(given):
        found = rows(pairs, int(batch.ptr[b]), int(batch.ptr[b + 1]))
        assert len(found) == len(set(found)) and set(found) == brute_force(s.pos, s.cell, s.pbc, CUTOFF)
    assert len(rows(pairs, 6, 11)) > 20 * 5 * 5, "the crystal must hold many images of each atom"


def test_long_range_pairs_leave_the_edges_alone():
    given = systems()
    short, both = (dict(collate(given, Needs(2.5, c)).named_tensors()) for c in (None, CUTOFF))
    assert all(torch.equal(short[name], both[name]) for name in short)
    assert set(both) - set(short) == {"long_range.row_ptr", "long_range.idx_j", "long_range.shift"}


def test_infinite_long_range_cutoff_lists_all_pairs_of_open_structures():
    given = [s for s in systems() if not s.pbc.any()]
    batch = collate(given, Needs(2.0, math.inf))
    for b, s in enumerate(given):
        found = rows(batch.long_range, int(batch.ptr[b]), int(batch.ptr[b + 1]))
        assert found == [(i, j, 0, 0, 0) for i in range(len(s)) for j in range(len(s)) if i != j]


def test_infinite_long_range_cutoff_refuses_a_periodic_structure():
    advice = r"structure 1: .*Calculator\(model, long_range_cutoff=12, ewald=True\), .*--long-range-cutoff 12"
    with pytest.raises(ValueError, match=advice):
        collate(systems(), Needs(2.0, math.inf))
    with pytest.raises(ValueError, match=r"^a periodic structure has infinitely many pairs"):
        collate(systems()[1:2], Needs(2.0, math.inf))


@pytest.mark.parametrize("cutoff", [0.0, -3.0, math.nan])
def test_long_range_cutoff_that_is_not_positive_is_refused(cutoff):
    with pytest.raises(ValueError, match="long_range_cutoff must be positive"):
        collate(systems()[:1], Needs(2.0, cutoff))


def test_long_range_pairs_move_with_their_batch():
    batch = collate(systems()[:2], Needs(2.0, CUTOFF)).to("meta")
    assert all(x.device.type == "meta" for _, x in batch.named_tensors())
    assert [f.name for f in fields(batch.long_range)] == ["row_ptr", "idx_j", "shift"]
