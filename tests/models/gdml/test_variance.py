"""Variances of GDML models: against the dense joint covariance, at the training points, far away, and calibrated."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms

import pyff
from pyff import ops
from pyff.batch import System
from pyff.data.collate import collate
from pyff.models.gdml import GDML, GDMLConfig
from pyff.models.gdml.variance import GDMLVariance, geometries_of
from pyff.ops import reference
from pyff.units import ENERGY

PERMS = torch.tensor([[0, 1, 2, 3], [0, 2, 1, 3]])
CELL = ((6.0, 0.0, 0.0), (0.4, 5.5, 0.0), (-0.3, 0.2, 7.0))
N, M = 4, 12


def geometries(count: int, seed: int = 0, size: float = 1.0) -> torch.Tensor:
    gen = torch.Generator().manual_seed(seed)
    base = torch.tensor([[0.0, 0, 0], [1.1, 0, 0], [0.3, 1.2, 0], [0.2, 0.4, 1.3]], dtype=torch.float64)
    return size * base + 0.1 * torch.randn(count, N, 3, dtype=torch.float64, generator=gen)


def covariance(pos1, pos2, cell=None, sigma=0.7):
    """Of forces and energies of all geometries, from the plain twin."""
    cell = None if cell is None else torch.tensor(cell, dtype=torch.float64)
    perms = ops.descriptor_permutations(PERMS)
    one, two = (reference.inverse_distances(p, cell) for p in (pos1, pos2))
    return reference.gdml_matrix(*one, *two, perms, ops.GdmlKernel(sigma), True)


def trained(pos, labels, energies, lam=1e-8, cell=None, sigma=0.7) -> GDML:
    """Labels [3 N M + M] of forces and energies; energies: whether the model learns them, too."""
    n = pos.numel()
    K = covariance(pos, pos, cell, sigma)
    if not energies:
        K, labels = K[:n, :n], labels[:n]
    std = float(labels.std(correction=0))
    beta = torch.linalg.solve(K + lam * torch.eye(len(K), dtype=K.dtype), labels / std)
    x, g = ops.inverse_distances(pos, None if cell is None else torch.tensor(cell, dtype=torch.float64))
    return GDML(
        GDMLConfig(sigma=sigma, lam=lam, cell=cell), [8, 1, 1, 6], train=x,
        coef=-ops.jacobian_product(g, beta[:n].reshape(pos.shape)), perms=PERMS,
        coef_energy=beta[n:] if energies else None, std=std, constant=-3.0,
    ).eval()  # fmt: skip


def drawn(*parts, cell=None, seed=0, sigma=0.7):
    """Forces and energies of geometries, a sample of the process itself."""
    K = covariance(torch.cat(parts), torch.cat(parts), cell, sigma)
    values, vectors = torch.linalg.eigh(K)
    noise = torch.randn(len(K), dtype=K.dtype, generator=torch.Generator().manual_seed(seed))
    sample = vectors @ (values.clamp(min=0).sqrt() * noise)
    total = sum(map(len, parts))
    forces, energies = sample[: 3 * N * total].reshape(total, N, 3), sample[3 * N * total :]
    split = [len(p) for p in parts]
    return [torch.cat([f.reshape(-1), e]) for f, e in zip(forces.split(split), energies.split(split))]


def brute_force(pos, query, energies, lam, cell=None, sigma=0.7):
    """Posterior variances from the joint covariance of everything, energies relative to the training mean if needed."""
    n, m, b = pos.numel(), len(pos), len(query)
    joint = covariance(torch.cat([pos, query]), torch.cat([pos, query]), cell, sigma)
    u = 3 * N * (m + b)
    forces = torch.arange(n), torch.arange(n, u)
    energy = torch.arange(u, u + m), torch.arange(u + m, u + m + b)
    known = torch.cat([forces[0], energy[0]]) if energies else forces[0]
    wanted = torch.zeros(3 * N * b + b, len(joint), dtype=joint.dtype)
    wanted[torch.arange(3 * N * b), forces[1]] = 1
    wanted[3 * N * b + torch.arange(b), energy[1]] = 1
    if not energies:
        wanted[3 * N * b :, energy[0]] = -1 / m
    across = wanted @ joint[:, known]
    inverse = torch.linalg.inv(joint[known][:, known] + lam * torch.eye(len(known), dtype=joint.dtype))
    left = (wanted @ joint * wanted).sum(1) - (across @ inverse * across).sum(1)
    return left[-b:], left[:-b].reshape(query.shape)


@pytest.mark.parametrize("energies", [False, True])
@pytest.mark.parametrize("cell", [None, CELL])
def test_variances_are_those_of_the_joint_covariance(energies, cell):
    pos, query = geometries(M), geometries(5, seed=1)
    model = trained(pos, drawn(pos, cell=cell)[0], energies, lam=1e-4, cell=cell)
    variance = GDMLVariance(model, pos)
    want = brute_force(pos, query, energies, 1e-4, cell)
    for ours, dense in zip(variance(query), want):
        torch.testing.assert_close(ours, variance.scale * dense, rtol=1e-7, atol=1e-9 * variance.scale)


def test_cell_of_a_query():
    """Left out: that of the training data; geometries as NumPy arrays."""
    pos, query, cell = geometries(M), geometries(2, seed=1), torch.tensor(CELL, dtype=torch.float64)
    model = trained(pos, drawn(pos, cell=CELL)[0], energies=False, lam=1e-4, cell=CELL)
    model.prepare_uncertainty(pos.numpy())
    energy, forces = model.variance(query)
    torch.testing.assert_close(model.variance(query, cell), (energy, forces), rtol=0, atol=0)
    assert not torch.allclose(model.variance(query, 0.4 * cell)[0], energy, rtol=1e-3)


def test_panels_change_nothing(monkeypatch):
    pos, query = geometries(M), geometries(5, seed=1)
    for energies in (False, True):
        model = trained(pos, drawn(pos)[0], energies, lam=1e-4)
        whole = GDMLVariance(model, pos)(query)
        with monkeypatch.context() as patch:
            patch.setattr("pyff.models.gdml.panels.ONE_PANEL_BYTES", 0)
            patch.setattr("pyff.models.gdml.panels.PANEL_UNKNOWNS", 40)
            patch.setattr("pyff.models.gdml.variance._CHUNK_BYTES", 1)
            parts = GDMLVariance(model, pos)
            assert parts.factor.n_panels > 3
            for a, b in zip(parts(query), whole):
                torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12 * parts.scale)


def test_forces_of_training_points_are_known_up_to_the_ridge():
    pos = geometries(M)
    model = trained(pos, drawn(pos)[0], energies=False)
    variance = GDMLVariance(model, pos)
    _, forces = variance(pos)
    assert float(forces.max()) < 1.01 * variance.scale * model.config.lam + 1e-13 * variance.scale
    # copies of training points, turned, mirrored or permuted
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))).Q
    _, forces = variance((pos[:, PERMS[1]] @ turn) * torch.tensor([1.0, 1, -1], dtype=torch.float64))
    assert float(forces.max()) < 1.01 * variance.scale * model.config.lam + 1e-13 * variance.scale


def test_far_from_all_training_points_the_prior_is_left():
    pos, far = geometries(M), geometries(3, seed=2, size=0.12)
    model = trained(pos, drawn(pos)[0], energies=True)
    variance = GDMLVariance(model, pos)
    x, g = ops.inverse_distances(far)
    prior = ops.gdml_diagonal(x, g, ops.descriptor_permutations(PERMS), ops.GdmlKernel(0.7), True)
    energy, forces = variance(far)
    torch.testing.assert_close(forces.reshape(-1), variance.scale * prior[:-3], rtol=1e-6, atol=0)
    torch.testing.assert_close(energy, variance.scale * prior[-3:], rtol=1e-6, atol=0)


def test_geometries_are_found_from_distances():
    pos = geometries(6)
    x = ops.inverse_distances(pos)[0]
    torch.testing.assert_close(ops.inverse_distances(geometries_of(x))[0], x, rtol=1e-10, atol=0)
    flat = pos * torch.tensor([1.0, 1, 0], dtype=torch.float64)
    x = ops.inverse_distances(flat)[0]
    torch.testing.assert_close(ops.inverse_distances(geometries_of(x))[0], x, rtol=1e-6, atol=0)
    pair = ops.inverse_distances(pos[:, :2])[0]
    torch.testing.assert_close(ops.inverse_distances(geometries_of(pair))[0], pair, rtol=1e-10, atol=0)


def test_molecules_need_no_training_geometries():
    pos, query = geometries(M), geometries(4, seed=1)
    model = trained(pos, drawn(pos)[0], energies=False, lam=1e-6)
    given, found = GDMLVariance(model, pos), GDMLVariance(model)
    for a, b in zip(found(query), given(query)):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-10 * given.scale)


@pytest.mark.parametrize("energies", [False, True])
def test_errors_of_samples_are_as_large_as_said(energies):
    """Labels drawn from the process: errors over standard deviations have mean square 1."""
    pos, query = geometries(10), geometries(30, seed=1)
    ratios, energy_ratios, scales = [], [], []
    for seed in range(12):
        labels, truth = drawn(pos, query, seed=seed)
        labels, truth = 7.0 * labels, 7.0 * truth  # the scale has to be found
        model = trained(pos, labels, energies)
        variance = GDMLVariance(model, pos)
        scales.append(variance.scale)
        spread_energy, spread = variance(query)
        energy, forces = model.predict(query)
        error = forces.reshape(-1) - truth[: forces.numel()]
        ratios.append(error.square().sum() / spread.sum())
        # the model's constant: that of the training energies
        true_energy, trained_energy = truth[forces.numel() :], labels[pos.numel() :]
        shift = trained_energy.mean() - model.predict(pos)[0].mean() if not energies else 3.0
        energy_ratios.append(((energy + shift - true_energy).square() / spread_energy).mean())
    assert 0.6 < float(torch.stack(ratios).mean()) < 1.6
    assert 0.5 < float(torch.stack(energy_ratios).mean()) < 2.0
    assert np.mean(scales) == pytest.approx(49.0, rel=0.2)


def test_the_calculator_reports_uncertainty(tmp_path):
    pos, query = geometries(M), geometries(1, seed=1)
    model = trained(pos, drawn(pos)[0], energies=False)
    pyff.save(model, tmp_path / "m.safetensors")
    atoms = Atoms("OHHC", query[0].numpy())
    atoms.calc = pyff.Calculator(tmp_path / "m.safetensors", uncertainty=True)
    atoms.get_forces()
    found = atoms.calc.results["uncertainty"]
    energy, forces = GDMLVariance(model, pos)(query)
    kcal = ENERGY["kcal/mol"]
    assert found["energy"] == pytest.approx(float(energy.sqrt()) * kcal, rel=1e-5)
    assert np.allclose(found["forces"], forces[0].sqrt().numpy() * kcal, rtol=1e-4, atol=1e-9)
    plain = pyff.Calculator(tmp_path / "m.safetensors")
    plain.calculate(atoms, ["forces"])
    assert "uncertainty" not in plain.results and "uncertainty" not in plain.implemented_properties
    atoms.calc = pyff.Calculator(model, uncertainty=True)
    atoms.get_potential_energy()
    assert "uncertainty" in atoms.calc.results and "uncertainty" not in model.offers  # a copy was prepared


def test_uncertainty_comes_through_batches_and_survives_a_move():
    pos = geometries(M)
    model = trained(pos, drawn(pos, cell=CELL)[0], energies=False, cell=CELL)
    with pytest.raises(ValueError, match="want must name quantities that this model offers"):
        model(collate([System([8, 1, 1, 6], pos[0].numpy(), np.array(CELL), True)], model.needs), ["uncertainty"])
    model.prepare_uncertainty(pos)
    query = geometries(3, seed=4)
    wide = 1.1 * np.array(CELL)
    systems = [System([8, 1, 1, 6], p.numpy(), c, True) for p, c in zip(query, (np.array(CELL), wide, np.array(CELL)))]
    out = model(collate(systems, model.needs), want=["energy", "uncertainty"])
    before = out.uncertainty["energy"]
    assert before.shape == (3,) and out.uncertainty["forces"].shape == (12, 3)
    model.to("cpu")
    assert torch.equal(model(collate(systems[:1], model.needs), ["uncertainty"]).uncertainty["energy"], before[:1])


def test_errors_name_what_is_missing():
    pos = geometries(M)
    model = trained(pos, drawn(pos)[0], energies=False)
    with pytest.raises(ValueError, match="pos must be the model's training geometries in their order"):
        GDMLVariance(model, pos.flip(0))
    with pytest.raises(ValueError, match=r"pos must have shape \[12, 4, 3\]; received \[11, 4, 3\]"):
        GDMLVariance(model, pos[1:])
    with pytest.raises(ValueError, match="pos must be given for a periodic model"):
        trained(pos, drawn(pos, cell=CELL)[0], energies=False, cell=CELL).prepare_uncertainty()
    with pytest.raises(RuntimeError, match=r"call prepare_uncertainty\(\) first"):
        _ = model.variance
    from _toy import toy_model

    with pytest.raises(ValueError, match="uncertainty needs a kernel model"):
        pyff.Calculator(toy_model(), uncertainty=True)
