from __future__ import annotations

import gzip

import ase.io
import numpy as np
import pytest
from _data import shared_data
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms

from pyff.data import read
from pyff.errors import DataError

UNITS = {"energy_unit": "eV", "length_unit": "Angstrom"}
EV = "eV,Angstrom"


def water(**info) -> Atoms:
    atoms = Atoms("OH2", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    atoms.info.update(info)
    return atoms


def write(path, frames):
    ase.io.write(path, frames, format="extxyz")
    return path


def calculated(atoms, **results) -> Atoms:
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def test_read_extxyz_finds_labels_that_ase_moved_into_the_calculator(tmp_path):
    forces = np.arange(9.0).reshape(3, 3)
    path = write(tmp_path / "a.xyz", [calculated(water(**UNITS), energy=-14.0, forces=forces)])
    d = read(path)
    assert float(d[0].labels["energy"]) == -14.0
    np.testing.assert_allclose(d[0].labels["forces"], forces, atol=1e-8)


@pytest.mark.parametrize("prefix", ["REF_", "dft_", "DFT_", "qm_"])
def test_read_extxyz_finds_prefixed_keys(tmp_path, prefix):
    atoms = water(**{f"{prefix}energy": -1.0})
    atoms.arrays[f"{prefix}forces"] = np.ones((3, 3))
    d = read(write(tmp_path / "a.xyz", [atoms]), units=EV)
    assert set(d[0].labels) == {"energy", "forces"}


def test_read_extxyz_gzip_equals_plain(tmp_path):
    frames = [water(**UNITS, energy=float(k)) for k in range(4)]
    plain = write(tmp_path / "a.xyz", frames)
    (tmp_path / "b.xyz.gz").write_bytes(gzip.compress(plain.read_bytes()))
    assert read(plain).fingerprint() == read(tmp_path / "b.xyz.gz").fingerprint()


def test_read_extxyz_units_from_info_keys(tmp_path):
    path = write(tmp_path / "a.xyz", [water(energy=1.0, energy_unit="Hartree", length_unit="Angstrom")])
    d = read(path)
    assert float(d[0].labels["energy"]) == pytest.approx(27.211386245988)
    frames = [water(energy=1.0, **UNITS), water(energy=1.0, energy_unit="Hartree", length_unit="Angstrom")]
    with pytest.raises(DataError, match="different energy_unit: Hartree, eV"):
        read(write(tmp_path / "b.xyz", frames))


def test_read_extxyz_missing_energy_lists_the_keys_that_exist(tmp_path):
    path = write(tmp_path / "a.xyz", [water(my_level_of_theory=1.0, weight=2)])
    with pytest.raises(DataError, match=r"keys that exist: my_level_of_theory, weight; name one with energy_key"):
        read(path, units=EV)
    assert float(read(path, units=EV, energy_key="my_level_of_theory")[0].labels["energy"]) == 1.0
    assert not read(path, units=EV, energy_key="")[0].labels


def test_read_extxyz_wrong_key_lists_the_keys_that_exist(tmp_path):
    path = write(tmp_path / "a.xyz", [water(energy=1.0, weight=2)])
    with pytest.raises(DataError, match=r"forces_key='f' is in no frame of a.xyz; keys that exist: energy, weight"):
        read(path, units=EV, forces_key="f")


def test_read_extxyz_two_different_energies_have_to_be_chosen_between(tmp_path):
    path = write(tmp_path / "a.xyz", [water(energy=1.0, REF_energy=2.0)])
    with pytest.raises(DataError, match=r"could be the energy: .*choose one with energy_key"):
        read(path, units=EV)
    assert float(read(path, units=EV, energy_key="REF_energy")[0].labels["energy"]) == 2.0


def test_read_extxyz_voigt_full_and_flat_stress_agree(tmp_path):
    stress = np.array([[1.0, 6, 5], [6, 2, 4], [5, 4, 3]]) * 0.01
    voigt = stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    frames = []
    for value in (voigt, stress, stress.ravel()):
        atoms = water(energy=0.0, REF_stress=value)
        atoms.set_cell([4, 5, 6]), atoms.set_pbc(True)
        frames.append(atoms)
    for frame in read(write(tmp_path / "a.xyz", frames), units=EV):
        np.testing.assert_allclose(frame.labels["stress"], stress, rtol=1e-12)


def test_read_extxyz_virial_becomes_minus_stress_times_volume(tmp_path):
    virial = np.diag([1.0, 2.0, 3.0])
    atoms = water(energy=0.0, virial=virial)
    atoms.set_cell([4, 5, 6]), atoms.set_pbc(True)
    d = read(write(tmp_path / "a.xyz", [atoms]), units="Hartree,Angstrom")
    np.testing.assert_allclose(d[0].labels["stress"], -virial * 27.211386245988 / 120, rtol=1e-12)


def test_read_extxyz_stress_of_an_open_structure_is_left_out(tmp_path):
    d = read(write(tmp_path / "a.xyz", [water(energy=0.0, REF_stress=np.zeros(6))]), units=EV)
    assert set(d[0].labels) == {"energy"}


def test_read_extxyz_constraints_do_not_zero_forces(tmp_path):
    atoms = calculated(water(**UNITS), energy=0.0, forces=np.ones((3, 3)))
    atoms.set_constraint(FixAtoms([0, 1]))
    atoms.arrays["REF_forces"] = np.ones((3, 3))
    path = tmp_path / "a.xyz"
    ase.io.write(path, atoms, format="extxyz", columns=["symbols", "positions", "move_mask", "REF_forces"])
    np.testing.assert_array_equal(read(path)[0].labels["forces"], np.ones((3, 3)))


def test_read_extxyz_charge_and_spin_by_the_rule(tmp_path):
    named = water(energy=0.0, charge=-1, spin=1)
    partial = water(energy=0.0)
    partial.set_initial_charges([0.5, 0.25, 0.25])
    partial.set_initial_magnetic_moments([2.0, -1.0, 0.0])
    d = read(write(tmp_path / "a.xyz", [named, partial, water(energy=0.0)]), units=EV)
    assert [(s.charge, s.spin) for s in d] == [(-1.0, 1.0), (1.0, 1.0), (0.0, 0.0)]


def test_read_extxyz_spin_of_wrong_parity_is_noted(tmp_path):
    d = read(write(tmp_path / "a.xyz", [water(energy=0.0, spin=1)]), units=EV)
    assert any("wrong parity" in note for note in d.notes)


@pytest.mark.parametrize(("values", "spin"), [((1, 3), (0.0, 2.0)), ((0, 2), (0.0, 2.0))])
def test_read_extxyz_multiplicity_is_recognised_by_parity(tmp_path, values, spin):
    frames = [water(energy=0.0, spin_multiplicity=v) for v in values]
    assert tuple(s.spin for s in read(write(tmp_path / "a.xyz", frames), units=EV)) == spin


def test_read_extxyz_isolated_atoms_are_set_apart(tmp_path):
    boxed = Atoms("O", cell=[10, 10, 10], pbc=True, info={"energy": -5.0, "config_type": "IsolatedAtom"})
    frames = [water(energy=-20.0), Atoms("H", info={"energy": -1.0}), boxed]
    d = read(write(tmp_path / "a.xyz", frames), units=EV)
    assert len(d) == 1 and dict(d.isolated_atoms) == {1: -1.0, 8: -5.0}


def test_read_extxyz_mixed_frames_keep_what_they_have(tmp_path):
    full = calculated(water(), energy=1.0, forces=np.ones((3, 3)))
    d = read(
        write(tmp_path / "a.xyz", [full, water(energy=2.0), calculated(water(), forces=np.zeros((3, 3)))]), units=EV
    )
    assert [sorted(s.labels) for s in d] == [["energy", "forces"], ["energy"], ["forces"]]


def test_read_garbage_is_a_data_error(tmp_path):
    (tmp_path / "a.xyz").write_text("3\nnothing\nthat is\nan xyz file\n")
    with pytest.raises(DataError, match="cannot be read as extxyz"):
        read(tmp_path / "a.xyz", units=EV)


def test_read_unknown_suffix_and_missing_file(tmp_path):
    (tmp_path / "a.dat").write_text("")
    with pytest.raises(DataError, match="names no known format"):
        read(tmp_path / "a.dat")
    with pytest.raises(FileNotFoundError, match=r"no data file at .*b\.xyz"):
        read(tmp_path / "b.xyz")


def test_read_botnet_set_with_its_isolated_atoms():
    folder = shared_data("botnet_ethanol_methanol")
    d = read([folder / "train_eth_meth.xyz.gz", folder / "isolated_atoms.xyz"], units=EV)
    assert d.formulas() == {"C2H6O": 1000, "CH4O": 300}
    assert sorted(d.isolated_atoms) == [1, 6, 7, 8]
    assert d.isolated_atoms[1] == pytest.approx(-13.568422383046626)


def test_read_nacl_stress_is_taken_as_written():
    d = read(shared_data("janus_nacl") / "NaCl-set.xyz", units=EV)
    assert d.count("stress") == 11
    np.testing.assert_allclose(np.diag(d[0].labels["stress"]), [-0.010019526962005212, *[0.18860719673909251] * 2])


def test_read_instadeep_samples_with_stress_charges_and_spin():
    folder = shared_data("mlip_instadeep_samples")
    assert read(folder / "small_materials_test.extxyz", units=EV).count("stress") == 8
    assert read(folder / "SPICE_small_with_charges.xyz", units=EV).count("forces") == 5


def test_read_qm7_lists_its_odd_energy_keys():
    path = shared_data("qm7_xyz") / "qm7_first5000.extxyz.gz"
    with pytest.raises(DataError, match="dft_kcal_mol"):
        read(path, units="kcal/mol,Angstrom")


def test_read_aqm_dipoles_and_hirshfeld_ratios():
    d = read(shared_data("aqm_small") / "aqm_small.xyz", units=EV)
    assert d.count("dipole") == d.count("hirshfeld") == 10 and d.count("charges") == 0
    np.testing.assert_allclose(d[0].labels["hirshfeld"][0], 0.71837)
    debye = read(shared_data("aqm_small") / "aqm_small.xyz", units="eV,Angstrom,eV/Angstrom,eV/Angstrom^3,Debye")
    np.testing.assert_allclose(debye[1].labels["dipole"], d[1].labels["dipole"] * 0.2081943, rtol=1e-6)
    assert "dipole" not in read(shared_data("aqm_small") / "aqm_small.xyz", units=EV, dipole_key="")[0].labels
