"""gdml_product, GdmlExpansion, GdmlCovariance, descriptors: the twin, finite differences, closed forms, hard cases."""

from __future__ import annotations

import pytest
import torch
from _gdml import random_positions, rotations

from pyff import ops
from pyff.ops import reference

MATERN = ops.GdmlKernel(2.0)
RBF = ops.GdmlKernel(0.7, "rbf")
SKEWED = torch.tensor([[6.0, 0, 0], [2.5, 5.5, 0], [-1.0, 2.0, 6.5]], dtype=torch.float64)


def problem(m: int = 7, n: int = 5, p: int = 3, seed: int = 1) -> dict:
    generator = torch.Generator().manual_seed(seed)
    train, g = ops.inverse_distances(random_positions(m, n, seed))
    return {
        "train": train,
        "g": g,
        "coef": torch.randn(train.shape, generator=generator, dtype=torch.float64),
        "perms": ops.descriptor_permutations(rotations(n, p)),
        "coef_energy": torch.randn(m, generator=generator, dtype=torch.float64),
    }


def expansion(t: dict, kernel=MATERN, energies: bool = True, **settings) -> ops.GdmlExpansion:
    coef_energy = t["coef_energy"] if energies else None
    return ops.GdmlExpansion(t["train"], t["coef"], t["perms"], kernel, coef_energy, **settings)


def strained_energy(model, pos, cell, strain):
    deform = torch.eye(3, dtype=torch.float64) + strain
    return model.predict(pos @ deform, None if cell is None else cell @ deform)[0]


@pytest.mark.parametrize("kernel", [MATERN, RBF])
@pytest.mark.parametrize("energies", [False, True])
def test_forces_are_the_negative_gradient_of_the_energy(kernel, energies):
    model, pos = expansion(problem(), kernel, energies, constant=3.0), random_positions(2, 5, seed=9)
    forces = model.predict(pos)[1]
    step = 1e-4
    for atom, axis in ((0, 0), (4, 2)):
        shift = torch.zeros_like(pos)
        shift[:, atom, axis] = step
        slope = (model.predict(pos + shift)[0] - model.predict(pos - shift)[0]) / (2 * step)
        torch.testing.assert_close(-slope, forces[:, atom, axis], rtol=1e-6, atol=1e-6 * float(forces.abs().max()))


@pytest.mark.parametrize("cell", [None, SKEWED])
def test_virial_is_the_derivative_by_strain(cell):
    model, pos = expansion(problem()), random_positions(2, 5, seed=9)
    virial = model.predict(pos, cell, virial=True)[2]
    step = 1e-5
    for i, j in ((0, 0), (1, 2)):
        strain = torch.zeros(3, 3, dtype=torch.float64)
        strain[i, j] = step
        slope = strained_energy(model, pos, cell, strain) - strained_energy(model, pos, cell, -strain)
        torch.testing.assert_close(slope / (2 * step), virial[:, i, j], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(virial, virial.mT)


def test_predictions_are_those_of_each_cell():
    model, pos = expansion(problem()), random_positions(2, 5, seed=9)
    cells = torch.stack([SKEWED, 1.1 * SKEWED])
    together = model.predict(pos, cells, virial=True)
    for k in range(2):
        for got, want in zip(together, model.predict(pos[k : k + 1], cells[k], virial=True)):
            torch.testing.assert_close(got[k], want[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kernel", [MATERN, RBF])
@pytest.mark.parametrize("energies", [False, True])
def test_covariance_is_the_matrix(kernel, energies):
    t = problem()
    covariance = ops.GdmlCovariance(t["train"], t["g"], t["perms"], kernel, energies=energies)
    matrix = reference.gdml_matrix(t["train"], t["g"], t["train"], t["g"], t["perms"], kernel, energies)
    v = torch.randn(covariance.size, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    want = matrix @ v
    torch.testing.assert_close(covariance(v), want, rtol=0, atol=1e-12 * float(want.abs().max()))
