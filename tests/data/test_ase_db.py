from __future__ import annotations

import ase.db
import numpy as np
import pytest
from _data import shared_data
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms

from pyff.data import read
from pyff.errors import DataError


def write(path, metadata=None, n=3, **data):
    with ase.db.connect(path, type="db") as db:
        for k in range(n):
            atoms = Atoms("OH2", [[0, 0, 0.01 * k], [0.96, 0, 0], [-0.24, 0.93, 0]])
            db.write(atoms, data={"energy": np.array([float(k)]), "forces": np.full((3, 3), float(k)), **data})
        db.metadata = metadata or {}
    return path


def test_read_db_units_from_schnetpack_metadata(tmp_path):
    units = {"_property_unit_dict": {"energy": "kcal/mol", "forces": "kcal/mol/Ang"}, "_distance_unit": "Ang"}
    d = read(write(tmp_path / "a.db", units))
    assert d.units.energy == "kcal/mol"
    np.testing.assert_allclose(d[2].labels["forces"], 2 * 0.0433641042418009)


def test_read_db_force_unit_of_its_own(tmp_path):
    units = {"_property_unit_dict": {"energy": "Hartree", "forces": "Hartree/Bohr"}, "_distance_unit": "Ang"}
    d = read(write(tmp_path / "a.db", units))
    np.testing.assert_allclose(d[1].labels["forces"], 27.211386245988 / 0.529177210903)


def test_read_db_without_metadata_asks_for_units(tmp_path):
    with pytest.raises(DataError, match="_property_unit_dict"):
        read(write(tmp_path / "a.db"))


def test_read_db_calculator_results_are_not_constrained(tmp_path):
    atoms = Atoms("H2", [[0, 0, 0], [0, 0, 0.8]], constraint=FixAtoms([0]))
    atoms.calc = SinglePointCalculator(atoms, energy=-3.0, forces=np.ones((2, 3)))
    with ase.db.connect(tmp_path / "a.db", type="db") as db:
        db.write(atoms)
    d = read(tmp_path / "a.db", units="eV,Angstrom")
    np.testing.assert_array_equal(d[0].labels["forces"], np.ones((2, 3)))
    np.testing.assert_array_equal(d[0].pos, atoms.positions)


def test_read_db_total_charge_and_multiplicity(tmp_path):
    path = write(tmp_path / "a.db", total_charge=np.array([1.0]), spin_multiplicity=np.array([2.0]))
    d = read(path, units="eV,Angstrom")
    assert (d[0].charge, d[0].spin) == (1.0, 1.0)


def test_read_db_garbage_is_a_data_error(tmp_path):
    (tmp_path / "a.db").write_bytes(b"not sqlite" * 100)
    with pytest.raises(DataError, match="cannot be read as an ASE database"):
        read(tmp_path / "a.db")


def test_read_schnetpack_si16_with_units_and_stress():
    d = read(shared_data("schnetpack_small_dbs") / "si16.db")
    assert d.units.force == "eV/Angstrom" and d.count("stress") == 1


def test_read_schnetpack_old_base64_values():
    path = shared_data("schnetpack_small_dbs") / "qm9.db"
    with pytest.raises(DataError, match="keys that exist: energy_U0"):
        read(path)
    d = read(path, units="eV,Angstrom", energy_key="energy_U0")
    assert len(d) == 500 and float(d[0].labels["energy"]) == pytest.approx(-1101.488, abs=1e-3)  # methane


def test_read_schnetpack_multiplicity_that_counts_unpaired_electrons():
    d = read(shared_data("schnetpack_spin_charge") / "ase_carbene_first1700.db")
    assert {s.spin for s in d} == {0.0, 2.0}
    d = read(shared_data("schnetpack_spin_charge") / "ase_ag3_first1700.db")
    assert {s.charge for s in d} == {-1.0, 1.0}
