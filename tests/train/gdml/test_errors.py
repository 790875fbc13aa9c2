"""Errors by sGDML's definitions, whatever the batches."""

from __future__ import annotations

import numpy as np
import pytest
from _gdml_toy import water

from pyff.models.gdml import GDMLConfig
from pyff.train.gdml import GdmlErrors, create_task, errors, prediction_errors
from pyff.train.gdml.errors import Error
from pyff.train.gdml.training import train_task


def test_definitions():
    label = np.array([[[3.0, 0, 0], [0, 0, 0]]])
    found = GdmlErrors.of(np.array([[[0.0, 4, 0], [0, 0, 0]]]), label, np.array([-2.0]))
    assert found == GdmlErrors(
        energy=Error(2.0, 2.0), forces=Error(pytest.approx(7 / 6), pytest.approx(np.sqrt(25 / 6))),
        magnitude=Error(0.5, pytest.approx(np.sqrt(0.5))), angle=Error(0.25, pytest.approx(np.sqrt(0.125))), n=1,
    )  # fmt: skip


def test_errors_do_not_depend_on_the_batch(monkeypatch):
    data = water(40)
    made = create_task(data, 20, 15, GDMLConfig(sigma=3), rng=np.random.default_rng(0))
    model = train_task(made, say=lambda text: None).model
    seen = []
    monkeypatch.setattr(errors, "BATCH", 7)
    found = prediction_errors(model, data.pos, data.forces, data.energy, lambda n, e: seen.append((n, e)))
    monkeypatch.setattr(errors, "BATCH", 100)
    whole = prediction_errors(model, data.pos, data.forces, data.energy)
    assert [n for n, _ in seen] == [7, 14, 21, 28, 35, 40] and seen[-1][1] == found
    assert found.n == 40
    for name in ("energy", "forces", "magnitude", "angle"):
        assert vars(getattr(found, name)) == pytest.approx(vars(getattr(whole, name)), rel=1e-9)


def test_without_energies():
    forces = np.ones((3, 2, 3))
    assert GdmlErrors.of(forces, forces, None).energy is None
