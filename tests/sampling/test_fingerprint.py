from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from scipy.spatial.transform import Rotation

from pyff.sampling import fingerprint


def chiral() -> Atoms:
    """CHFClBr."""
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
    lengths = np.array([1.09, 1.36, 1.76, 1.94])
    return Atoms("CHFClBr", np.vstack([[0, 0, 0], corners * lengths[:, None]]))


def moved(atoms: Atoms, seed: int = 0) -> Atoms:
    """The same molecule elsewhere, turned, equal atoms renumbered."""
    rng = np.random.default_rng(seed)
    other = atoms.copy()
    other.positions = Rotation.random(random_state=seed).apply(atoms.positions) + rng.normal(size=3)
    for z in np.unique(atoms.numbers):
        mine = np.flatnonzero(atoms.numbers == z)
        other.positions[mine] = other.positions[rng.permutation(mine)]
    return other


@pytest.mark.parametrize("name", ["CH3CH2OH", "C6H6", "H2O"])
def test_fingerprint_ignores_motion_and_numbering_of_equal_atoms(name):
    atoms = molecule(name)
    one, two = fingerprint(atoms), fingerprint(moved(atoms))
    assert one.difference(two) < 1e-12
    np.testing.assert_allclose(one.hands, two.hands, atol=1e-12)
    assert not one.is_mirror_image(two)


def test_fingerprint_sees_a_turned_group_and_the_elements():
    atoms = molecule("CH3CH2OH")
    turned = atoms.copy()
    turned.set_dihedral(1, 0, 2, 3, 60 + atoms.get_dihedral(1, 0, 2, 3), indices=[3])
    assert fingerprint(atoms).difference(fingerprint(turned)) > 0.1
    big, other = atoms + molecule("C6H6"), turned + molecule("C6H6")
    for both in (big, other):
        both.positions[9:] += [0, 0, 4]
    assert fingerprint(big).difference(fingerprint(other)) > 0.1
    swapped = molecule("CO2")
    swapped.positions = swapped.positions[[1, 0, 2]]  # C-O-O
    assert fingerprint(molecule("CO2")).difference(fingerprint(swapped)) > 0.2


def test_difference_grows_smoothly_with_the_change():
    atoms, changes = molecule("CH3CH2OH"), []
    for size in (1e-6, 1e-4, 1e-2):
        rattled = atoms.copy()
        rattled.rattle(size, seed=1)
        changes.append(fingerprint(atoms).difference(fingerprint(rattled)) / size)
    assert changes == pytest.approx([changes[0]] * 3, rel=0.2) and 0.1 < changes[0] < 3


def test_mirror_images_have_equal_distances_and_opposite_hands():
    atoms = chiral()
    mirror = moved(atoms)
    mirror.positions[:, 2] *= -1
    one, two = fingerprint(atoms), fingerprint(mirror)
    assert one.difference(two) < 1e-12
    assert one.is_mirror_image(two) and not one.is_mirror_image(fingerprint(moved(atoms, 5)))
    rattled = moved(atoms)
    rattled.rattle(0.003, seed=2)  # as relaxations scatter
    assert not one.is_mirror_image(fingerprint(rattled)) and two.is_mirror_image(fingerprint(rattled))


def test_structure_that_is_its_own_mirror_image_has_no_hand():
    atoms = molecule("CH3CH2OH")
    mirror = atoms.copy()
    mirror.positions[:, 2] *= -1
    mirror.rattle(0.002, seed=3)
    assert not fingerprint(atoms).is_mirror_image(fingerprint(mirror))


def test_periodic_structure_does_not_depend_on_the_choice_of_images():
    atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    atoms.rattle(0.1, seed=0)
    shifted = atoms.copy()
    shifted.positions += [1.3, 0.4, 4.0]
    shifted.wrap()
    assert fingerprint(atoms).difference(fingerprint(shifted)) < 1e-10


def test_one_atom_has_a_fingerprint():
    assert fingerprint(Atoms("H")).difference(fingerprint(Atoms("H", [[1, 2, 3]]))) == 0
