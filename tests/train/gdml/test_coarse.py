"""Two layers on forces with known scatter: the mean force appears as batches are added."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pyff import ops
from pyff.models.gdml.ad import DescriptorKernel, ForceField
from pyff.models.gdml.coarse import CoarseGrainedModel, HarmonicPrior
from pyff.train.gdml.coarse import TwoLayers, cross_validated, fit_layer, fit_two_layers, mean_forces

NOISE = 2.0


def distances(pos: torch.Tensor) -> torch.Tensor:
    a, b = torch.tril_indices(3, 3, -1)
    return (pos[a] - pos[b]).square().sum(-1).sqrt()


KERNEL = DescriptorKernel(distances, ops.GdmlKernel(2.0))
LAYERS = TwoLayers(KERNEL, KERNEL)


def samples(count: int, noise: float = NOISE) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Positions, scattered and true forces of three beads on springs."""
    gen = torch.Generator().manual_seed(0)
    base = torch.tensor([[0.0, 0, 0], [1.5, 0, 0], [0.5, 1.3, 0]], dtype=torch.float64)
    pos = base + 0.3 * torch.randn(count, 3, 3, dtype=torch.float64, generator=gen)
    leaf = pos.clone().requires_grad_()
    energy = sum(2.0 * (distances(p) - 1.5).square().sum() for p in leaf)
    true = -torch.autograd.grad(energy, leaf)[0]
    return pos, true + noise * torch.randn(pos.shape, dtype=torch.float64, generator=gen), true


def test_average_of_interpolations_forgets_the_scatter_like_one_over_batches():
    pos, forces, true = samples(660)
    new = pos[600:]
    fields = fit_layer(KERNEL, pos, forces, np.arange(600).reshape(30, 20), ridge=1e-2)
    one = np.mean([float((f.predict(new)[1] - true[600:]).square().mean()) for f in fields])
    all_of_them = float((mean_forces(fields, new) - true[600:]).square().mean())
    assert all_of_them < one / 5  # what is left is the bias of 20 frames each


def test_two_layers_predict_the_mean_force_and_their_error_is_scatter_plus_a_little():
    pos, forces, true = samples(460)
    layers = TwoLayers(KERNEL, KERNEL, first_ridge=1e-2)
    field = fit_two_layers(layers, pos, forces, np.arange(400).reshape(20, 20), np.arange(60))
    error = float((field.predict(pos[400:])[1] - true[400:]).square().mean())
    assert error < 0.15 * float(true[400:].square().mean())
    result = cross_validated(
        layers, pos, forces, lambda frames, rng: (rng.permutation(frames)[:300].reshape(15, 20), frames[:60]), folds=3
    )
    assert len(result.errors) == 3
    assert NOISE**2 * 0.95 < result.mean < NOISE**2 * 1.3


def test_frames_drawn_twice_into_a_batch_count_once():
    pos, forces, _ = samples(10)
    twice, once = (fit_layer(KERNEL, pos, forces, [b])[0] for b in (np.array([1, 2, 2, 3]), np.array([1, 2, 3])))
    torch.testing.assert_close(twice.weights, once.weights)


def test_model_adds_prior_and_field():
    pos, forces, _ = samples(8, noise=0.0)
    prior = HarmonicPrior.fit(pos, [[0, 1], [1, 2]], [], kT=0.6)
    field = fit_layer(KERNEL, pos, forces - prior.predict(pos)[1], [np.arange(8)])[0]
    assert isinstance(field, ForceField)
    torch.testing.assert_close(CoarseGrainedModel(prior, field).predict(pos)[1], forces, rtol=1e-5, atol=1e-5)


def test_too_few_batches_are_an_error():
    pos, forces, _ = samples(8)
    with pytest.raises(ValueError, match="batches and points must not be empty"):
        fit_two_layers(LAYERS, pos, forces, [], np.arange(3))
    with pytest.raises(ValueError, match=r"folds must lie in 2\.\.8, the number of frames; received 9"):
        cross_validated(LAYERS, pos, forces, lambda frames, rng: ([frames], frames), folds=9)
