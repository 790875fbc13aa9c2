from __future__ import annotations

import numpy as np
import pytest
from _data import shared_data
from ase.data import atomic_numbers
from ase.db import connect
from ase.io import read

import pyff
from pyff.errors import ConversionError
from pyff.interfaces.schnetpack1 import read_schnetpack1, to_pyff
from pyff.units import ENERGY

KCAL = ENERGY["kcal/mol"]
UNITS = {"energy_unit": "kcal/mol", "length_unit": "Angstrom"}
HCO = [1, 6, 8]


@pytest.fixture(scope="module")
def folder():
    return shared_data("model_schnetpack1")


@pytest.fixture(scope="module")
def source(folder):
    return read_schnetpack1(folder / "test_md_model.model")


@pytest.fixture(scope="module")
def molecule(folder):
    return read(folder / "test_molecule.xyz", format="xyz")


def energies_by_hand(source, atoms, cosine: bool) -> np.ndarray:
    """Atomic energies in the file's units from the equations, in numpy, independent of pyff's ops."""
    wide = lambda x: np.asarray(x, np.float64)  # noqa: E731
    ssp = lambda x: np.logaddexp(0, x) - np.log(2)  # noqa: E731
    dense = lambda x, layer: x @ wide(layer[0]).T + wide(layer[1])  # noqa: E731
    d = atoms.get_all_distances()
    i, j = np.nonzero((d < source.cutoff) & ~np.eye(len(d), dtype=bool))
    d = d[i, j, None]
    window = 0.5 * (1 + np.cos(np.pi * d / source.cutoff)) if cosine else 1.0
    g = np.exp(-0.5 * ((d - wide(source.centers)) / wide(source.widths)) ** 2)
    x = wide(source.embedding)[atoms.numbers]
    for block in source.interactions:
        filters = dense(ssp(dense(g, (block.W1, block.b1))), (block.W2, block.b2)) * window
        y = np.zeros_like(x)
        np.add.at(y, i, (x @ wide(block.in2f).T)[j] * filters)
        x = x + dense(ssp(dense(y, block.f2out)), block.dense)
    out = dense(ssp(dense(x, source.readout[0])), source.readout[1])[:, 0]
    return source.stddev * out + source.mean


def calculator(source, **options):
    return pyff.Calculator(to_pyff(source, HCO, **UNITS, **options), dtype="float64")


def test_conversion_reproduces_the_model_as_saved(source, molecule):
    calc = calculator(source)
    expected = energies_by_hand(source, molecule, cosine=False)
    np.testing.assert_allclose(calc.get_property("energies", molecule) / KCAL, expected, rtol=1e-9)
    assert calc.get_property("energy", molecule) / KCAL == pytest.approx(-97208.23142172, rel=1e-9)


def test_conversion_keeps_the_cutoff_function_of_the_file_which_makes_it_accurate(source, folder):
    """The file was trained with SchNetPack's hard cutoff; with it the model agrees with its own training data."""
    assert source.cutoff_function == "none"
    calc = calculator(source)
    rows = list(connect(folder / "test_ethanol.db").select(limit=6))
    errors = [calc.get_property("energy", row.toatoms()) / KCAL - row.data["energy"].item() for row in rows]
    assert len(rows) == 6 and np.mean(np.abs(errors)) < 0.1  # kcal/mol
    forces = np.array([calc.get_property("forces", row.toatoms()) / KCAL - row.data["forces"] for row in rows])
    assert np.mean(np.abs(forces)) < 0.5  # kcal/mol/A


def test_conversion_with_a_cosine_cutoff_gives_the_golden_numbers(source, molecule, folder):
    """The same weights under SchNetPack's default cutoff function, as evaluated by SchNetPack 1.0.1 itself."""
    calc = calculator(source, cutoff_function="cosine")
    assert calc.get_property("energy", molecule) / KCAL == pytest.approx(-97179.88395751281, rel=1e-9)
    forces = calc.get_property("forces", molecule) / KCAL
    assert np.abs(forces).max() == pytest.approx(23.4784, abs=1e-4)
    atomic = calc.get_property("energies", molecule) / KCAL
    expected = {0: -10794.293878, 1: -10796.052306, 7: -10797.506275, 8: -10798.703391}
    for atom, energy in expected.items():
        assert atomic[atom] == pytest.approx(energy, rel=1e-9)
    frames = [row.toatoms() for row, _ in zip(connect(folder / "test_ethanol.db").select(), range(3))]
    golden = [-97171.14005855, -97174.92931360, -97179.21910208]
    assert [calc.get_property("energy", a) / KCAL for a in frames] == pytest.approx(golden, rel=1e-9)


def test_conversion_survives_the_model_file(source, molecule, tmp_path):
    model = to_pyff(source, HCO, **UNITS)
    pyff.save(model, tmp_path / "ethanol.safetensors")
    calc = pyff.Calculator(tmp_path / "ethanol.safetensors", dtype="float64")
    assert calc.get_property("energy", molecule) / KCAL == pytest.approx(-97208.23142172, rel=1e-9)
    assert pyff.load(tmp_path / "ethanol.safetensors").info["origin"] == "SchNetPack 1"


def test_conversion_from_bohr_scales_lengths_exactly(source, molecule):
    bohr = 0.529177210903
    small = molecule.copy()
    small.positions *= bohr
    calc = pyff.Calculator(to_pyff(source, HCO, energy_unit="kcal/mol", length_unit="Bohr"), dtype="float64")
    energy = calc.get_property("energy", small) / KCAL
    assert energy == pytest.approx(-97208.23142172, rel=1e-9)


def test_conversion_refuses_unknown_units_and_foreign_elements(source, molecule):
    with pytest.raises(ValueError, match=r"energy unit must be one of .*received 'furlong'"):
        to_pyff(source, HCO, energy_unit="furlong", length_unit="Angstrom")
    with pytest.raises(ValueError, match="trained on H, C only; received O"):
        pyff.Calculator(to_pyff(source, [1, 6], **UNITS)).get_property("energy", molecule)


def test_reader_refuses_a_model_that_is_not_schnet(folder):
    with pytest.raises(ConversionError, match="one Atomwise output; this one has ElementalAtomwise"):
        read_schnetpack1(folder / "test_md_model_wacsf.model")


def test_reader_refuses_the_file_truncated_anywhere(folder, tmp_path):
    data = (folder / "test_md_model.model").read_bytes()
    path = tmp_path / "cut.model"
    for length in [0, 1, 10, 20, 100, 5000, 60_000, 65_724, 65_800, 200_000, len(data) - 1]:
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"cut\.model"):
            read_schnetpack1(path)


def test_reader_keeps_the_elements_of_the_periodic_table(source):
    assert source.embedding.shape == (100, 64) and atomic_numbers["O"] == 8
    assert len(source.interactions) == 6 and not source.shared and source.atomref is None
    assert source.mean == -10799.505859375 and source.stddev == pytest.approx(0.4694206, abs=1e-7)
