from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from _toy import toy_model
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.mixing import SumCalculator
from ase.constraints import FixAtoms
from ase.db import connect
from ase.io import read, write

import pyff
from pyff.errors import UnseenElementError
from pyff.models import SchNet, SchNetConfig


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "toy.safetensors"
    pyff.save(toy_model().double(), path)
    return path


def ethanol(seed: int = 0) -> Atoms:
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.05, seed=seed)
    return atoms


def crystal() -> Atoms:
    atoms = bulk("C", "diamond", a=3.6, cubic=True)
    atoms.rattle(0.1, seed=1)
    atoms.set_cell(atoms.cell @ np.array([[1, 0, 0], [0.1, 1, 0], [-0.05, 0.08, 1]]), scale_atoms=True)
    return atoms


def slab() -> Atoms:
    atoms = crystal()
    atoms.cell[2] *= 4
    atoms.pbc = (True, True, False)
    return atoms


def fresh(path, atoms: Atoms, name: str = "forces"):
    return pyff.Calculator(path).get_property(name, atoms)


@pytest.mark.parametrize("make", [ethanol, crystal, slab])
def test_calculator_properties_have_the_types_of_ase(path, make):
    atoms = make()
    atoms.calc = pyff.Calculator(path)
    assert type(atoms.get_potential_energy()) is float
    assert atoms.get_potential_energy(force_consistent=True) == atoms.get_potential_energy()
    assert atoms.get_forces().shape == (len(atoms), 3) and atoms.get_forces().dtype == np.float64
    assert atoms.get_potential_energies().sum() == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
    if atoms.pbc.any():
        assert atoms.get_stress().shape == (6,)


@pytest.mark.parametrize("make", [ethanol, crystal, slab])
def test_calculator_forces_are_the_gradient(path, make):
    atoms = make()
    atoms.calc = pyff.Calculator(path)
    forces, h = atoms.get_forces(), 1e-4
    for index, axis in ((0, 0), (3, 1), (5, 2)):
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[index, axis] += sign * h
            moved.calc = atoms.calc
            energies.append(moved.get_potential_energy())
        assert forces[index, axis] == pytest.approx((energies[1] - energies[0]) / (2 * h), abs=1e-5)


@pytest.mark.parametrize("make", [crystal, slab])
def test_calculator_stress_is_voigt_and_divides_by_the_cell_volume(path, make):
    atoms = make()
    atoms.calc = pyff.Calculator(path)
    stress, h = atoms.get_stress(), 1e-5
    for voigt, (a, b) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):
        energies = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[a, b] += sign * h / 2
            strain[b, a] += sign * h / 2
            moved = atoms.copy()
            moved.set_cell(atoms.cell @ strain, scale_atoms=True)
            moved.calc = atoms.calc
            energies.append(moved.get_potential_energy())
        slope = (energies[0] - energies[1]) / (2 * h) / atoms.get_volume()
        assert stress[voigt] == pytest.approx(slope, abs=1e-6)


def _move(atoms):
    atoms.positions[2, 1] += 1e-12


def _cell(atoms):
    atoms.cell[0, 0] += 0.1


def _pbc(atoms):
    atoms.pbc = (True, False, True)


def _number(atoms):
    atoms.numbers[1] = 8


def _info_charge(atoms):
    atoms.info["charge"] = 1


def _info_spin(atoms):
    atoms.info["spin"] = 2


def _charges(atoms):
    atoms.set_initial_charges([1.0] + [0.0] * (len(atoms) - 1))


def _magmoms(atoms):
    atoms.set_initial_magnetic_moments([2.0] + [0.0] * (len(atoms) - 1))


@pytest.mark.parametrize("change", [_move, _cell, _pbc, _number, _info_charge, _info_spin, _charges, _magmoms])
def test_calculator_recomputes_after_any_change(path, change, monkeypatch):
    atoms = crystal()
    calc = atoms.calc = pyff.Calculator(path)
    atoms.get_forces()
    calls = []
    forward = type(calc.model).forward
    monkeypatch.setattr(type(calc.model), "forward", lambda *a, **k: calls.append(1) or forward(*a, **k))
    atoms.get_forces()
    assert not calls
    change(atoms)
    np.testing.assert_allclose(atoms.get_forces(), fresh(path, atoms), atol=1e-12)
    assert calls


def test_calculator_serves_systems_of_different_size_and_kind_in_turn(path):
    calc = pyff.Calculator(path)
    systems = [ethanol(), crystal(), slab(), ethanol(1), Atoms("H"), crystal().repeat((2, 1, 1)), ethanol()]
    for atoms in systems:
        np.testing.assert_allclose(calc.get_property("forces", atoms), fresh(path, atoms), atol=1e-12)


def test_calculator_follows_a_trajectory_as_a_new_one_would(path):
    atoms, calc, rng = crystal().repeat(2), pyff.Calculator(path), np.random.default_rng(5)
    for step in range(30):
        atoms.positions += rng.normal(scale=0.05, size=atoms.positions.shape)
        if step % 7 == 3:
            atoms.wrap()
        if step % 11 == 5:
            atoms.set_cell(atoms.cell * 1.01, scale_atoms=True)
        if step % 13 == 9:
            atoms.pbc = ~atoms.pbc
        expected = fresh(path, atoms)
        np.testing.assert_allclose(calc.get_property("forces", atoms), expected, atol=1e-9 * np.abs(expected).max())


def test_calculator_returns_copies_and_leaves_the_atoms_alone(path):
    atoms = crystal()
    atoms.info["note"] = "mine"
    before = atoms.copy()
    atoms.calc = pyff.Calculator(path)
    for get in (atoms.get_forces, atoms.get_stress, atoms.get_potential_energies):
        first = get()
        expected = first.copy()
        first += 1.0
        np.testing.assert_array_equal(get(), expected)
    assert atoms == before and atoms.info == before.info and set(atoms.arrays) == set(before.arrays)
    with pytest.raises(ValueError, match="read-only"):
        atoms.calc.results["forces"][0] = 0.0


def test_calculator_computes_only_what_is_asked(path):
    atoms = crystal()
    calc = atoms.calc = pyff.Calculator(path)
    atoms.get_potential_energy()
    assert "forces" not in calc.results and "stress" not in calc.results
    atoms.get_forces()
    assert "forces" in calc.results and "stress" not in calc.results
    atoms.get_stress()
    assert "stress" in calc.results


def test_calculator_says_how_the_results_came_about(path):
    atoms = ethanol()
    atoms.calc = pyff.Calculator(path, dtype="float32")
    atoms.get_forces()
    n_edges = (atoms.get_all_distances() <= 4.0).sum() - len(atoms)
    info = atoms.calc.info
    assert info["model"] == "toy.safetensors" and info["path"] == "learning" and info["dtype"] == "float32"
    assert info["device"] == "cpu" and info["n_atoms"] == 9 and info["n_edges"] == n_edges


def test_calculator_in_another_precision_leaves_the_model_alone():
    model = toy_model().double().train()
    calc = pyff.Calculator(model, dtype="float32")
    energy = calc.get_property("energy", ethanol())
    assert str(model.dtype) == "torch.float64" and model.training and calc.dtype == "float32"
    assert energy == pytest.approx(pyff.Calculator(model).get_property("energy", ethanol()), abs=1e-4)
    with pytest.raises(ValueError, match="dtype must be float32, float64 or None; received 'float16'"):
        pyff.Calculator(model, dtype="float16")


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda calc: pickle.loads(pickle.dumps(calc)), copy.copy])
def test_calculator_copies_and_pickles_work_and_are_independent(path, duplicate):
    atoms = ethanol()
    calc = pyff.Calculator(path)
    expected = calc.get_property("forces", atoms)
    twin = duplicate(calc)
    other = crystal()
    np.testing.assert_allclose(twin.get_property("forces", other), fresh(path, other), atol=1e-12)
    np.testing.assert_array_equal(calc.get_property("forces", atoms), expected)
    np.testing.assert_allclose(duplicate(calc).get_property("forces", atoms), expected, rtol=1e-12)


def test_calculator_respects_constraints(path):
    atoms = ethanol()
    atoms.calc = pyff.Calculator(path)
    atoms.set_constraint(FixAtoms([0, 1]))
    assert not atoms.get_forces()[:2].any() and atoms.get_forces(apply_constraint=False)[:2].any()


def test_calculator_refuses_positions_that_are_not_numbers(path):
    atoms = ethanol()
    atoms.positions[4, 2] = np.nan
    with pytest.raises(ValueError, match=r"positions must be finite.*atoms 4 \[C2H6O, 9 atoms, pbc FFF, model toy"):
        fresh(path, atoms)


def test_calculator_refuses_an_element_the_model_has_not_seen(path):
    with pytest.raises(UnseenElementError, match=r"trained on H, C, O only; received Si.*H4Si, 5 atoms"):
        fresh(path, molecule("SiH4"))


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (Atoms("CO", [[0, 0, 0], [0, 0, 0.15]]), "C0 and O1 are 0.15 A apart|O1 and C0 are 0.15 A apart"),
        (Atoms("CO", [[1, 1, 1], [1, 1, 1]]), "are 0 A apart"),
        (Atoms("C", cell=[0.1, 5, 5], pbc=True), "C0 and its own periodic image are 0.1 A apart"),
        (Atoms("CO", [[0, 0, 0], [0, 0, 4.9]], cell=[6, 6, 5], pbc=True), "are 0.1 A apart"),
    ],
)
def test_calculator_refuses_atoms_on_top_of_each_other(path, atoms, message):
    with pytest.raises(ValueError, match=message):
        fresh(path, atoms, "energy")


def test_calculator_refuses_stress_without_a_cell(path):
    with pytest.raises(PropertyNotImplementedError, match=r"this one is open \(C2H6O, 9 atoms"):
        fresh(path, ethanol(), "stress")
    wire = Atoms("C", cell=[0, 0, 2.5], pbc=(False, False, True))
    with pytest.raises(PropertyNotImplementedError, match="a cell with a volume"):
        fresh(path, wire, "stress")
    assert np.isfinite(fresh(path, wire, "energy"))


def test_calculator_refuses_no_atoms(path):
    with pytest.raises(ValueError, match="at least one atom"):
        fresh(path, Atoms(), "energy")


def test_calculator_reports_results_that_are_not_finite():
    model = toy_model().double()
    model.set_reference_energy({1: np.inf})
    with pytest.raises(RuntimeError, match="not finite"):
        pyff.Calculator(model).get_property("energy", ethanol())


def test_calculator_works_after_an_error(path):
    calc, atoms = pyff.Calculator(path), ethanol()
    bad = ethanol()
    bad.positions[0] = np.nan
    for _ in range(2):
        with pytest.raises(ValueError, match="finite"):
            calc.get_property("forces", bad)
    np.testing.assert_allclose(calc.get_property("forces", atoms), fresh(path, atoms), atol=1e-12)


def test_calculator_results_survive_the_files_of_ase(path, tmp_path):
    atoms = crystal()
    atoms.calc = pyff.Calculator(path)
    energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
    row_id = connect(tmp_path / "x.db").write(atoms)
    row = connect(tmp_path / "x.db").get(row_id)
    assert row.calculator == "pyff" and row.energy == energy
    np.testing.assert_array_equal(row.forces, forces)
    write(tmp_path / "x.xyz", atoms, format="extxyz")
    back = read(tmp_path / "x.xyz", format="extxyz")
    np.testing.assert_allclose(back.get_stress(), stress, atol=1e-8)
    assert repr(atoms.calc) == "pyff.Calculator('toy.safetensors', device='cpu', dtype='float64')"


def test_calculator_called_directly_keeps_no_forces_of_another_structure(path):
    calc, atoms = pyff.Calculator(path), ethanol()
    calc.calculate(atoms, ["forces"])
    calc.calculate(atoms, ["energy"])
    assert "forces" in calc.results
    calc.calculate(ethanol(seed=1), ["energy"])
    assert "forces" not in calc.results
    bad = ethanol()
    bad.positions[0] = np.nan
    with pytest.raises(ValueError, match="finite"):
        calc.calculate(bad, ["energy"])
    assert not calc.results


def test_calculator_works_as_one_of_several(path):
    atoms, alone = ethanol(), fresh(path, ethanol())
    atoms.calc = SumCalculator([pyff.Calculator(path), pyff.Calculator(path)])
    np.testing.assert_allclose(atoms.get_forces(), 2 * alone, rtol=1e-12)


def test_energy_and_forces_in_turn_take_one_calculation_each_structure(monkeypatch):
    calc, atoms, asked = pyff.Calculator(toy_model()), molecule("CH3CH2OH"), []
    original = calc.model.forward
    monkeypatch.setattr(calc.model, "forward", lambda b, want: asked.append("forces" in want) or original(b, want))
    atoms.calc = calc
    for step in range(4):
        atoms.positions[0, 0] += 0.01
        atoms.get_potential_energy()
        if step < 2:
            atoms.get_forces()
    # the second structure is computed as the first was read; the third still, the fourth no more
    assert asked == [False, True, True, True, False]


def test_calculator_sees_changed_weights_of_its_own_model_and_of_one_passed_in(tmp_path):
    model = SchNet(SchNetConfig(n_features=8, n_interactions=1), elements=(1, 6, 8)).eval()
    pyff.save(model, tmp_path / "m.safetensors")
    for calc in (pyff.Calculator(tmp_path / "m.safetensors"), pyff.Calculator(model)):
        before = calc.get_potential_energy(molecule("CH3CH2OH"))
        with torch.no_grad():
            for p in calc.model.parameters():
                p.mul_(1.5)
        moved = molecule("CH3CH2OH")
        moved.positions[0] += 1e-9
        fresh = pyff.Calculator(copy.deepcopy(calc.model)).get_potential_energy(moved)
        assert calc.get_potential_energy(moved) == fresh and abs(fresh - before) > 1e-6
