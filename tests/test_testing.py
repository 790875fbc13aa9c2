from __future__ import annotations

import numpy as np
import pytest
import torch
from _toy import ToyConfig, ToyModel, toy_model

from pyff.models.base import AtomOutputs
from pyff.testing import check_cutoff, check_potential


def test_check_potential_passes_a_sound_model():
    check_potential(toy_model().double())


def test_check_potential_passes_a_sound_float32_model():
    check_potential(toy_model())


class Broken(ToyModel):
    """The toy with one thing wrong."""

    fault = ""

    def atom_outputs(self, batch, geometry):
        vec, distance = geometry.vec, geometry.distance
        energy = super().atom_outputs(batch, geometry).energy
        if self.fault == "direction":
            energy = energy.index_add(0, batch.idx_i, 1e-3 * vec[:, 0] ** 2)
        if self.fault == "order":
            energy = energy + 1e-3 * torch.arange(batch.n_atoms, dtype=energy.dtype)
        if self.fault == "batch":
            energy = energy + 1e-3 * batch.n_systems
        if self.fault == "jump":
            energy = energy.index_add(0, batch.idx_i, torch.full_like(distance, 1e-3))
        if self.fault == "reflection":
            a, b, c = vec[:-2], vec[1:-1], vec[2:]
            chiral = (torch.linalg.cross(a, b) * c).sum() if len(vec) > 2 else vec.sum() * 0
            energy = energy + 1e-4 * torch.tanh(chiral)
        if self.fault == "detached":
            energy = energy.index_add(0, batch.idx_i, 1e-3 * distance.detach())
        if self.fault == "mutation":
            batch.charge.add_(1.0)
        return AtomOutputs(energy)


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("direction", "rotation"),
        ("order", "permutation"),
        ("batch", "batch = single"),
        ("reflection", "reflection|rotation|permutation"),
        ("detached", "forces"),
        ("mutation", "purity"),
    ],
)
def test_check_potential_catches_a_fault(fault, check):
    model = Broken(ToyConfig(), [1, 6, 8]).double()
    model.fault = fault
    with pytest.raises(AssertionError, match=check):
        check_potential(model)


def test_check_cutoff_catches_a_jump():
    model = Broken(ToyConfig(), [1, 6, 8]).double()
    model.fault = "jump"
    with pytest.raises(AssertionError, match="cutoff: energy of a dimer"):
        check_cutoff(model, np.random.default_rng(0))


def test_check_potential_catches_a_wrong_stress(monkeypatch):
    from pyff.models import base

    right = base._stress
    monkeypatch.setattr(base, "_stress", lambda grad, batch: right(grad, batch) * 1.001)
    with pytest.raises(AssertionError, match="stress"):
        check_potential(toy_model().double())


def test_check_potential_spares_models_without_cutoff_function_and_cells():
    model = Broken(ToyConfig(), [1, 6, 8]).double()
    model.fault = "jump"
    check_potential(model, smooth=False, periodic=False)
