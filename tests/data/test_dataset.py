from __future__ import annotations

import numpy as np
import pytest
from _data import shared_data
from ase import Atoms

from pyff.data import Dataset, concatenate, from_arrays, from_ase
from pyff.errors import DataError

POS = np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]) + np.zeros((4, 1, 1))


def small(name="a", **options) -> Dataset:
    return from_arrays([8, 1, 1], POS, np.arange(4.0), 0 * POS, units="kcal/mol,Angstrom", name=name, **options)


def test_dataset_subset_keeps_order_names_and_units():
    part = small().subset(np.array([3, 0]))
    assert part.names == ("a[3]", "a[0]") and part.units.energy == "kcal/mol"
    assert float(part[0].labels["energy"]) == pytest.approx(3 * 0.0433641042418009)
    with pytest.raises(IndexError, match=r"0\.\.3; received \[4\]"):
        small().subset([4])


def test_dataset_describe_shows_numbers_in_the_units_of_the_data():
    text = small().describe()
    assert "H2O (4)" in text and "kcal/mol, Angstrom in the source" in text
    assert "energy    4 frames, 0 to 3 kcal/mol" in text and "stress    none" in text


def test_dataset_fingerprint_changes_with_the_data():
    d = small()
    assert d.fingerprint() == small(name="b").fingerprint()
    assert d.fingerprint() != d.subset([1, 0, 2, 3]).fingerprint()


def test_concatenate_refuses_isolated_atoms_that_disagree():
    a = Dataset((), (), isolated_atoms={1: -1.0})
    assert dict(concatenate([a, small()]).isolated_atoms) == {1: -1.0}
    with pytest.raises(DataError, match="must agree"):
        concatenate([a, Dataset((), (), isolated_atoms={1: -2.0})])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"Z": [8, 1]}, r"atomic numbers of arrays must have shape \(3,\)"),
        ({"energy": np.zeros(3)}, r"energy of arrays must have one entry per frame \(4\)"),
        ({"forces": np.zeros((4, 2, 3))}, r"forces of shape \(2, 3\)"),
        ({"pos": np.zeros((4, 3, 2))}, r"positions of arrays must have shape \[M, N, 3\]"),
        ({"cell": np.zeros((2, 3, 3))}, "cell of arrays must be"),
        ({"Z": [8, 0, 1]}, "padded with zeros at the end"),
    ],
)
def test_from_arrays_wrong_shape_is_named(change, text):
    arguments = {"Z": [8, 1, 1], "pos": POS, "energy": np.zeros(4), "units": "eV,Angstrom"} | change
    with pytest.raises(DataError, match=text):
        from_arrays(**arguments)


def test_from_arrays_without_energy_reads_forces_only():
    d = from_arrays([8, 1, 1], POS, forces=POS.reshape(4, 9), units="eV,Angstrom", charge=1.0, spin=[1, 1, 1, 1])
    assert d.count("energy") == 0 and d.count("forces") == 4 and d[1].charge == 1.0 and d[1].spin == 1.0


def test_from_arrays_takes_deepmd_water():
    folder = shared_data("mdgrad_rdf_water") / "water_aimd"
    load = lambda name: np.load(folder / f"{name}_0.npy").astype(float)  # noqa: E731
    Z = np.where(np.arange(192) % 3 == 0, 8, 1)
    d = from_arrays(
        Z, load("coord").reshape(100, 192, 3), load("energy"), load("force"), cell=load("box"), units="eV,Angstrom",
        bad="skip",
    )  # fmt: skip
    assert d[0].pbc.all() and d[0].cell[0, 0] == pytest.approx(12.444661) and d.count("forces") == len(d) > 0


def test_from_ase_copies_and_follows_the_charge_rule():
    atoms = Atoms("CO", [[0, 0, 0], [0, 0, 1.1]], cell=[5, 5, 5], pbc=[True, False, False])
    atoms.info.update(charge=-1, spin=1)
    system = from_ase(atoms)
    assert (system.charge, system.spin, system.pbc.tolist()) == (-1.0, 1.0, [True, False, False])
    system.pos[0] = 7
    system.cell[0] = 7
    assert atoms.positions[0].tolist() == [0, 0, 0] and atoms.cell[0, 0] == 5


@pytest.mark.parametrize(("name", "value"), [
    *((name, value) for name in ("charge", "spin") for value in (None, np.nan, np.inf, "one", [1.0, 0.0], 10**400)),
    ("spin", -1),
])  # fmt: skip
def test_from_ase_names_a_malformed_charge_or_spin(name, value):
    atoms = Atoms("CO", [[0, 0, 0], [0, 0, 1.1]], info={name: value})
    text = {"charge": "total charge in e, a finite number", "spin": "number of unpaired electrons, finite and not neg"}
    with pytest.raises(ValueError, match=rf"atoms\.info\['{name}'\] must be the {text[name]}.*; received ") as caught:
        from_ase(atoms)
    assert ("not the multiplicity 2S+1" in str(caught.value)) == (name == "spin")


def test_from_ase_refuses_initial_charges_and_moments_that_are_not_finite():
    for setting, what in (("charges", "charges"), ("magmoms", "magnetic moments")):
        atoms = Atoms("CO", [[0, 0, 0], [0, 0, 1.1]], **{setting: [np.nan, 0.0]})
        with pytest.raises(ValueError, match=f"the sum of the initial {what} must be"):
            from_ase(atoms)


def test_from_ase_takes_numbers_of_any_kind():
    atoms = Atoms("CO", [[0, 0, 0], [0, 0, 1.1]], info={"charge": np.float32(-1), "spin": np.array(2)})
    assert (from_ase(atoms).charge, from_ase(atoms).spin) == (-1.0, 2.0)
