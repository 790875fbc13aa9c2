"""Models of crystals with all their permutations: derivatives, stress, and what nearest images do to them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase.build import bulk

from pyff.batch import System
from pyff.data.collate import collate
from pyff.models.gdml import GDML, GDMLConfig
from pyff.models.gdml.symmetry import supercell_group
from pyff.ops import inverse_distances, jacobian_product

SKEW = np.array([[1, 0, 0], [1, 1, 0], [-1, 1, 1]])


def _crystal_model(atoms, n_train: int) -> GDML:
    """Random coefficients, all permutations of the supercell."""
    generator = torch.Generator().manual_seed(0)
    noise = lambda: torch.randn(n_train, len(atoms), 3, dtype=torch.float64, generator=generator)  # noqa: E731
    cell = torch.tensor(atoms.cell[:])
    x, g = inverse_distances(torch.tensor(atoms.positions) + 0.1 * noise(), cell)
    config = GDMLConfig(sigma=2.0, cell=cell.tolist(), energy_unit="eV", length_unit="Angstrom")
    return GDML(
        config, atoms.numbers, train=x, coef=jacobian_product(g, noise()), perms=supercell_group(atoms).perms
    ).eval()


def _shaken(atoms, amplitude: float = 0.1) -> System:
    pos = atoms.positions + np.random.default_rng(5).normal(scale=amplitude, size=(len(atoms), 3))
    return System(atoms.numbers, pos, atoms.cell[:], True)


def _check_derivatives(model: GDML, system: System) -> None:
    """Forces and stress along one random direction each, by differences so small that no nearest image changes."""
    output = model(collate([system], model.needs), ("energy", "forces", "stress"))
    pos, cell, h = torch.tensor(system.pos), torch.tensor(system.cell), 1e-6
    generator = torch.Generator().manual_seed(2)
    noise = lambda *shape: torch.randn(*shape, dtype=torch.float64, generator=generator)  # noqa: E731
    slope = lambda energy: float((energy(h) - energy(-h)) / (2 * h))  # noqa: E731
    move, strain = noise(*pos.shape), noise(3, 3)
    strain = strain + strain.T
    forces = slope(lambda h: model.predict((pos + h * move)[None])[0])
    assert forces == pytest.approx(-float((output.forces * move).sum()), rel=1e-5)
    deform = lambda h: torch.eye(3, dtype=torch.float64) + h * strain  # noqa: E731
    stress = slope(lambda h: model.predict((pos @ deform(h))[None], cell @ deform(h))[0])
    assert stress == pytest.approx(float((output.stress[0] * strain).sum()) * float(torch.det(cell)), rel=1e-5)


@pytest.mark.parametrize(("n_train", "transforms"), [(3, False), (20, True)])
def test_forces_and_stress_are_derivatives_of_the_energy(n_train, transforms):
    atoms = bulk("Pd", "fcc", a=3.9, cubic=True).repeat(2)
    model = _crystal_model(atoms, n_train)
    _check_derivatives(model, _shaken(atoms))
    assert hasattr(model._expansion._packed, "orbits") == transforms  # both ways are tested


def test_forces_and_stress_in_a_skewed_cell():
    atoms = bulk("Pd", "fcc", a=3.9).repeat(2)
    atoms.set_cell(SKEW @ atoms.cell[:])
    atoms.wrap()
    _check_derivatives(_crystal_model(atoms, 3), _shaken(atoms))


def test_results_do_not_depend_on_the_choice_of_the_cell():
    atoms = bulk("Pd", "fcc", a=3.9).repeat(2)
    skewed = atoms.copy()
    skewed.set_cell(SKEW @ atoms.cell[:])
    model, pos = _crystal_model(atoms, 3), torch.tensor(_shaken(atoms).pos)[None]
    for value, expected in zip(model.predict(pos, torch.tensor(skewed.cell[:])), model.predict(pos)):
        torch.testing.assert_close(value, expected, rtol=1e-11, atol=1e-11)


def test_permuted_atoms_have_permuted_forces():
    atoms = bulk("Pd", "fcc", a=3.9).repeat(2)
    model, pos = _crystal_model(atoms, 2), torch.tensor(_shaken(atoms).pos)
    energy, forces = model.predict(pos[model.perms[:40]])
    torch.testing.assert_close(energy, energy[:1].expand(40), rtol=1e-11, atol=0)
    torch.testing.assert_close(forces, forces[0][model.perms[:40]], rtol=0, atol=1e-9 * float(forces.abs().max()))


def test_force_jumps_where_the_nearest_image_changes():
    """Half a cell apart along x: the energy is continuous, forces jump by 2 f x^2 along x, f = -dE/dx of that pair."""
    atoms = bulk("Pd", "fcc", a=3.9, cubic=True)
    model, pos = _crystal_model(atoms.repeat((2, 1, 1)), 3), torch.tensor(_shaken(atoms.repeat((2, 1, 1)), 0.05).pos)
    half = 3.9
    pos[4] = pos[0] + torch.tensor([half, 0.0, 0.0], dtype=torch.float64)
    sides = torch.stack([pos, pos])
    sides[0, 4, 0] -= 1e-9
    sides[1, 4, 0] += 1e-9
    energy, forces = model.predict(sides)
    cell = torch.tensor(model.config.cell, dtype=torch.float64)
    x, _ = inverse_distances(sides, cell)
    pair = 4 * 3 // 2  # (4, 0)
    f, _ = model._expansion.product(x)
    jump = forces[1, 4] - forces[0, 4]
    assert abs(float(energy[1] - energy[0])) < 1e-6
    assert abs(float(x[1, pair] - x[0, pair])) < 1e-9
    # J^T f of atom a = 4 is -f g, and g turns from -x^2 to x^2 as the image changes
    expected = 2 * float(f[0, pair]) / half**2
    assert abs(expected) > 1e-2
    assert float(jump[0]) == pytest.approx(expected, rel=1e-4)
    assert float(jump[1:].abs().max()) < 1e-5 * abs(expected) + 1e-6
