from __future__ import annotations

import os

import numpy as np
import pytest
from _toy import toy_model
from ase.build import bulk, fcc111, molecule
from ase.calculators.emt import EMT
from ase.io import read

import pyff
from pyff.md import TrajectoryWriter, relax, write_structure


@pytest.fixture
def calc():
    return pyff.Calculator(toy_model().double())


@pytest.mark.parametrize("optimizer", ["bfgs", "lbfgs", "fire"])
def test_relax_goes_downhill_to_small_forces(calc, tmp_path, optimizer):
    atoms = molecule("CH3CH2OH")
    atoms.calc = calc
    seen = []
    with TrajectoryWriter(tmp_path / "relax.xyz") as out:
        report = relax(atoms, fmax=0.02, optimizer=optimizer, trajectory=out, on_step=lambda *row: seen.append(row))
    assert report.converged and not report.stopped and report.energy < report.energy_start
    assert np.linalg.norm(atoms.get_forces(), axis=1).max() <= 0.02 and report.fmax <= 0.02
    frames = read(tmp_path / "relax.xyz", ":", format="extxyz")
    assert len(frames) == len(seen) == report.steps + 1
    assert frames[-1].get_potential_energy() == pytest.approx(report.energy, abs=1e-6)


def test_relax_of_a_cell_finds_the_lattice_constant():
    atoms = bulk("Cu", a=3.75, cubic=True)
    atoms.rattle(0.05, seed=0)
    atoms.calc = EMT()
    report = relax(atoms, fmax=0.005, cell=True)
    assert report.converged and np.abs(atoms.get_stress()).max() < 1e-3
    assert atoms.get_volume() ** (1 / 3) == pytest.approx(3.59, abs=0.01)  # copper in EMT


def test_relax_of_a_slab_leaves_the_vacuum_alone():
    atoms = fcc111("Cu", (1, 1, 3), a=3.75, vacuum=6.0, periodic=False)
    atoms.calc = EMT()
    before = atoms.cell.array.copy()
    report = relax(atoms, fmax=0.01, cell=True)
    assert report.converged and abs(atoms.cell.lengths()[0] - np.linalg.norm(before[0])) > 0.03
    np.testing.assert_allclose(atoms.cell[2], before[2], atol=1e-9)


def test_relax_says_when_it_did_not_converge(calc):
    atoms = molecule("CH3CH2OH")
    atoms.calc = calc
    report = relax(atoms, fmax=1e-9, steps=2)
    assert not report.converged and report.stopped == "not converged after 2 steps" and report.steps == 2


def test_relax_refuses_nonsense(calc):
    atoms = molecule("H2O")
    atoms.calc = calc
    with pytest.raises(ValueError, match="cell relaxation needs a periodic structure"):
        relax(atoms, cell=True)
    with pytest.raises(ValueError, match="optimizer must be bfgs, lbfgs or fire; received 'newton'"):
        relax(atoms, optimizer="newton")
    with pytest.raises(ValueError, match="fmax must be positive"):
        relax(atoms, fmax=0)


def test_write_structure_leaves_the_old_file_when_it_fails(tmp_path, calc, monkeypatch):
    atoms = molecule("H2O")
    write_structure(tmp_path / "a.xyz", atoms)
    before = (tmp_path / "a.xyz").read_bytes()
    atoms.calc = calc
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *a: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            write_structure(tmp_path / "a.xyz", atoms)
    assert (tmp_path / "a.xyz").read_bytes() == before
    write_structure(tmp_path / "a.xyz", atoms)
    assert read(tmp_path / "a.xyz").get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
