"""Tasks: which points, which permutations, which numbers; and what is wrong with data that give none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from _gdml_toy import water

from pyff.data import from_arrays
from pyff.errors import DataError, PyffError
from pyff.models.gdml import GDMLConfig
from pyff.train.gdml import GdmlData, create_task
from pyff.train.gdml.data import fingerprint

IDENTITY = np.array([[0, 1, 2]])
CONFIG = GDMLConfig(sigma=3)


def task(data, n_train=20, n_valid=15, **options):
    options = {"perms": IDENTITY, "rng": np.random.default_rng(0), **options}
    return create_task(data, n_train, n_valid, CONFIG, **options)


def test_points_are_disjoint_and_those_of_the_data():
    data = water(40)
    made = task(data)
    assert not set(made.source.train) & set(made.source.valid)
    assert len(made.source.train) == 20 and len(made.source.valid) == 15
    np.testing.assert_array_equal(made.pos, data.pos[made.source.train])
    np.testing.assert_array_equal(made.energy, data.energy[made.source.train])
    assert made.source.train_md5 == made.source.valid_md5 == data.md5


def test_other_validation_data_may_give_all_their_frames():
    made = task(water(25), 25, 30, valid_data=water(30, seed=7))
    assert sorted(made.source.valid) == list(range(30))
    assert made.source.train_md5 != made.source.valid_md5


def test_same_seed_same_task():
    one, two = (task(water(40), rng=np.random.default_rng(3)).source.train for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_frames_without_energies_are_drawn_at_random():
    assert len(task(replace(water(40), energy=None), use_energy="none").source.train) == 20


def test_units_and_cell_are_those_of_the_data():
    cell = np.array([[7.0, 0, 0], [0, 8.0, 0], [0.5, 0, 9.0]])
    config = task(replace(water(40, cell=cell), energy_unit="eV", length_unit="Bohr")).config
    assert (config.energy_unit, config.length_unit) == ("eV", "Bohr")
    np.testing.assert_array_equal(config.cell, cell)


def test_permutations_come_from_the_caller_the_data_or_the_points():
    swap = np.array([[0, 1, 2], [0, 2, 1]])
    assert len(task(replace(water(40), perms=swap)).perms) == 1
    assert len(task(replace(water(40), perms=swap), perms=None).perms) == 2
    np.testing.assert_array_equal(task(water(40), perms=None).perms, swap)
    np.testing.assert_array_equal(task(replace(water(40), perms=swap), use_sym=False, perms=None).perms, IDENTITY)


@pytest.mark.parametrize(
    ("n_train", "n_valid", "words"),
    [
        (41, 1, r"training points must be 1 \.\. 40; received 41"),
        (30, 11, r"validation points must be 1 \.\. 10; received 11 \(40 frames, 30 of them are trained on\)"),
        (0, 5, "training points must be"),
    ],
)
def test_too_few_frames(n_train, n_valid, words):
    with pytest.raises(PyffError, match=words):
        task(water(40), n_train, n_valid)


def test_other_atoms_in_the_validation_data():
    with pytest.raises(DataError, match="validation data must have the atoms"):
        task(water(40), valid_data=replace(water(40, seed=2), Z=np.array([1, 8, 1])))


def test_no_energies_where_they_are_to_be_used():
    with pytest.raises(DataError, match="--no_E"):
        task(replace(water(40), energy=None))


def test_with_sigma_changes_nothing_else():
    made = task(water(40))
    other = made.with_sigma(4.5, 1e-8)
    assert (other.config.sigma, other.config.lam) == (4.5, 1e-8)
    assert other.pos is made.pos and made.config.sigma == 3


@pytest.mark.parametrize(
    ("perms", "words"),
    [
        ([[1, 2, 3]], "must hold permutations"),
        ([[0, 1, 2], [1, 0, 2]], "same element only"),
        ([[0, 2, 1]], "group"),
        ([[0, 1]], "must permute the 3 atoms"),
    ],
)
def test_permutations_that_make_no_group(perms, words):
    with pytest.raises(ValueError, match=words):
        task(water(40), perms=np.array(perms))


@pytest.mark.parametrize("key", ["pos", "forces", "energy"])
def test_shapes_are_checked(key):
    with pytest.raises(DataError, match=f"{key} must have shape"):
        replace(water(5), **{key: np.zeros((4, 2, 3))})


def test_cell_without_volume():
    with pytest.raises(DataError, match="three independent lattice vectors"):
        water(5, cell=np.zeros((3, 3)))


def test_dataset_gives_the_numbers_of_its_source():
    """Through eV and A and back."""
    data = water(6)
    dataset = from_arrays(data.Z, data.pos, data.energy, data.forces, units="kcal/mol,Angstrom")
    back = GdmlData.from_dataset(dataset)
    for key in ("pos", "forces", "energy"):
        np.testing.assert_allclose(getattr(back, key), getattr(data, key), rtol=1e-14, atol=1e-12)
    assert (back.energy_unit, back.length_unit) == ("kcal/mol", "Ang")


def test_fingerprint_is_that_of_sgdml():
    """Of sgdml 1.0.3, io.dataset_md5, for these arrays."""
    Z = np.array([8, 1, 1], np.uint8)
    pos, forces = np.arange(18.0).reshape(2, 3, 3), -np.arange(18.0).reshape(2, 3, 3)
    assert fingerprint(Z, pos, np.array([1.5, -2.0]), forces) == "eefd594d1cb5f607c23d3c862e63d3a9"
    assert fingerprint(Z, pos, None, forces) == "d7cbca202c47e88be056d81ddfe01189"


@pytest.mark.parametrize("name", ["pos", "forces", "energy"])
def test_numbers_that_are_not_finite_are_named_with_their_frame(name):
    data = water(12)
    broken = getattr(data, name).copy()
    broken[[3, 5]] = np.nan
    with pytest.raises(DataError, match=f"{name} must be finite; 2 of 12 frames .* frame 3"):
        replace(data, **{name: broken})
