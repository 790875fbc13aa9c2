"""Labels that a file may hold without anybody asking for them."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import write

from pyff.data import from_arrays, read
from pyff.errors import DataError

UNITS = "eV,Angstrom"
Z, POS = [8, 1, 1], np.array([[[0.0, 0.0, 0.1], [0.0, 0.76, -0.5], [0.0, -0.76, -0.5]]])
CHARGES = [[-0.8, 0.4, 0.4]]


def labelled(path, atoms=None, **values) -> str:
    """One frame with an energy and values as info (scalars, vectors) or arrays (one entry per atom)."""
    atoms = atoms or molecule("H2O")
    atoms.info["energy"] = -10.0
    for key, value in values.items():
        store = atoms.arrays if np.shape(value)[:1] == (len(atoms),) and key != "dipole" else atoms.info
        store[key] = np.asarray(value)
    write(path, atoms, format="extxyz")
    return str(path)


def test_properties_of_arrays_become_labels_in_e_and_angstrom():
    d = from_arrays(
        Z, POS, [0.0], units="Hartree,Bohr", dipole=[[0.0, 0.0, 2.0]], charges=CHARGES, hirshfeld=[[0.9, 0.6, 0.6]],
        target=[7.5],
    )  # fmt: skip
    labels = d[0].labels
    np.testing.assert_allclose(labels["dipole"], [0, 0, 2 * 0.529177210903])
    np.testing.assert_array_equal(labels["charges"], CHARGES[0])
    assert labels["hirshfeld"].tolist() == [0.9, 0.6, 0.6] and labels["target"] == 7.5
    assert "hirshfeld 1 frames, 0.6 to 0.9" in d.describe()


def test_properties_target_needs_no_energy():
    d = from_arrays(Z, POS, units=UNITS, target=[1.0])
    assert d.count("target") == 1 and d.count("energy") == 0


def test_properties_target_is_read_only_by_its_name(tmp_path):
    path = labelled(tmp_path / "a.xyz", gap=3.25)
    assert read(path, units=UNITS).count("target") == 0
    assert read(path, units=UNITS, target_key="gap")[0].labels["target"] == 3.25
    with pytest.raises(DataError, match="target_key='homo' is in no frame"):
        read(path, units=UNITS, target_key="homo")


def test_properties_dipole_of_a_periodic_structure_is_left_out(tmp_path):
    d = read(labelled(tmp_path / "a.xyz", bulk("NaCl", "rocksalt", a=5.6), dipole=[0.0, 0.0, 1.0]), units=UNITS)
    assert d[0].pbc.all() and "dipole" not in d[0].labels


def test_properties_that_do_not_fit_are_noted_not_refused(tmp_path):
    magnitude = read(labelled(tmp_path / "a.xyz", dipole=1.85), units=UNITS)
    assert magnitude.count("dipole") == 0 and "dipole not read from 'dipole': expected 3 numbers" in magnitude.notes[-1]
    nuclear = read(labelled(tmp_path / "b.xyz", atomic_charges=[8.0, 1.0, 1.0]), units=UNITS)
    assert nuclear.count("charges") == 0 and "these are the atomic numbers" in nuclear.notes[-1]
    two = labelled(tmp_path / "c.xyz", atomic_charges=[-0.8, 0.4, 0.4], partial_charges=[-0.6, 0.3, 0.3])
    assert "several keys" in read(two, units=UNITS).notes[-1]
    assert read(two, units=UNITS, charges_key="partial_charges")[0].labels["charges"][0] == -0.6


def test_properties_asked_for_must_fit(tmp_path):
    with pytest.raises(DataError, match=r"a.xyz\[0\]: dipole of shape \(\), not \(3,\)"):
        read(labelled(tmp_path / "a.xyz", dipole=1.85), units=UNITS, dipole_key="dipole")


def test_properties_not_finite_are_refused(tmp_path):
    with pytest.raises(DataError, match="charges not finite"):
        read(labelled(tmp_path / "a.xyz", Atoms("H2", [[0, 0, 0], [0, 0, 0.7]]), charges=[np.nan, 0]), units=UNITS)
