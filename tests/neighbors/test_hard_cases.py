"""Cases that other programs got wrong, one test for each symptom, and the edges of what is possible."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from _pairs import as_rows, assert_matches_brute_force
from ase import Atoms
from ase.build import bulk

from pyff import neighbor_list

PARTIAL_PBC = list(itertools.product([False, True], repeat=3))


def check(pos, cell, pbc, cutoff) -> int:
    return assert_matches_brute_force(neighbor_list, pos, cell, pbc, cutoff)


def test_no_atoms():
    i, j, S, D, d = neighbor_list("ijSDd", positions=np.zeros((0, 3)), cell=np.eye(3), pbc=True, cutoff=2.0)
    assert i.shape == j.shape == d.shape == (0,) and S.shape == D.shape == (0, 3)
    assert len(neighbor_list("i", positions=[], cutoff=2.0)) == 0
    assert len(neighbor_list("i", Atoms(), 2.0)) == 0


def test_one_atom():
    assert check(np.ones((1, 3)), np.zeros((3, 3)), False, 5.0) == 0
    assert check(np.ones((1, 3)), np.eye(3) * 4, True, 4.5) == 6
    assert check(np.ones((1, 3)), np.eye(3) * 4, (True, False, False), 4.5) == 2


def test_two_atoms_out_of_reach():
    assert check([[0, 0, 0], [0, 0, 9.0]], np.zeros((3, 3)), False, 5.0) == 0


@pytest.mark.parametrize(("n", "count"), [(1, 0), (2, 2), (3, 6)])
def test_coincident_atoms_are_pairs_at_zero_distance(n, count):
    assert check(np.full((n, 3), 0.7), np.zeros((3, 3)), False, 1.0) == count
    d = neighbor_list("d", positions=np.full((n, 3), 0.7), cutoff=1.0)
    assert (d == 0).all()


def test_zero_cutoff_has_no_pairs():
    assert len(neighbor_list("i", positions=np.zeros((4, 3)), cutoff=0.0)) == 0


@pytest.mark.parametrize("cutoff", [5.0, 15.0, 25.0])
def test_cutoff_many_times_the_cell(cutoff):
    rng = np.random.default_rng(0)
    cell = np.array([[5.0, 0, 0], [1.2, 4.5, 0], [-1.0, 0.7, 5.5]])
    assert check(rng.random((3, 3)) @ cell, cell, True, cutoff) > 0


def test_heights_below_the_cutoff_in_a_skewed_cell():
    cell = np.array([[4.6, 0, 0], [3.1, 4.4, 0], [-2.7, 2.9, 4.2]])
    assert check(np.random.default_rng(0).random((12, 3)) @ cell, cell, True, 5.0) == 898


def test_extremely_skewed_cell():
    cell = np.array([[3.0, 0, 0], [29.0, 3.0, 0], [-17.0, 31.0, 3.0]])
    assert check(np.random.default_rng(0).random((4, 3)) @ cell, cell, True, 2.9) > 0


def test_left_handed_cell():
    rng = np.random.default_rng(1)
    cell = np.array([[0, 5.0, 0], [5.0, 0, 0.3], [0.2, 0, 6.0]])
    assert np.linalg.det(cell) < 0
    assert check(rng.random((20, 3)) @ cell, cell, True, 4.0) > 0


@pytest.mark.parametrize("spread", [100.0, 1e5])
def test_atoms_many_images_outside_the_cell(spread):
    # ten points with a standard deviation of 100 A in a 10 A box
    rng = np.random.default_rng(2)
    pos = rng.normal(scale=spread, size=(10, 3))
    args = {"cell": np.eye(3) * 10, "pbc": True, "cutoff": 4.5}
    i, j, S, d = neighbor_list("ijSd", positions=pos, **args)
    wrapped = pos % 10
    np.testing.assert_allclose(np.sort(d), np.sort(neighbor_list("d", positions=wrapped, **args)), atol=1e-9)
    k = np.floor(pos / 10).astype(int)
    a, b, T = neighbor_list("ijS", positions=wrapped, **args)
    assert set(as_rows(i, j, S)) == set(as_rows(a, b, T - k[b] + k[a])) and len(i) > 0


def test_open_axes_are_never_wrapped_or_shifted():
    # a molecule in a dummy cell of 1 A, and a slab whose atoms cross the open axis
    rng = np.random.default_rng(3)
    pos = rng.normal(scale=2.0, size=(15, 3)) - 4
    for pbc in PARTIAL_PBC:
        cell = np.diag([6.0 if p else 1.0 for p in pbc])
        assert check(pos, cell, pbc, 3.0) > 0


def test_all_coordinates_negative_on_an_open_axis():
    rng = np.random.default_rng(4)
    pos = rng.random((30, 3)) * 5 - [0, 0, 100]
    assert check(pos, np.eye(3) * 5, (True, True, False), 2.5) > 0


@pytest.mark.parametrize("pbc", PARTIAL_PBC)
@pytest.mark.parametrize("kind", ["zero rows", "singular", "dummy"])
def test_cell_vectors_of_open_axes_do_not_matter(pbc, kind):
    rng = np.random.default_rng(5)
    full = np.array([[5.0, 0.4, 0], [0.3, 6.0, 0.5], [0, -0.7, 5.5]])
    cell = full.copy()
    for k in range(3):
        if not pbc[k]:
            cell[k] = {"zero rows": 0 * full[k], "singular": full[(k + 1) % 3], "dummy": [1e-3, 7.0, -30.0]}[kind]
    pos = rng.random((12, 3)) @ full
    check(pos, cell, pbc, 4.0)
    full_cell = as_rows(*neighbor_list("ijS", positions=pos, cell=full, pbc=pbc, cutoff=4.0))
    assert set(full_cell) == set(as_rows(*neighbor_list("ijS", positions=pos, cell=cell, pbc=pbc, cutoff=4.0)))


def test_rotated_wire_and_tilted_slab():
    rng = np.random.default_rng(6)
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    for pbc in ((False, True, False), (True, False, True)):
        cell = np.array([[4.0, 0.5, 0], [0, 5.0, 0.3], [0.8, 0, 6.0]]) @ q
        cell[~np.array(pbc)] = 0
        pos = rng.normal(size=(10, 3)) * 2
        assert check(pos, cell, pbc, 4.5) > 0
        assert neighbor_list("d", positions=pos, cell=cell, pbc=pbc, cutoff=4.5).max() < 4.5


def test_tilt_of_exactly_one_half():
    a = 3.0
    cell = np.array([[a, 0, 0], [a / 2, a, 0], [a / 2, a / 2, a]])
    pos = np.array([[0, 0, 0], [a / 2, a / 2, a / 2]])
    want = check(pos, cell, True, 3.2)
    for change in (1e-15, -1e-15, 3e-16):
        assert check(pos, cell + change, True, 3.2) == want


@pytest.mark.parametrize("tiny", [-4e-52, 4e-52, -1e-17, 1e-300, -5e-324])
def test_coordinate_that_is_zero_up_to_rounding(tiny):
    pos = np.array([[0.0, 0, 0], [1.5, 1.5, 1.5]])
    moved = pos.copy()
    moved[0, 0] = tiny
    cell = np.eye(3) * 3
    assert check(moved, cell, True, 2.7) == check(pos, cell, True, 2.7) == 16


@pytest.mark.parametrize("origin", [0.0, -3.6, 1.8, 0.9])
def test_atoms_on_cell_faces(origin):
    atoms = bulk("Cu", "fcc", a=3.6, cubic=True) * (2, 3, 2)
    atoms.positions += origin
    for cutoff, n in ((2.6, 12), (3.7, 18), (4.5, 42)):
        assert (np.bincount(neighbor_list("i", atoms, cutoff)) == n).all()


def test_atoms_aligned_with_an_axis():
    pos = np.zeros((40, 3))
    for axis in range(3):
        line = pos.copy()
        line[:, axis] = np.arange(40) * 1.1
        assert check(line, np.zeros((3, 3)), False, 1.2) == 78
        assert check(line, np.eye(3) * 44, True, 1.2) == 80


def test_distances_at_bin_edges():
    # neighbors at exactly the width of a bin, from every offset against the grid
    for offset in (0.0, 0.25, 1 / 3, 1e-14, -1e-14):
        pos = np.stack(np.meshgrid(*[np.arange(8) * 2.5] * 3, indexing="ij"), -1).reshape(-1, 3) + offset
        counts = [len(neighbor_list("i", positions=pos, cell=np.eye(3) * 20, pbc=True, cutoff=c)) for c in (2.6, 5.01)]
        assert counts == [512 * 6, 512 * 32]


@pytest.mark.parametrize("n", [1, 2, 31, 32, 33, 63, 64, 65, 127, 129, 160, 161, 193, 257])
def test_numbers_of_atoms_around_vector_lengths(n):
    rng = np.random.default_rng(n)
    check(rng.random((n, 3)) * (n / 0.1) ** (1 / 3), np.zeros((3, 3)), False, 2.5)


def test_two_atom_cell_lists_no_pair_twice():
    atoms = bulk("C", "diamond", a=3.57)
    assert check(atoms.positions, atoms.cell.array, True, 8.0) > 100


def test_1200_atoms_inside_one_cutoff():
    pos = np.random.default_rng(7).random((1200, 3))
    i, j = neighbor_list("ij", positions=pos, cutoff=3.0)
    assert len(i) == 1200 * 1199
    assert (np.bincount(i) == 1199).all() and (np.bincount(j) == 1199).all()
    assert (i != j).all()


def test_huge_cell_costs_no_more_than_its_atoms():
    rng = np.random.default_rng(8)
    pos = rng.random((300, 3)) * 12
    start = time.perf_counter()
    for size in (1e3, 1e6, 1e9):
        assert len(neighbor_list("i", positions=pos, cell=np.eye(3) * size, pbc=True, cutoff=3.0)) == len(
            neighbor_list("i", positions=pos, cutoff=3.0)
        )
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("pbc", [False, True])
def test_18_atoms_in_a_box_of_1e4(pbc):
    pos = np.random.default_rng(9).random((18, 3)) * 1e4
    pos[1] = pos[0] + [1.0, 0, 0]
    assert check(pos, np.eye(3) * 1e4, pbc, 5.0) == 2


def test_atom_1e7_away_does_not_slow_the_others():
    rng = np.random.default_rng(10)
    pos = rng.random((20000, 3)) * 58
    seconds = []
    for far in ([0.0, 0, 0], [1e7, 1e7, 1e7], [-1e7, 0, 0], [0, 3e6, -2e5]):
        moved = pos.copy()
        moved[0] += far
        start = time.perf_counter()
        i = neighbor_list("i", positions=moved, cutoff=5.0)
        seconds.append(time.perf_counter() - start)
        if any(far):
            assert (i != 0).all()
            near = neighbor_list("i", positions=pos[1:], cutoff=5.0)
            assert len(i) == len(near), far
            np.testing.assert_array_equal(
                np.unique(i - 1, return_counts=True)[1], np.unique(near, return_counts=True)[1]
            )
    assert max(seconds[1:]) < 20 * seconds[0] + 0.5


def test_groups_of_atoms_far_apart_match_brute_force():
    rng = np.random.default_rng(11)
    centres = np.array([[0, 0, 0], [1e6, 0, 0], [1e6, 2e5, -3e3], [-4e4, 0, 900.0], [14.0, 0, 0]])
    pos = (centres[:, None] + rng.normal(size=(5, 60, 3)) * 3).reshape(-1, 3)
    assert check(pos, np.zeros((3, 3)), False, 4.0) > 1000


def test_thin_slab_with_a_huge_vacuum():
    rng = np.random.default_rng(12)
    cell = np.diag([12.0, 11.0, 5e4])
    pos = rng.random((250, 3)) * [12, 11, 6]
    assert check(pos, cell, (True, True, False), 3.0) > 1000
    assert check(pos, cell, True, 3.0) > 1000


def test_dense_and_empty_regions_together():
    rng = np.random.default_rng(13)
    pos = np.concatenate([rng.normal(size=(150, 3)) * 0.4, rng.random((150, 3)) * 60])
    assert check(pos, np.zeros((3, 3)), False, 2.0) > 1000


def test_far_from_the_origin():
    rng = np.random.default_rng(14)
    pos = rng.random((50, 3)) * 8
    near = as_rows(*neighbor_list("ijS", positions=pos, cell=np.eye(3) * 8, pbc=True, cutoff=3.0))
    shifted = pos + 1e6
    far = set(as_rows(*neighbor_list("ijS", positions=shifted, cell=np.eye(3) * 8, pbc=True, cutoff=3.0)))
    # 1e6 is a whole number of cells: only pairs within the rounding of the coordinates may differ
    assert far == set(near)
