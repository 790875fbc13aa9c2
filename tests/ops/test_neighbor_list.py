"""pyff.ops.neighbor_list against its twin and against single calls."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch
from _pairs import as_rows

import pyff
from pyff import ops
from pyff.ops import reference


def random_batch(sizes=(7, 0, 1, 30, 12), seed=0):
    """(pos, cell, pbc, ptr) of structures with all kinds of boundaries."""
    g = torch.Generator().manual_seed(seed)
    B, N = len(sizes), sum(sizes)
    cell = torch.eye(3, dtype=torch.float64) * 4 + torch.randn(B, 3, 3, dtype=torch.float64, generator=g) * 0.7
    pbc = torch.rand(B, 3, generator=g) < 0.6
    ptr = torch.tensor([0, *np.cumsum(sizes)])
    pos = torch.randn(N, 3, dtype=torch.float64, generator=g) * 3
    return pos, cell, pbc, ptr


def batch_of(ptr):
    return torch.repeat_interleave(torch.arange(len(ptr) - 1), ptr[1:] - ptr[:-1])


def assert_consistent(nl, n_atoms):
    """Types, order, row_ptr and reversed edges."""
    E = nl.idx_i.shape[0]
    assert (nl.idx_i.dtype, nl.idx_j.dtype, nl.row_ptr.dtype, nl.edge_rev.dtype) == (torch.int64,) * 4
    assert nl.shift.dtype == torch.int32 and nl.shift.shape == (E, 3) and nl.row_ptr.shape == (n_atoms + 1,)
    counts = torch.bincount(nl.idx_i, minlength=n_atoms)
    assert torch.equal(nl.row_ptr, torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)]))
    assert bool((nl.idx_i[1:] >= nl.idx_i[:-1]).all())
    rev = nl.edge_rev
    assert torch.equal(rev[rev], torch.arange(E)) and not bool((rev == torch.arange(E)).any())
    assert torch.equal(nl.idx_i[rev], nl.idx_j) and torch.equal(nl.idx_j[rev], nl.idx_i)
    assert torch.equal(nl.shift[rev], -nl.shift)


def rows(nl):
    return as_rows(nl.idx_i, nl.idx_j, nl.shift)


@pytest.mark.parametrize("seed", range(6))
def test_batch_matches_twin(seed):
    pos, cell, pbc, ptr = random_batch(seed=seed)
    got = ops.neighbor_list(pos, cell, pbc, 3.5, ptr=ptr)
    want = reference.neighbor_list(pos, cell, pbc, 3.5, ptr=ptr)
    assert_consistent(got, len(pos))
    assert_consistent(want, len(pos))
    assert set(rows(got)) == set(rows(want)) and len(rows(got)) == len(rows(want)) > 0
    assert torch.equal(got.row_ptr, want.row_ptr)


def test_batch_and_ptr_say_the_same():
    pos, cell, pbc, ptr = random_batch()
    a = ops.neighbor_list(pos, cell, pbc, 3.0, ptr=ptr)
    b = ops.neighbor_list(pos, cell, pbc, 3.0, batch=batch_of(ptr))
    assert all(torch.equal(x, y) for x, y in zip(a, b))


def test_batch_equals_single_calls_to_the_bit():
    pos, cell, pbc, ptr = random_batch((21,) * 64)
    whole = ops.neighbor_list(pos, cell, pbc, 3.0, ptr=ptr)
    first_edge = 0
    for b in range(64):
        own = slice(int(ptr[b]), int(ptr[b + 1]))
        one = ops.neighbor_list(pos[own], cell[b], pbc[b], 3.0)
        edges = slice(first_edge, first_edge + len(one.idx_i))
        assert torch.equal(whole.idx_j[edges] - own.start, one.idx_j)
        assert torch.equal(whole.shift[edges], one.shift)
        assert torch.equal(whole.edge_rev[edges] - first_edge, one.edge_rev)
        first_edge = edges.stop
    assert first_edge == len(whole.idx_i)


def test_tensors_and_numpy_give_the_same_list():
    pos, cell, pbc, _ = random_batch((60,))
    nl = ops.neighbor_list(pos, cell, pbc, 4.0)
    i, j, S = pyff.neighbor_list("ijS", positions=pos.numpy(), cell=cell[0].numpy(), pbc=pbc[0].numpy(), cutoff=4.0)
    for got, want in zip((nl.idx_i, nl.idx_j, nl.shift), (i, j, S)):
        np.testing.assert_array_equal(got.numpy(), want)


@pytest.mark.parametrize("structures", [1, 3, 40])
def test_thread_count_does_not_change_a_bit(structures):
    pos, cell, pbc, ptr = random_batch((3000 // structures,) * structures)
    pos *= 4 if structures == 1 else 1
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            results.append(ops.neighbor_list(pos, cell * 4, pbc, 2.5, ptr=ptr))
    finally:
        torch.set_num_threads(before)
    assert len(results[0].idx_i) > 1000
    for other in results[1:]:
        assert all(torch.equal(x, y) for x, y in zip(results[0], other))


@pytest.mark.parametrize("shape", ["none", "one atom", "isolated atoms", "no structures"])
def test_lists_without_edges(shape):
    n = {"none": 0, "one atom": 1, "isolated atoms": 5, "no structures": 0}[shape]
    pos = torch.arange(n, dtype=torch.float64)[:, None] * 100 + torch.zeros(n, 3, dtype=torch.float64)
    ptr = torch.tensor([0] if shape == "no structures" else [0, n])
    nl = ops.neighbor_list(pos, cutoff=3.0, ptr=ptr)
    assert_consistent(nl, n)
    assert nl.idx_i.shape == (0,)


def test_many_images_of_one_pair_have_their_own_reverse():
    pos = torch.tensor([[0.0, 0, 0], [0.6, 0.5, 0.4]], dtype=torch.float64)
    nl = ops.neighbor_list(pos, torch.eye(3, dtype=torch.float64) * 1.3, torch.ones(3, dtype=torch.bool), 6.0)
    assert_consistent(nl, 2)
    assert len(nl.idx_i) > 1500


def test_huge_row():
    pos = torch.rand(1500, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    nl = ops.neighbor_list(pos, cutoff=3.0)
    assert_consistent(nl, 1500)
    assert len(nl.idx_i) == 1500 * 1499


def test_positions_float32_noncontiguous_and_requiring_gradients():
    pos, cell, pbc, ptr = random_batch()
    wide = pos.repeat_interleave(2, dim=0)[::2]
    assert not wide.is_contiguous() or len(pos) == 1
    want = ops.neighbor_list(pos, cell, pbc, 3.0, ptr=ptr)
    got = ops.neighbor_list(wide.requires_grad_(), cell.mT.contiguous().mT, pbc, 3.0, ptr=ptr)
    assert all(torch.equal(x, y) for x, y in zip(got, want))
    single = ops.neighbor_list(pos.float(), cell.float(), pbc, 3.0, ptr=ptr)
    exact = ops.neighbor_list(pos.float().double(), cell.float().double(), pbc, 3.0, ptr=ptr)
    assert all(torch.equal(x, y) for x, y in zip(single, exact))


def test_geometry_op_accepts_the_list():
    pos, cell, pbc, ptr = random_batch()
    nl = ops.neighbor_list(pos, cell, pbc, 3.0, ptr=ptr)
    vec, distance = ops.edge_geometry(pos, cell, nl.shift, nl.row_ptr, nl.idx_i, nl.idx_j, nl.edge_rev, batch_of(ptr))
    assert bool((distance < 3.0).all())
    assert torch.equal(distance, distance[nl.edge_rev]) and torch.equal(vec, -vec[nl.edge_rev])


def test_wrong_arguments_are_named():
    pos, cell, pbc, ptr = random_batch()
    cases = [
        (ValueError, "pos must have shape", {"pos": pos[:, :2]}),
        (TypeError, "pos must be", {"pos": pos.long()}),
        (TypeError, "pos must be a torch.Tensor", {"pos": pos.numpy()}),
        (ValueError, "cell must have shape", {"cell": cell[:2]}),
        (ValueError, "pbc must have shape", {"pbc": pbc[:2]}),
        (TypeError, "pbc must be bool", {"pbc": pbc.long()}),
        (ValueError, "cell must be given", {"cell": None}),
        (ValueError, "ptr must ascend", {"ptr": ptr - 1}),
        (ValueError, "ptr must ascend", {"ptr": torch.tensor([0, 20, 10, 49, 50, 50])}),
        (ValueError, "cutoff must be", {"cutoff": -1.0}),
        (ValueError, "cutoff must be", {"cutoff": float("nan")}),
        (ValueError, "not be given together", {"batch": batch_of(ptr)}),
        (ValueError, "batch must be ascending", {"ptr": None, "batch": batch_of(ptr).flip(0)}),
        (ValueError, "positions must be finite", {"pos": pos * float("nan")}),
        (ValueError, "cell must have linearly independent", {"cell": cell * 0, "pbc": pbc | True}),
    ]
    for error, match, change in cases:
        args = {"pos": pos, "cell": cell, "pbc": pbc, "cutoff": 3.0, "ptr": ptr} | change
        with pytest.raises(error, match=match):
            ops.neighbor_list(**args)


@pytest.mark.parametrize("name", ["cell", "pbc", "ptr", "batch"])
def test_tensors_on_different_devices_are_named(name):
    pos, cell, pbc, ptr = random_batch()
    args = {"cell": cell, "pbc": pbc, "ptr": ptr}
    if name == "batch":
        args |= {"batch": batch_of(ptr), "ptr": None}
    with pytest.raises(ValueError, match=f"{name} must be on cpu like the others; received a tensor on meta"):
        ops.neighbor_list(pos, **args | {name: args[name].to("meta")})


@pytest.mark.parametrize("batch", [[-5, -5], [0, 10**15], [0, 2**40], [-1, 0], [3, 1]])
def test_batch_with_impossible_structure_numbers_is_named(batch):
    pos = torch.rand(2, 3, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"batch must be ascending and in 0\.\.16777215; received"):
        ops.neighbor_list(pos, cutoff=1.0, batch=torch.tensor(batch))


def test_batch_and_ptr_are_checked_before_a_kernel_trusts_them():
    check = importlib.import_module("pyff.ops.neighbor_list")._require_ascending
    check(None, torch.tensor([0, 0, 2, 5]), 5, 3)
    check(torch.tensor([0, 0, 2, 2, 2]), None, 5, 3)
    for ptr in ([1, 5], [0, 4], [0, 6], [0, 4, 3, 5]):
        with pytest.raises(ValueError, match="ptr must ascend from 0 to the number of atoms, 5"):
            check(None, torch.tensor(ptr), 5, len(ptr) - 1)
    for batch in ([-1, 0, 0, 0, 0], [0, 0, 0, 0, 3], [0, 1, 0, 1, 2]):
        with pytest.raises(ValueError, match=r"batch must be ascending and in 0\.\.2"):
            check(torch.tensor(batch), None, 5, 3)


def test_cell_rows_of_open_axes_are_not_read():
    pos, cell, _, ptr = random_batch()
    pbc = torch.tensor([True, False, True]).expand(len(cell), 3)
    want = ops.neighbor_list(pos, cell, pbc, 3.0, ptr=ptr)
    cell[:, 1] = float("nan")
    assert all(torch.equal(a, b) for a, b in zip(ops.neighbor_list(pos, cell, pbc, 3.0, ptr=ptr), want))
    cell[2, 0, 1] = float("nan")
    with pytest.raises(ValueError, match="cell must be finite"):
        ops.neighbor_list(pos, cell, pbc, 3.0, ptr=ptr)


def test_meta_tensors_are_refused():
    with pytest.raises(RuntimeError, match="pos is on meta"):
        ops.neighbor_list(torch.zeros(3, 3, dtype=torch.float64, device="meta"), cutoff=1.0)
