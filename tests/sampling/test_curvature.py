from __future__ import annotations

import numpy as np
import pytest
from _surfaces import LennardJonesCluster
from _toy import toy_model
from ase import Atoms
from ase.build import molecule
from ase.constraints import FixAtoms

import pyff
from pyff.md import relax
from pyff.sampling.curvature import lowest_curvature, softened


def hessian(atoms: Atoms, step: float = 1e-3) -> np.ndarray:
    n, origin = len(atoms), atoms.positions.copy()
    matrix = np.zeros((3 * n, 3 * n))
    for k in range(3 * n):
        for sign in (1, -1):
            atoms.positions = origin + sign * step * np.eye(3 * n)[k].reshape(n, 3)
            matrix[k] -= sign * atoms.get_forces().ravel() / (2 * step)
    atoms.positions = origin
    return 0.5 * (matrix + matrix.T)


def water() -> Atoms:
    atoms = molecule("H2O")
    atoms.calc = pyff.Calculator(toy_model().double())
    relax(atoms, fmax=1e-4)
    return atoms


def test_lowest_curvature_of_a_minimum_is_the_lowest_eigenvalue():
    atoms = water()
    before = atoms.positions.copy()
    exact = np.linalg.eigvalsh(hessian(atoms))
    value, direction = lowest_curvature(atoms, np.random.default_rng(0).normal(size=(3, 3)))
    assert value == pytest.approx(exact[6], rel=0.01) and np.abs(exact[:6]).max() < 0.01
    assert np.linalg.norm(direction) == pytest.approx(1)
    np.testing.assert_array_equal(atoms.positions, before)


def test_saddle_point_shows_its_way_down():
    """Four atoms in a square: a saddle point between two rhombi."""
    atoms = Atoms("Cu4", [[0, 0, 0], [2.5, 0, 0], [2.5, 2.5, 0], [0, 2.5, 0]], calculator=LennardJonesCluster())
    relax(atoms, fmax=1e-4)
    energy = atoms.get_potential_energy()
    value, direction = lowest_curvature(atoms, np.random.default_rng(1).normal(size=(4, 3)))
    assert value < -0.05
    atoms.positions += 0.1 * direction
    assert atoms.get_potential_energy() < energy


def test_softened_direction_has_less_curvature_and_keeps_fixed_atoms():
    atoms = water()
    matrix, rng = hessian(atoms), np.random.default_rng(2)
    curvature = lambda v: float(v.ravel() @ matrix @ v.ravel()) / float((v**2).sum())  # noqa: E731
    start = rng.normal(size=(3, 3))
    assert curvature(softened(atoms, start, 20)) < 0.1 * curvature(start)
    np.testing.assert_allclose(softened(atoms, start, 0), start / np.linalg.norm(start))
    atoms.set_constraint(FixAtoms([0]))
    assert not softened(atoms, start, 3)[0].any()
    assert not lowest_curvature(atoms, start)[1][0].any()
