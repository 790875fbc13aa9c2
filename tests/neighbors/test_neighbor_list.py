"""pyff.neighbor_list against brute force, known coordination numbers, ASE and vesin."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from _pairs import as_rows, assert_matches_brute_force, brute_force
from ase.build import bulk, graphene
from ase.neighborlist import primitive_neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st

from pyff import neighbor_list

ALL_PBC = list(itertools.product([False, True], repeat=3))


def random_cell(rng, size=5.0):
    while True:
        cell = rng.normal(size=(3, 3)) * size
        lengths = np.linalg.norm(cell, axis=1)
        if abs(np.linalg.det(cell)) > 0.1 * lengths.prod():
            return cell


def heights(cell):
    return 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)


def water(n_molecules, seed=0):
    """Liquid-like water: (pos, cell)."""
    rng = np.random.default_rng(seed)
    L = (n_molecules / 0.033327) ** (1 / 3)
    centres = rng.random((n_molecules, 3)) * L
    bonds = rng.normal(size=(n_molecules, 2, 3))
    bonds *= 0.96 / np.linalg.norm(bonds, axis=2, keepdims=True)
    pos = np.concatenate([centres[:, None], centres[:, None] + bonds], axis=1).reshape(-1, 3)
    return pos % L, np.eye(3) * L


@pytest.mark.parametrize("pbc", ALL_PBC)
@pytest.mark.parametrize("cutoff", [0.3, 1.0, 2.2], ids=lambda c: f"{c}h")
def test_random_triclinic_matches_brute_force(pbc, cutoff):
    rng = np.random.default_rng(int(cutoff * 10) + 100 * sum(p << k for k, p in enumerate(pbc)))
    cell = random_cell(rng)
    pos = rng.random((30, 3)) @ cell
    n_pairs = assert_matches_brute_force(neighbor_list, pos, cell, pbc, cutoff * heights(cell).min())
    assert n_pairs > 0 or cutoff < 1


@st.composite
def structures(draw):
    """Any cell, any pbc, atoms anywhere (also many images outside), cutoffs up to three cell heights."""
    seed = draw(st.integers(0, 2**32 - 1))
    n_atoms = draw(st.integers(0, 12))
    pbc = draw(st.tuples(st.booleans(), st.booleans(), st.booleans()))
    spread = draw(st.sampled_from([1.0, 1.0, 3.0, 40.0]))
    cutoff = draw(st.floats(0.05, 3.0))
    snapped = draw(st.booleans())
    rng = np.random.default_rng(seed)
    cell = random_cell(rng, draw(st.sampled_from([0.5, 3.0, 20.0])))
    fractional = (rng.random((n_atoms, 3)) - 0.5 * (spread > 1)) * spread
    if snapped:  # atoms on cell faces, on each other, and at distances that equal the cutoff
        fractional = np.round(4 * fractional) / 4
    cutoff *= heights(cell).min()
    # an open axis sees no images: atoms spread along it may be far apart
    return fractional @ cell, cell, pbc, cutoff


@settings(max_examples=200, deadline=None, derandomize=True)
@given(structures())
def test_any_structure_matches_brute_force(structure):
    assert_matches_brute_force(neighbor_list, *structure)


@pytest.mark.parametrize("n_molecules", [33, 150, 700])
@pytest.mark.parametrize("pbc", [False, True, (True, True, False), (False, False, True)])
def test_water_matches_ase(n_molecules, pbc):
    pos, cell = water(n_molecules)
    pbc = np.broadcast_to(pbc, 3)
    got = set(as_rows(*neighbor_list("ijS", positions=pos, cell=cell, pbc=pbc, cutoff=4.0)))
    assert got == set(as_rows(*primitive_neighbor_list("ijS", pbc, cell, pos, 4.0)))


def test_large_structures_match_vesin():
    vesin = pytest.importorskip("vesin")
    rng = np.random.default_rng(0)
    for cell, cutoff in ((np.diag([30.0, 41, 25]), 5.0), (random_cell(rng, 30.0), 8.5)):
        pos = (rng.random((4000, 3)) * 4 - 1) @ cell
        got = as_rows(*neighbor_list("ijS", positions=pos, cell=cell, pbc=True, cutoff=cutoff))
        want = vesin.NeighborList(cutoff=cutoff, full_list=True).compute(pos, cell, True, "ijS")
        assert len(got) == len(want[0]) > 10000
        assert set(got) == set(as_rows(*(np.asarray(x).astype(int) for x in want)))


LATTICES = {
    "sc 1": (bulk("Po", "sc", a=3.0), 3.1, 6),
    "sc 2": (bulk("Po", "sc", a=3.0), 4.3, 18),
    "sc 3": (bulk("Po", "sc", a=3.0), 5.3, 26),
    "fcc 1": (bulk("Cu", "fcc", a=3.6), 2.6, 12),
    "fcc 2": (bulk("Cu", "fcc", a=3.6), 3.7, 18),
    "fcc cubic": (bulk("Cu", "fcc", a=3.6, cubic=True), 2.6, 12),
    "bcc": (bulk("Fe", "bcc", a=2.87), 2.6, 8),
    "diamond": (bulk("C", "diamond", a=3.57), 1.6, 4),
    "graphene": (graphene(vacuum=5.0), 1.5, 3),
    "hcp": (bulk("Mg", "hcp", a=3.2, c=3.2 * np.sqrt(8 / 3)), 3.25, 12),
}


@pytest.mark.parametrize("repeat", [(1, 1, 1), (3, 3, 3), (1, 2, 4)], ids=str)
@pytest.mark.parametrize("lattice", LATTICES)
def test_coordination_number_of_lattices(lattice, repeat):
    atoms, cutoff, count = LATTICES[lattice]
    repeat = tuple(r if p else 1 for r, p in zip(repeat, atoms.pbc))
    atoms = atoms * repeat
    i = neighbor_list("i", atoms, cutoff)
    assert (np.bincount(i, minlength=len(atoms)) == count).all()


@pytest.mark.parametrize("repeat", [1, 2, 5])
def test_distance_equal_to_the_cutoff_is_not_listed(repeat):
    # strict: d < cutoff; decided by the returned d, in both directions alike
    atoms = bulk("Po", "sc", a=2.5) * (repeat, repeat, repeat)
    for cutoff, count in ((2.5, 0), (np.nextafter(2.5, 3), 6), (5.0, 26), (np.nextafter(5.0, 6), 32)):
        i, d = neighbor_list("id", atoms, float(cutoff))
        assert (np.bincount(i, minlength=len(atoms)) == count).all()
        assert (d < cutoff).all()


def test_quantities_come_in_the_order_asked_for():
    pos, cell = water(20)
    args = {"positions": pos, "cell": cell, "pbc": True, "cutoff": 3.0}
    i, j, S, D, d = neighbor_list("ijSDd", **args)
    for order in itertools.permutations("ijSDd", 3):
        for name, got in zip(order, neighbor_list("".join(order), **args)):
            np.testing.assert_array_equal(got, {"i": i, "j": j, "S": S, "D": D, "d": d}[name])
    for name, want in zip("ijSDd", (i, j, S, D, d)):
        got = neighbor_list(name, **args)
        assert isinstance(got, np.ndarray)
        np.testing.assert_array_equal(got, want)


def test_atoms_object_gives_the_same_as_arrays():
    atoms = bulk("Cu", "fcc", a=3.6) * (2, 2, 2)
    atoms.rattle(0.1, seed=0)
    for got, want in zip(
        neighbor_list("ijSDd", atoms, 4.0),
        neighbor_list("ijSDd", positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc, cutoff=4.0),
    ):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("pbc", [False, True, (True, False, True)])
def test_half_list_holds_each_pair_once(pbc):
    rng = np.random.default_rng(3)
    cell = random_cell(rng, 3.0)
    pos = rng.random((10, 3)) @ cell
    cutoff = 1.7 * heights(cell).min()
    args = {"positions": pos, "cell": cell, "pbc": pbc, "cutoff": cutoff}
    full = set(as_rows(*neighbor_list("ijS", **args)))
    i, j, S = neighbor_list("ijS", half=True, **args)
    half = as_rows(i, j, S)
    reversed_half = {(b, a, -x, -y, -z) for a, b, x, y, z in half}
    assert len(half) == len(set(half)) == len(full) // 2
    assert set(half) | reversed_half == full and not set(half) & reversed_half
    assert (i <= j).all()


@pytest.mark.parametrize("pbc", [False, True])
@pytest.mark.parametrize("half", [False, True])
def test_self_interaction_adds_each_atom_once(pbc, half):
    rng = np.random.default_rng(4)
    cell = random_cell(rng, 3.0)
    args = {"positions": rng.random((8, 3)) @ cell, "cell": cell, "pbc": pbc, "cutoff": 3.0, "half": half}
    without = as_rows(*neighbor_list("ijS", **args))
    i, j, S, D, d = neighbor_list("ijSDd", self_interaction=True, **args)
    added = set(as_rows(i, j, S)) - set(without)
    assert added == {(a, a, 0, 0, 0) for a in range(8)} and len(i) == len(without) + 8
    itself = (i == j) & (S == 0).all(1)
    assert (D[itself] == 0).all() and (d[itself] == 0).all()


@pytest.mark.parametrize("cutoff", [{("O", "H"): 1.1}, {(8, 1): 1.3, (1, 1): 1.7}, {("O", "O"): 3.2, ("H", "O"): 2.0}])
def test_cutoff_per_element_pair_matches_ase(cutoff):
    pos, cell = water(60)
    numbers = np.array([8, 1, 1] * 60)
    args = {"positions": pos, "cell": cell, "pbc": True, "numbers": numbers}
    got = set(as_rows(*neighbor_list("ijS", cutoff=cutoff, **args)))
    want = primitive_neighbor_list("ijS", [True] * 3, cell, pos, cutoff, numbers=numbers)
    assert got == set(as_rows(*want)) and len(got) > 50


def test_cutoff_per_element_pair_reads_the_atoms_elements():
    from ase.build import molecule

    atoms = molecule("CH3CH2OH")
    bonds = {("C", "H"): 1.3, ("C", "C"): 1.8, ("C", "O"): 1.7, ("O", "H"): 1.2}
    assert len(neighbor_list("i", atoms, bonds)) == 2 * 8
    assert len(neighbor_list("i", atoms, {("C", "N"): 5.0})) == 0  # an element that is absent


@pytest.mark.parametrize("pbc", [False, True])
def test_radius_per_atom_matches_ase(pbc):
    pos, cell = water(60)
    radii = np.random.default_rng(0).uniform(0, 2.0, len(pos))
    got = set(as_rows(*neighbor_list("ijS", positions=pos, cell=cell, pbc=pbc, cutoff=radii)))
    want = primitive_neighbor_list("ijS", [pbc] * 3, cell, pos, radii)
    assert got == set(as_rows(*want)) and len(got) > 50
    assert as_rows(*neighbor_list("ijS", positions=pos, cell=cell, pbc=pbc, cutoff=list(radii))) == as_rows(
        *neighbor_list("ijS", positions=pos, cell=cell, pbc=pbc, cutoff=radii)
    )


def test_pair_cutoffs_decide_strictly():
    pos = np.array([[0.0, 0, 0], [2.0, 0, 0]])
    assert len(neighbor_list("i", positions=pos, cutoff=[1.0, 1.0])) == 0
    assert len(neighbor_list("i", positions=pos, cutoff=[1.0, 1 + 1e-15])) == 2
    assert len(neighbor_list("i", positions=pos, numbers=[1, 8], cutoff={("H", "O"): 2.0})) == 0


def test_filter_of_a_larger_cutoff_is_the_smaller_list():
    pos, cell = water(100)
    i, j, S, d = neighbor_list("ijSd", positions=pos, cell=cell, pbc=True, cutoff=6.0)
    near = d < 4.0
    small = as_rows(*neighbor_list("ijS", positions=pos, cell=cell, pbc=True, cutoff=4.0))
    assert set(as_rows(i[near], j[near], S[near])) == set(small) and near.sum() == len(small)


def test_permuted_atoms_give_the_permuted_list():
    pos, cell = water(80)
    order = np.random.default_rng(0).permutation(len(pos))
    i, j, S = neighbor_list("ijS", positions=pos, cell=cell, pbc=True, cutoff=4.5)
    a, b, T = neighbor_list("ijS", positions=pos[order], cell=cell, pbc=True, cutoff=4.5)
    assert set(as_rows(order[a], order[b], T)) == set(as_rows(i, j, S))


def test_repeated_cell_repeats_the_neighbors():
    atoms = bulk("Cu", "fcc", a=3.6, cubic=True)
    atoms.rattle(0.2, seed=1)
    d = np.sort(neighbor_list("d", atoms, 5.0))
    twice = np.sort(neighbor_list("d", atoms * (2, 2, 2), 5.0))
    np.testing.assert_allclose(twice, np.repeat(d, 8), rtol=0, atol=1e-9)


def test_moving_atoms_by_lattice_vectors_changes_shifts_only():
    rng = np.random.default_rng(5)
    cell = random_cell(rng, 4.0)
    pos = rng.random((40, 3)) @ cell
    jumps = rng.integers(-30, 30, (40, 3))
    i, j, S = neighbor_list("ijS", positions=pos, cell=cell, pbc=True, cutoff=3.0)
    a, b, T = neighbor_list("ijS", positions=pos + jumps @ cell, cell=cell, pbc=True, cutoff=3.0)
    assert set(as_rows(a, b, T + jumps[b] - jumps[a])) == set(as_rows(i, j, S))


def test_inputs_are_unchanged_and_repeats_are_bytewise_equal():
    pos, cell = water(100)
    pbc = np.array([True, True, False])
    copies = pos.copy(), cell.copy(), pbc.copy()
    first = neighbor_list("ijSDd", positions=pos, cell=cell, pbc=pbc, cutoff=4.0)
    second = neighbor_list("ijSDd", positions=pos, cell=cell, pbc=pbc, cutoff=4.0)
    assert [x.tobytes() for x in first] == [x.tobytes() for x in second]
    assert all(np.array_equal(a, b) for a, b in zip((pos, cell, pbc), copies))
    assert not any(np.shares_memory(a, b) for a, b in itertools.combinations([*first, *second, pos], 2))


def test_returned_arrays_are_writable_and_survive_later_calls():
    pos, cell = water(200)
    d = neighbor_list("d", positions=pos, cell=cell, pbc=True, cutoff=4.0)
    kept = d.copy()
    neighbor_list("d", positions=pos + 0.1, cell=cell, pbc=True, cutoff=4.0)
    np.testing.assert_array_equal(d, kept)
    d[:] = 0


def test_input_of_other_layouts_and_types():
    pos, cell = water(30)
    want = as_rows(*neighbor_list("ijS", positions=pos, cell=cell, pbc=True, cutoff=3.0))
    fortran = np.asfortranarray(pos)
    strided = np.repeat(pos, 2, axis=0)[::2]
    for p in (fortran, strided, pos.tolist()):
        assert as_rows(*neighbor_list("ijS", positions=p, cell=cell.tolist(), pbc=[1, 1, 1], cutoff=3)) == want


def test_float32_positions_are_searched_as_they_are():
    pos, cell = water(30)
    single = pos.astype(np.float32)
    got = as_rows(*neighbor_list("ijS", positions=single, cell=cell, pbc=True, cutoff=3.0))
    assert set(got) == brute_force(single.astype(float), cell, [True] * 3, 3.0)
