"""VerletList never misses a pair."""

from __future__ import annotations

import pytest
import torch
from _pairs import as_rows
from hypothesis import given, settings
from hypothesis import strategies as st

from pyff import ops
from pyff.ops import VerletList, neighbor_list, within_cutoff

OPEN = torch.zeros(3, dtype=torch.bool)
PERIODIC = torch.ones(3, dtype=torch.bool)
CUTOFF, SKIN = 3.0, 0.6


def structure(n=20, length=6.0, seed=0):
    g = torch.Generator().manual_seed(seed)
    cell = torch.eye(3, dtype=torch.float64) * length + 0.4 * torch.randn(3, 3, dtype=torch.float64, generator=g)
    return torch.rand(n, 3, dtype=torch.float64, generator=g) @ cell, cell


def rows(nl):
    return as_rows(nl.idx_i, nl.idx_j, nl.shift)


def assert_complete(nl, pos, cell, pbc):
    """Every pair of a fresh list is there, with shifts for these positions, and filtering gives the fresh list."""
    fresh = neighbor_list(pos, cell, pbc, CUTOFF)
    assert set(rows(fresh)) <= set(rows(nl)), "a pair is missing"
    assert len(set(rows(nl))) == len(nl.idx_i)
    assert not bool(nl.shift[:, ~pbc].any())
    rev = nl.edge_rev
    assert torch.equal(nl.idx_i[rev], nl.idx_j) and torch.equal(nl.shift[rev], -nl.shift)
    near = within_cutoff(nl, pos, cell, CUTOFF)
    assert set(rows(near)) == set(rows(fresh))
    assert torch.equal(near.row_ptr, fresh.row_ptr)
    assert torch.equal(near.idx_i[near.edge_rev], near.idx_j) and torch.equal(near.shift[near.edge_rev], -near.shift)


@st.composite
def walks(draw):
    return {
        "seed": draw(st.integers(0, 2**31)),
        "pbc": torch.tensor(draw(st.tuples(st.booleans(), st.booleans(), st.booleans()))),
        "n": draw(st.integers(1, 25)),
        "length": draw(st.sampled_from([2.5, 6.0, 14.0])),
        "step": draw(st.sampled_from([0.0, 0.01, 0.05, 0.3])),
        "strain": draw(st.sampled_from([0.0, 0.0, 1e-3, 0.02])),
        "drift": draw(st.sampled_from([0.0, 0.5])),
        "wrap": draw(st.booleans()),
        "flips": draw(st.booleans()),
    }


@settings(max_examples=60, deadline=None, derandomize=True)
@given(walks())
def test_no_pair_is_missed_along_random_walks(walk):
    pos, cell = structure(walk["n"], walk["length"], walk["seed"])
    g = torch.Generator().manual_seed(walk["seed"] + 1)
    noise = lambda *shape: torch.randn(*shape, dtype=torch.float64, generator=g)  # noqa: E731
    pbc, verlet = walk["pbc"], VerletList(CUTOFF, SKIN)
    for _ in range(8):
        nl, _ = verlet.update(pos, cell, pbc)
        assert_complete(nl, pos, cell, pbc)
        deformation = torch.eye(3, dtype=torch.float64) + walk["strain"] * noise(3, 3)
        cell, pos = cell @ deformation, pos @ deformation
        pos = pos + walk["step"] * noise(walk["n"], 3) + walk["drift"]
        if walk["wrap"]:  # into the cell along periodic axes, as many programs do between steps
            fractional = torch.floor(pos @ torch.linalg.inv(cell)) * pbc
            pos = pos - fractional @ cell
        if walk["flips"]:  # any atom may jump by any lattice vector
            pos = pos + torch.randint(-2, 3, (walk["n"], 3), generator=g).double() * pbc @ cell


def test_small_moves_reuse_and_large_moves_rebuild():
    pos, cell = structure()
    verlet = VerletList(CUTOFF, SKIN)
    first, rebuilt = verlet.update(pos, cell, PERIODIC)
    assert rebuilt
    again, rebuilt = verlet.update(pos, cell, PERIODIC)
    assert not rebuilt and all(a is b for a, b in zip(first, again))
    one = pos.clone()
    one[3, 0] += 0.9 * SKIN / 2
    assert not verlet.update(one, cell, PERIODIC)[1]
    one[3, 0] += 0.2 * SKIN
    assert verlet.update(one, cell, PERIODIC)[1]
    # and the reference moved with the rebuild
    assert not verlet.update(one, cell, PERIODIC)[1]


def test_wrapping_an_atom_reuses_the_list_with_corrected_shifts():
    pos, cell = structure()
    verlet = VerletList(CUTOFF, SKIN)
    verlet.update(pos, cell, PERIODIC)
    moved = pos + 0.01
    moved[4] += cell[0] - 3 * cell[2]
    nl, rebuilt = verlet.update(moved, cell, PERIODIC)
    assert not rebuilt
    assert_complete(nl, moved, cell, PERIODIC)
    nl, rebuilt = verlet.update(pos, cell, PERIODIC)  # and back: the kept list is untouched
    assert not rebuilt
    assert_complete(nl, pos, cell, PERIODIC)


def test_uniform_drift_does_not_rebuild():
    pos, cell = structure()
    verlet = VerletList(CUTOFF, SKIN)
    verlet.update(pos, cell, PERIODIC)
    assert not verlet.update(pos + 1.0, cell, PERIODIC)[1]
    verlet.update(pos, torch.zeros(3, 3, dtype=torch.float64), OPEN)
    assert not verlet.update(pos + 1e3, torch.zeros(3, 3, dtype=torch.float64), OPEN)[1]


def test_jump_along_an_open_axis_rebuilds():
    pos, cell = structure()
    verlet = VerletList(CUTOFF, SKIN)
    pbc = torch.tensor([True, True, False])
    verlet.update(pos, cell, pbc)
    moved = pos.clone()
    moved[0] += cell[2]
    nl, rebuilt = verlet.update(moved, cell, pbc)
    assert rebuilt
    assert_complete(nl, moved, cell, pbc)


@pytest.mark.parametrize("scale", [1.001, 0.999, 1.05, 0.95])
def test_cell_changes_count_against_the_skin(scale):
    # atoms follow the cell, so no atom moves in the deformed frame
    pos, cell = structure()
    verlet = VerletList(CUTOFF, SKIN)
    verlet.update(pos, cell, PERIODIC)
    nl, rebuilt = verlet.update(pos * scale, cell * scale, PERIODIC)
    assert rebuilt == (scale * (CUTOFF + SKIN) < CUTOFF)
    assert_complete(nl, pos * scale, cell * scale, PERIODIC)
    for _ in range(10):  # compression until it must rebuild
        scale *= 0.97
        nl, _ = verlet.update(pos * scale, cell * scale, PERIODIC)
        assert_complete(nl, pos * scale, cell * scale, PERIODIC)


def test_cell_change_with_fixed_positions_is_noticed():
    pos, cell = structure()
    verlet = VerletList(CUTOFF, SKIN)
    verlet.update(pos, cell, PERIODIC)
    for factor in (0.99, 0.9, 0.7):
        nl, _ = verlet.update(pos, cell * factor, PERIODIC)
        assert_complete(nl, pos, cell * factor, PERIODIC)


def test_pbc_and_number_of_atoms_rebuild():
    pos, cell = structure()
    verlet = VerletList(CUTOFF, SKIN)
    verlet.update(pos, cell, PERIODIC)
    assert verlet.update(pos, cell, torch.tensor([True, False, True]))[1]
    nl, rebuilt = verlet.update(pos[:-1], cell, torch.tensor([True, False, True]))
    assert rebuilt and nl.row_ptr.shape == (20,)


def test_caller_may_change_positions_in_place():
    pos, cell = structure()
    verlet = VerletList(CUTOFF, SKIN)
    verlet.update(pos, cell, PERIODIC)
    pos[0] += 2.0  # the list must remember where it was built, not the caller's array
    nl, rebuilt = verlet.update(pos, cell, PERIODIC)
    assert rebuilt
    assert_complete(nl, pos, cell, PERIODIC)
    cell *= 0.8
    nl, rebuilt = verlet.update(pos, cell, PERIODIC)
    assert rebuilt
    assert_complete(nl, pos, cell, PERIODIC)


def test_zero_skin_rebuilds_at_every_relative_change():
    pos, cell = structure()
    verlet = VerletList(CUTOFF, 0.0)
    verlet.update(pos, cell, PERIODIC)
    pos = pos.clone()
    pos[0, 0] += 1e-6
    assert verlet.update(pos, cell, PERIODIC)[1]


def test_bad_positions_are_an_error_not_a_reuse():
    pos, cell = structure()
    verlet = VerletList(CUTOFF, SKIN)
    verlet.update(pos, cell, PERIODIC)
    bad = pos.clone()
    bad[7, 1] = float("nan")
    with pytest.raises(ValueError, match="positions must be finite"):
        verlet.update(bad, cell, PERIODIC)
    with pytest.raises(ValueError, match="cell must"):
        verlet.update(pos, cell * 0, PERIODIC)


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
def test_cutoff_and_skin_are_checked(bad):
    with pytest.raises(ValueError, match="cutoff must"):
        VerletList(bad, 0.1)
    with pytest.raises(ValueError, match="skin must"):
        VerletList(3.0, bad)


@pytest.mark.parametrize("name", ["pos", "cell", "pbc"])
def test_tensors_that_are_not_on_the_cpu_are_named(name):
    pos, cell = structure()
    args = {"pos": pos, "cell": cell, "pbc": PERIODIC}
    with pytest.raises(ValueError, match=f"{name} must be on cpu"):
        VerletList(CUTOFF, SKIN).update(**args | {name: args[name].to("meta")})


def test_pair_just_outside_the_skin_approaching_head_on():
    # the tightest case: both atoms move by skin / 2 towards each other
    pos = torch.tensor([[0.0, 0, 0], [CUTOFF + SKIN + 1e-9, 0, 0]], dtype=torch.float64)
    cell = torch.zeros(3, 3, dtype=torch.float64)
    verlet = VerletList(CUTOFF, SKIN)
    assert len(verlet.update(pos, cell, OPEN)[0].idx_i) == 0
    for fraction in (0.5, 0.99, 0.999999, 1.0, 1.000001, 1.5):
        step = fraction * SKIN / 2
        moved = pos + torch.tensor([[step, 0, 0], [-step, 0, 0]], dtype=torch.float64)
        nl, _ = VerletList.update(verlet, moved, cell, OPEN)
        assert_complete(nl, moved, cell, OPEN)


def test_list_serves_the_geometry_op():
    pos, cell = structure()
    nl, _ = VerletList(CUTOFF, SKIN).update(pos, cell, PERIODIC)
    batch = torch.zeros(len(pos), dtype=torch.int64)
    _, d = ops.edge_geometry(pos, cell[None], nl.shift, nl.row_ptr, nl.idx_i, nl.idx_j, nl.edge_rev, batch)
    assert bool((d < CUTOFF + SKIN).all()) and bool((d >= CUTOFF).any())
