"""Priors of coarse-grained models."""

from __future__ import annotations

import pytest
import torch

from pyff.models.gdml.coarse import HarmonicPrior


def chain(count: int, seed: int = 0) -> torch.Tensor:
    gen = torch.Generator().manual_seed(seed)
    base = torch.tensor([[0.0, 0, 0], [1.5, 0, 0], [2.0, 1.4, 0], [3.5, 1.5, 0.4]], dtype=torch.float64)
    return base + 0.05 * torch.randn(count, 4, 3, dtype=torch.float64, generator=gen)


BONDS, ANGLES = [[0, 1], [1, 2], [2, 3]], [[0, 1, 2], [1, 2, 3]]


def test_prior_forces_are_minus_the_gradient():
    prior = HarmonicPrior.fit(chain(200), BONDS, ANGLES, kT=0.6)
    pos = chain(3, seed=5).requires_grad_()
    energy, forces = prior.predict(pos)
    torch.testing.assert_close(forces, -torch.autograd.grad(energy.sum(), pos)[0], rtol=1e-10, atol=1e-10)
    pos, forces = pos.detach(), forces.detach()
    assert torch.equal(prior.predict(pos.numpy())[1], forces)
    assert float(forces.sum(1).abs().max()) < 1e-9
    assert float(torch.linalg.cross(pos, forces).sum(1).abs().max()) < 1e-9


def test_prior_has_the_springs_that_made_the_samples():
    """Beads on a line of independent springs: the variance of each bond is kT / k."""
    gen = torch.Generator().manual_seed(1)
    kT, k = 0.6, torch.tensor([100.0, 400.0])
    length = torch.tensor([1.3, 1.5]) + torch.randn(100_000, 2, dtype=torch.float64, generator=gen) * (kT / k).sqrt()
    pos = torch.zeros(len(length), 3, 3, dtype=torch.float64)
    pos[:, 1, 0], pos[:, 2, 0] = length[:, 0], length.sum(1)
    prior = HarmonicPrior.fit(pos, [[0, 1], [1, 2]], [], kT)
    torch.testing.assert_close(prior.bond_constants, k.double(), rtol=0.02, atol=0)
    torch.testing.assert_close(prior.lengths, torch.tensor([1.3, 1.5]).double(), rtol=1e-3, atol=0)


def test_straight_angle_has_finite_forces():
    prior = HarmonicPrior.fit(chain(50), [], [[0, 1, 2]], kT=0.6)
    pos = torch.zeros(1, 4, 3, dtype=torch.float64)
    pos[0, :, 0] = torch.arange(4.0)
    energy, forces = prior.predict(pos)
    assert float(energy) > 0 and not bool(forces.any())


def test_rigid_bonds_are_an_error():
    pos = chain(1).expand(10, -1, -1)
    with pytest.raises(ValueError, match="a bond does not change"):
        HarmonicPrior.fit(pos, BONDS, [], kT=0.6)
