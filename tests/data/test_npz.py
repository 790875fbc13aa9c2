from __future__ import annotations

import numpy as np
import pytest
from _data import shared_data

from pyff.data import read
from pyff.errors import DataError
from pyff.units import ENERGY

KCAL = ENERGY["kcal/mol"]


def write(path, **changes):
    rng = np.random.default_rng(0)
    water = np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    arrays = {
        "type": "d", "z": np.array([8, 1, 1], np.uint8), "R": water + 0.02 * rng.normal(size=(5, 3, 3)),
        "E": -47880.0 + rng.normal(size=5), "F": rng.normal(size=(5, 3, 3)), "r_unit": "Ang", "e_unit": "kcal/mol",
    } | changes  # fmt: skip
    arrays = {k: v for k, v in arrays.items() if v is not None}
    np.savez(path, **arrays)
    return arrays


def test_read_npz_sgdml_converts_once_and_remembers_units(tmp_path):
    a = write(tmp_path / "w.npz")
    d = read(tmp_path / "w.npz")
    assert len(d) == 5 and d.elements == (1, 8) and d.units.energy == "kcal/mol"
    assert d.names[3] == "w.npz[3]"
    np.testing.assert_allclose(d[3].labels["energy"], a["E"][3] * KCAL, rtol=1e-14)
    np.testing.assert_allclose(d[3].labels["forces"], a["F"][3] * KCAL, rtol=1e-14)
    np.testing.assert_array_equal(d[3].pos, a["R"][3])


def test_read_npz_in_bohr_scales_positions_and_forces(tmp_path):
    a = write(tmp_path / "w.npz", r_unit="bohr", e_unit="Ha")
    a["R"] /= 0.529177210903
    write(tmp_path / "w.npz", **a, **{"extra": np.zeros(2)})
    d = read(tmp_path / "w.npz")
    np.testing.assert_allclose(d[0].pos, a["R"][0] * 0.529177210903, rtol=1e-14)
    np.testing.assert_allclose(d[0].labels["forces"], a["F"][0] * 27.211386245988 / 0.529177210903, rtol=1e-14)


def test_read_npz_without_units_says_how_to_declare_them_and_hints(tmp_path):
    write(tmp_path / "w.npz", r_unit=None, e_unit=None)
    with pytest.raises(DataError) as error:
        read(tmp_path / "w.npz")
    text = str(error.value)
    assert "energy and length unit of w.npz is not declared" in text
    assert "units='kcal/mol,Angstrom'" in text and "e_unit" in text
    assert "all-electron total energies in kcal/mol" in text and "bonds in Angstrom" in text


@pytest.mark.parametrize(
    ("factor", "length", "names"), [(1 / 627.5095, 1 / 0.5292, ("Hartree", "Bohr")), (KCAL, 0.1, ("in eV", "nm"))]
)
def test_read_npz_hint_follows_the_magnitudes(tmp_path, factor, length, names):
    a = write(tmp_path / "w.npz", r_unit=None, e_unit=None)
    write(tmp_path / "w.npz", r_unit=None, e_unit=None, E=a["E"] * factor, R=a["R"] * length)
    with pytest.raises(DataError, match=rf"Hint, not used: .*{names[0]}.*{names[1]}"):
        read(tmp_path / "w.npz")


def test_read_npz_units_that_contradict_the_file_are_refused(tmp_path):
    write(tmp_path / "w.npz")
    with pytest.raises(DataError, match=r"energy unit eV, but w.npz declares kcal/mol"):
        read(tmp_path / "w.npz", units="eV,Angstrom")


def test_read_npz_lattice_of_sgdml_has_vectors_as_columns(tmp_path):
    lattice = np.array([[5.0, 1.0, 0.0], [0.0, 6.0, 0.5], [0.0, 0.0, 7.0]])
    write(tmp_path / "w.npz", lattice=lattice)
    d = read(tmp_path / "w.npz")
    np.testing.assert_array_equal(d[0].cell, lattice.T)
    assert d[0].pbc.all()


def test_read_npz_padding_is_cut_off(tmp_path):
    a = write(tmp_path / "w.npz")
    z = np.tile([8, 1, 1, 0], (5, 1))
    z[2] = [8, 1, 0, 0]
    pad = lambda x: np.concatenate([x, np.zeros((5, 1, 3))], axis=1)  # noqa: E731
    write(tmp_path / "w.npz", z=z, R=pad(a["R"]), F=pad(a["F"]))
    d = read(tmp_path / "w.npz")
    assert [len(s) for s in d] == [3, 3, 2, 3, 3]
    np.testing.assert_allclose(d[2].labels["forces"], a["F"][2][:2] * KCAL)


def test_read_npz_missing_positions_lists_the_arrays(tmp_path):
    write(tmp_path / "w.npz", R=None)
    with pytest.raises(DataError, match=r"no positions .*arrays that exist: E, F"):
        read(tmp_path / "w.npz")


def test_read_npz_never_unpickles(tmp_path):
    bomb = np.empty(5, dtype=object)
    bomb[:] = [{"a": 1}] * 5
    write(tmp_path / "w.npz", energies_of_someone=bomb)
    assert len(read(tmp_path / "w.npz")) == 5
    write(tmp_path / "w.npz", E=bomb)
    with pytest.raises(DataError, match="no energy found"):
        read(tmp_path / "w.npz")


def test_read_npz_model_file_is_named_as_such(tmp_path):
    write(tmp_path / "m.npz", type="m")
    with pytest.raises(DataError, match="sGDML model"):
        read(tmp_path / "m.npz")


def test_read_npz_garbage_is_a_data_error(tmp_path):
    (tmp_path / "x.npz").write_bytes(b"no zip at all")
    with pytest.raises(DataError, match=r"cannot be read as npz: it is no archive of numpy\.savez$"):
        read(tmp_path / "x.npz")


def test_read_md17_ethanol_has_the_published_size():
    d = read(shared_data("md17_ethanol_mlff") / "ethanol.npz", units="kcal/mol,Angstrom")
    assert len(d) == 2000 and d.formulas() == {"C2H6O": 2000} and d.count("forces") == 2000
    assert float(d[0].labels["energy"]) / KCAL == pytest.approx(-97208.40600498, abs=1e-6)


def test_read_qm7x_padded_set_and_unknown_energy_key():
    folder = shared_data("qm7x_mlff_small")
    d = read(folder / "qm7x_first2000.npz", units="eV,Angstrom")
    assert len(d) == 2000 and {len(s) for s in d} == set(range(5, 24)) & {len(s) for s in d}
    with pytest.raises(DataError, match=r"ePBE0\+MBD"):
        read(folder / "qm7x_226.npz", units="eV,Angstrom")
    assert read(folder / "qm7x_226.npz", units="eV,Angstrom", energy_key="ePBE0+MBD").count("forces") == 100


def test_read_qm7x_properties_by_their_names():
    path = shared_data("qm7x_mlff_small") / "qm7x_226.npz"
    d = read(path, units="eV,Angstrom", energy_key="ePBE0+MBD")
    assert [d.count(name) for name in ("dipole", "charges", "hirshfeld")] == [100] * 3
    labels = d[0].labels
    np.testing.assert_allclose(labels["dipole"], [0.034782, -0.005938, 0.050513])
    assert labels["charges"].shape == labels["hirshfeld"].shape == (18,)
    # the charges of a neutral molecule, and a dipole that follows from them but for the atoms' own moments
    assert abs(labels["charges"].sum()) < 1e-4 and 0.5 < labels["hirshfeld"].min() < labels["hirshfeld"].max() < 1


def test_read_periodic_npz_with_total_charge():
    d = read(shared_data("solids_multisize_mlff") / "test_solid.npz", units="eV,Angstrom")
    assert d[0].pbc.all() and d[0].charge == 0.0 and d.count("energy") == 50


def test_read_mbgdml_set_declares_its_units():
    d = read(shared_data("data_mbgdml_water") / "16h2o" / "16h2o.yoo.etal.boat.b-dset-mp2.def2tzvp.npz")
    assert d.units.energy == "kcal/mol" and len(d[0]) == 48
