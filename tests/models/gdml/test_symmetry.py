"""Space groups of supercells as permutations: sizes, group axioms, agreement with spglib, adsorbates."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc111, graphene, molecule
from ase.spacegroup import crystal

from pyff.models.gdml.symmetry import (
    frames_group,
    mean_structure,
    point_operations,
    rigid_permutations,
    supercell_group,
)


def _graphene(n: int) -> Atoms:
    return graphene(a=2.46, vacuum=10).repeat((n, n, 1))


def _quartz() -> Atoms:
    """Alpha quartz, P3_121: trigonal, screw axes, no inversion."""
    sites = [(0.4697, 0, 1 / 3), (0.4135, 0.2669, 0.2858)]
    return crystal(("Si", "O"), sites, spacegroup=152, cellpar=[4.913, 4.913, 5.405, 90, 90, 120])


STRUCTURES = {
    "graphene 5x5": lambda: _graphene(5),
    "graphene 2x2": lambda: _graphene(2),
    "bcc 3x3x3": lambda: bulk("Na", "bcc", a=4.23, cubic=True).repeat(3),
    "fcc 2x2x2": lambda: bulk("Pd", "fcc", a=3.9, cubic=True).repeat(2),
    "fcc 3x3x3 primitive": lambda: bulk("Pd", "fcc", a=3.9).repeat(3),
    "rock salt 2x2x2": lambda: bulk("MgO", "rocksalt", a=4.21, cubic=True).repeat(2),
    "diamond": lambda: bulk("Si", "diamond", a=5.43, cubic=True),
    "hcp": lambda: bulk("Mg", "hcp", a=3.2, c=5.2).repeat((2, 2, 1)),
    "wurtzite": lambda: bulk("ZnO", "wurtzite", a=3.25, c=5.2),
    "quartz": _quartz,
    "slab": lambda: fcc111("Pd", (2, 2, 3), a=3.9, vacuum=8, periodic=True),
    "orthorhombic": lambda: Atoms("CuAu", [[0, 0, 0], [1.4, 1.6, 1.9]], cell=[2.8, 3.2, 3.8], pbc=True),
}


@pytest.mark.parametrize(
    ("name", "order", "n_translations"),
    [
        ("graphene 5x5", 300, 25),
        ("graphene 2x2", 48, 4),
        ("bcc 3x3x3", 2592, 54),
        ("fcc 2x2x2", 1536, 32),
        ("fcc 3x3x3 primitive", 1296, 27),
        ("rock salt 2x2x2", 1536, 32),
    ],
)
def test_group_orders_of_the_published_supercells(name, order, n_translations):
    atoms = STRUCTURES[name]()
    start = time.perf_counter()
    group = supercell_group(atoms)
    assert time.perf_counter() - start < 5  # 0.1 to 0.4 s on an idle core
    assert (len(group), len(group.translations)) == (order, n_translations)


@pytest.mark.parametrize("name", [*STRUCTURES])
def test_permutations_form_a_group_of_cosets_of_the_translations(name):
    atoms = STRUCTURES[name]()
    group = supercell_group(atoms)
    perms, translations = group.perms.numpy(), group.translations.numpy()
    n = len(atoms)
    assert (perms[0] == np.arange(n)).all()
    names = {perm.tobytes() for perm in perms}
    assert len(names) == len(perms)
    rng = np.random.default_rng(0)
    for p, q in rng.integers(len(perms), size=(50, 2)):
        assert perms[p][perms[q]].tobytes() in names
        assert np.argsort(perms[p]).tobytes() in names
    cosets = perms.reshape(-1, len(translations), n)
    np.testing.assert_array_equal(cosets, translations[:, cosets[:, 0]].swapaxes(0, 1))
    np.testing.assert_array_equal(translations[:, translations], translations[:, translations].swapaxes(0, 1))


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")
@pytest.mark.parametrize("name", [*STRUCTURES])
def test_permutations_are_those_of_spglib(name):
    spglib = pytest.importorskip("spglib")
    atoms = STRUCTURES[name]()
    scaled = atoms.get_scaled_positions()
    symmetry = spglib.get_symmetry((atoms.cell[:], scaled, atoms.numbers), symprec=1e-3)
    expected = set()
    for W, t in zip(symmetry["rotations"], symmetry["translations"]):
        off = (scaled @ W.T + t)[:, None] - scaled
        distance = np.linalg.norm((off - np.round(off)) @ atoms.cell[:], axis=-1)
        expected.add(tuple(distance.argmin(1).tolist()))
    assert {tuple(perm) for perm in supercell_group(atoms).perms.tolist()} == expected


@pytest.mark.parametrize("name", ["graphene 2x2", "hcp", "quartz", "fcc 3x3x3 primitive"])
def test_group_does_not_depend_on_the_choice_of_the_cell(name):
    """Skewed cells of the same lattice, atoms in other images, a shift and a rotation: the same permutations."""
    atoms = STRUCTURES[name]()
    expected = supercell_group(atoms).perms
    rng = np.random.default_rng(1)
    skewed = atoms.copy()
    skewed.positions += rng.integers(-2, 3, size=(len(atoms), 3)) @ atoms.cell[:] + rng.normal(size=3)
    skewed.set_cell(np.array([[1, 0, 0], [2, 1, 0], [-1, 1, 1]]) @ atoms.cell[:])
    skewed.rotate(40, (1, 2, 3), rotate_cell=True)
    assert {*map(tuple, supercell_group(skewed).perms.tolist())} == {*map(tuple, expected.tolist())}


def test_permutations_keep_periodic_distances():
    from pyff.ops import gdml

    atoms = STRUCTURES["quartz"]()
    group = supercell_group(atoms)
    x, _ = gdml.inverse_distances(torch.tensor(atoms.positions)[None], torch.tensor(atoms.cell[:]))
    permuted = x[0][gdml.descriptor_permutations(group.perms)]
    assert len(group) == 6
    torch.testing.assert_close(permuted, x.expand_as(permuted), rtol=1e-12, atol=1e-14)


def test_small_displacements_break_the_symmetry_beyond_the_tolerance():
    atoms = STRUCTURES["fcc 2x2x2"]()
    atoms.positions[3, 0] += 0.02
    assert len(supercell_group(atoms, tolerance=0.1)) == 1536
    assert len(supercell_group(atoms)) == 8  # 4mm around x; one atom has left its site
    atoms.positions[3, 1] += 0.011
    assert len(supercell_group(atoms)) == 2


def test_point_operations_of_lattices():
    assert len(point_operations(np.eye(3))) == 48
    assert len(point_operations(np.diag([1, 1, 2.0]))) == 16
    assert len(point_operations(np.array([[1, 0, 0], [-0.5, 3**0.5 / 2, 0], [0, 0, 3]]))) == 24
    # the primitive cell of fcc, far from reduced: entries of W beyond -1, 0, 1
    skewed = np.array([[1, 0, 0], [3, 1, 0], [-2, 4, 1]]) @ (np.ones((3, 3)) - np.eye(3)) * 2
    operations = point_operations(skewed)
    assert len(operations) == 48 and np.abs(operations).max() > 1
    np.testing.assert_allclose(operations @ (skewed @ skewed.T) @ operations.swapaxes(1, 2),
                               np.broadcast_to(skewed @ skewed.T, (48, 3, 3)))  # fmt: skip


def _with_benzene() -> Atoms:
    benzene = molecule("C6H6")
    sheet = _graphene(4)
    benzene.translate(sheet.positions.mean(0) + np.array([0.3, 0.1, 3.3]))
    return sheet + benzene


def test_adsorbate_permutes_on_its_own():
    atoms = _with_benzene()
    adsorbate = range(32, 44)
    group = supercell_group(atoms, adsorbate=adsorbate)
    assert len(group) == 192 * 12 and len(group.translations) == 16
    assert len(supercell_group(atoms, adsorbate=adsorbate, adsorbate_perms=np.arange(12)[None])) == 192
    perms = group.perms
    assert (perms[:, :32] < 32).all() and (perms[:, 32:] >= 32).all()
    assert (torch.from_numpy(atoms.numbers)[perms] == torch.from_numpy(atoms.numbers)).all()
    cosets = perms.reshape(-1, 16, 44)
    assert torch.equal(cosets, group.translations[:, cosets[:, 0]].swapaxes(0, 1))
    assert (group.translations[:, 32:] == torch.arange(32, 44)).all()


def test_interstitial_atom_leaves_the_group_of_the_metal():
    palladium = STRUCTURES["fcc 2x2x2"]()
    atoms = palladium + Atoms("H", [[1.93, 1.93, 2.1]])
    order = np.random.default_rng(0).permutation(33)
    shuffled = atoms[order]
    group = supercell_group(shuffled, adsorbate=[int(np.flatnonzero(order == 32)[0])])
    assert len(group) == 1536
    assert (torch.from_numpy(shuffled.numbers)[group.perms] == torch.from_numpy(shuffled.numbers)).all()


@pytest.mark.parametrize(("name", "order"), [("H2O", 2), ("C6H6", 12), ("CH4", 24), ("C2H6", 12), ("CO2", 2)])
def test_rigid_permutations_of_molecules(name, order):
    assert len(rigid_permutations(molecule(name))) == order


def test_errors_say_what_to_change():
    atoms = STRUCTURES["fcc 2x2x2"]()
    with pytest.raises(ValueError, match="three independent lattice vectors"):
        supercell_group(molecule("H2O"))
    with pytest.raises(ValueError, match="all of them"):
        supercell_group(atoms, adsorbate=range(32))
    with pytest.raises(ValueError, match="tolerance must be positive"):
        supercell_group(atoms, tolerance=0)
    with pytest.raises(ValueError, match="exchange identical atoms only"):
        supercell_group(atoms + molecule("CO"), adsorbate=[32, 33], adsorbate_perms=[[0, 1], [1, 0]])
    with pytest.raises(ValueError, match="form a group"):
        supercell_group(atoms + molecule("CH4"), adsorbate=range(32, 37), adsorbate_perms=[[0, 2, 3, 1, 4]])
    with pytest.raises(ValueError, match=r"permutations of range\(2\)"):
        supercell_group(atoms + molecule("CO"), adsorbate=[32, 33], adsorbate_perms=[[0, 0]])


def _vibrating(atoms: Atoms, n_frames: int, amplitude: float, adsorbate=()) -> np.ndarray:
    """Positions [M, N, 3] with noise, drift beyond the cell, atoms in any image, and an adsorbate anywhere."""
    rng = np.random.default_rng(0)
    pos = atoms.positions + rng.normal(scale=amplitude, size=(n_frames, len(atoms), 3))
    pos[:, list(adsorbate)] = rng.uniform(size=(n_frames, len(adsorbate), 3)) @ atoms.cell[:]
    pos += np.linspace(0, 1.3, n_frames)[:, None, None] * atoms.cell[:].sum(0)
    return pos + rng.integers(-1, 2, size=pos.shape) @ atoms.cell[:]


@pytest.mark.parametrize(("name", "order"), [("fcc 2x2x2", 1536), ("graphene 2x2", 48), ("bcc 3x3x3", 2592)])
def test_group_of_vibrating_atoms_is_that_of_their_sites(name, order):
    atoms = STRUCTURES[name]()
    atoms += Atoms("H", [[1.0, 1.0, 1.0]])
    adsorbate = [len(atoms) - 1]
    pos = _vibrating(atoms, 12, 0.15, adsorbate)
    group = frames_group(atoms.numbers, pos, atoms.cell[:], adsorbate)
    expected = supercell_group(atoms, adsorbate)
    assert len(group) == order
    assert {*map(tuple, group.perms.tolist())} == {*map(tuple, expected.perms.tolist())}


def test_mean_structure_forgets_drift_and_images():
    atoms = STRUCTURES["fcc 2x2x2"]()
    mean, spread = mean_structure(atoms.numbers, _vibrating(atoms, 400, 0.1), atoms.cell[:])
    off = mean.positions - atoms.positions
    off -= np.round(off @ np.linalg.inv(atoms.cell[:])) @ atoms.cell[:]
    assert np.abs(off - off.mean(0)).max() < 0.03  # 0.1 / sqrt(400), four standard errors and the drift
    assert spread == pytest.approx(0.1 * 3**0.5, rel=0.03)


def test_frames_of_a_liquid_have_no_group():
    atoms = STRUCTURES["fcc 2x2x2"]()
    with pytest.raises(ValueError, match="atoms must stay at their sites"):
        frames_group(atoms.numbers, _vibrating(atoms, 8, 1.5), atoms.cell[:])
