"""pyff gdml convert: labelled frames of other programs become data sets of sGDML, and the other way round."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

from pyff.cli import run
from pyff.interfaces.sgdml import dataset_md5, read_sgdml

CELL = np.array([[5.0, 0.0, 0.0], [1.0, 6.0, 0.0], [0.0, 0.5, 7.0]])  # lattice vectors as rows


def frames(periodic: bool) -> list[Atoms]:
    rng, found = np.random.default_rng(0), []
    for _ in range(6):
        atoms = Atoms("OH2", rng.normal(size=(3, 3)) + 2 * np.eye(3), cell=CELL if periodic else None, pbc=periodic)
        atoms.calc = SinglePointCalculator(atoms, energy=rng.normal(), forces=rng.normal(size=(3, 3)))
        found.append(atoms)
    return found


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("periodic", [False, True])
def test_frames_survive_both_ways(folder, capsys, periodic):
    write("a.extxyz", frames(periodic))
    stored = read("a.extxyz", ":")
    assert run(["gdml", "convert", "a.extxyz", "water.npz", "--units", "eV,Angstrom", "--theory", "PBE", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": "water.npz", "frames": 6}
    data = read_sgdml("water.npz", "d")
    texts = [str(data[k]) for k in ("name", "theory", "r_unit", "e_unit")]
    assert texts == ["water", "PBE", "Ang", "eV"]
    assert data["md5"].item().decode() == dataset_md5(data)
    np.testing.assert_array_equal(data["z"], [8, 1, 1])
    np.testing.assert_allclose(data["R"], [a.positions for a in stored])
    np.testing.assert_allclose(data["F"], [a.get_forces() for a in stored])
    np.testing.assert_allclose(data["E"], [a.get_potential_energy() for a in stored])
    if periodic:
        np.testing.assert_allclose(data["lattice"], CELL.T)  # columns
    assert ("lattice" in data) == periodic
    assert run(["gdml", "convert", "water.npz", "b.extxyz"]) == 0
    for old, new in zip(stored, read("b.extxyz", ":")):
        np.testing.assert_allclose(new.positions, old.positions, atol=1e-8)
        np.testing.assert_allclose(new.get_forces(), old.get_forces(), atol=1e-8)
        np.testing.assert_allclose(new.cell, old.cell)
        assert new.get_potential_energy() == pytest.approx(old.get_potential_energy(), abs=1e-8)
    assert run(["gdml", "convert", "b.extxyz", "again.npz"]) == 0  # its units are stated


def test_errors_name_the_fix(folder, capsys):
    write("a.extxyz", frames(False))

    def failed(*args) -> str:
        assert run(["gdml", *args]) == 1
        return capsys.readouterr().err

    for command in (("all", "a.extxyz", "3", "2"), ("show", "a.extxyz"), ("group", "a.extxyz")):
        assert "`pyff gdml convert a.extxyz NAME.npz` makes one" in failed(*command)
    assert "--units" in failed("convert", "a.extxyz", "water.npz")
    assert "TARGET must end in .npz, .xyz or .extxyz" in failed("convert", "a.extxyz", "water.db")
    assert run(["gdml", "convert", "a.extxyz", "water.npz", "--units", "eV,Angstrom"]) == 0
    assert "exists already: add --overwrite" in failed("convert", "a.extxyz", "water.npz", "--units", "eV,Angstrom")
    mixed = frames(False)
    mixed[4].numbers = [1, 8, 1]
    write("mixed.extxyz", mixed)
    assert "mixed.extxyz[4]" in failed("convert", "mixed.extxyz", "m.npz", "--units", "eV,Angstrom")
