"""Training in closed form: labels are met, forces are gradients, all ways of holding the matrix agree."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from _gdml_toy import water

from pyff import ops
from pyff.errors import DataError
from pyff.models.gdml import GDMLConfig, panels
from pyff.models.gdml.panels import panel_points
from pyff.solvers import NotPositiveDefiniteError, PanelCholesky
from pyff.train.gdml import GdmlData, GdmlTask, create_task, train_task
from pyff.train.gdml.closed_form import closed_form_bytes, solve_closed_form
from pyff.train.gdml.system import LinearSystem
from pyff.train.gdml.training import LabelCheck, choose_solver

SWAP = np.array([[0, 1, 2], [0, 2, 1]])


def make_task(m: int = 20, n_data: int = 60, use_energy="constant", data=None, **config) -> GdmlTask:
    config = GDMLConfig(**{"sigma": 1.5, **config})
    return create_task(data or water(n_data), m, 10, config, perms=SWAP, use_energy=use_energy,
                       rng=np.random.default_rng(1))  # fmt: skip


def predict(trained, pos) -> tuple[np.ndarray, np.ndarray]:
    return tuple(t.numpy() for t in trained.model.predict(torch.as_tensor(pos)))


@pytest.fixture
def quiet():
    said: list[str] = []
    return {"say": said.append, "said": said}


@pytest.mark.parametrize("profile", ["matern52", "rbf"])
def test_training_points_are_met(profile, quiet):
    task = make_task(profile=profile, sigma={"matern52": 1.5, "rbf": 0.2}[profile])
    trained = train_task(task, say=quiet["say"])
    energy, forces = predict(trained, task.pos)
    np.testing.assert_allclose(forces, task.forces, atol=1e-6 * np.abs(task.forces).max())
    assert abs((energy - task.energy).mean()) < 1e-9
    assert trained.solver == "analytic" and trained.lam == 1e-10
    assert trained.labels.warnings() == []


def test_unseen_points_are_close():
    trained = train_task(make_task(40, data=water(60, spread=0.04)), say=lambda text: None)
    unseen = water(50, seed=9, spread=0.04)
    energy, forces = predict(trained, unseen.pos)
    assert np.abs(forces - unseen.forces).mean() < 0.02 * np.abs(unseen.forces).mean()
    assert np.abs(energy - unseen.energy).mean() < 0.02 * unseen.energy.std()


def test_energy_constraints_meet_the_energies_too(quiet):
    task = make_task(use_energy="constraints")
    trained = train_task(task, say=quiet["say"])
    energy, forces = predict(trained, task.pos)
    np.testing.assert_allclose(energy, task.energy, atol=1e-5)
    np.testing.assert_allclose(forces, task.forces, atol=1e-5)
    assert trained.alphas_E.shape == (20,)
    assert float(trained.model.constant) == task.energy.mean()


def test_without_energies_the_constant_is_zero_and_forces_are_the_same():
    with_energies, without = (train_task(make_task(use_energy=u), say=lambda t: None) for u in ("constant", "none"))
    assert float(without.model.constant) == 0 and without.labels is None
    pos = water(3, seed=4).pos
    np.testing.assert_array_equal(predict(with_energies, pos)[1], predict(without, pos)[1])


def test_forces_are_the_gradient_of_the_energy():
    trained = train_task(make_task(use_energy="constraints"), say=lambda text: None)
    pos, h = water(1, seed=5).pos[0], 1e-4
    steps = h * np.eye(9).reshape(9, 3, 3)
    up, down = (predict(trained, pos + sign * steps)[0] for sign in (1, -1))
    np.testing.assert_allclose(predict(trained, pos[None])[1].ravel(), -(up - down) / (2 * h), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("use_energy", ["constant", "constraints"])
def test_panels_give_the_solution_of_the_whole_matrix(use_energy, monkeypatch):
    system = LinearSystem.of(make_task(use_energy=use_energy, lam=1e-6))
    K = ops.gdml_matrix(system.x, system.g, system.x, system.g, system.perms, system.kernel, system.energies)
    K.diagonal().add_(1e-6)
    expected = torch.linalg.solve(K, system.y)
    monkeypatch.setattr(panels, "PANEL_UNKNOWNS", 63)
    for one_panel in (2**30, 0):
        monkeypatch.setattr(panels, "ONE_PANEL_BYTES", one_panel)
        assert len(panel_points(20, system.per_point)) == (1 if one_panel else 20 // (63 // system.per_point) + 1)
        beta = solve_closed_form(system).beta
        torch.testing.assert_close(beta, expected, rtol=1e-7, atol=1e-7 * float(expected.abs().max()))


def test_an_inexact_factor_is_made_up_for(monkeypatch):
    """MKL's factors are off by several roundings, which a nearly singular matrix multiplies; here a ridge is wrong."""
    system = LinearSystem.of(make_task(use_energy="constraints", lam=1e-6))
    K = ops.gdml_matrix(system.x, system.g, system.x, system.g, system.perms, system.kernel, system.energies)
    factor = PanelCholesky.factor
    monkeypatch.setattr(PanelCholesky, "factor", lambda self, lam: factor(self, 1.001 * lam))
    beta = solve_closed_form(system).beta
    residual = K @ beta + 1e-6 * beta - system.y
    assert float(residual.norm() / system.y.norm()) < 1e-9  # without the correction 3e-8


def test_coefficients_solve_the_system_of_the_forces():
    """alpha has the sign of sGDML's files: K alpha = -F / std."""
    task = make_task(10)
    trained = train_task(task, say=lambda text: None)
    system = LinearSystem.of(task)
    K = ops.gdml_matrix(system.x, system.g, system.x, system.g, system.perms, system.kernel)
    left = K @ torch.from_numpy(trained.alphas_F).reshape(-1) + 1e-10 * torch.from_numpy(trained.alphas_F).reshape(-1)
    np.testing.assert_allclose(left.numpy(), -(task.forces / np.std(task.forces)).ravel(), atol=1e-7)


def test_large_numbers_of_points_take_half_the_matrix():
    n_points, per_point = 4000, 27
    matrix = 8 * (n_points * per_point) ** 2
    assert 0.5 * matrix < closed_form_bytes(n_points, per_point) < 0.55 * matrix
    assert sum(panel_points(n_points, per_point)) == n_points


def test_points_that_coincide_take_a_larger_ridge_and_say_so(quiet):
    one = make_task(10)
    twice = np.r_[0:10, 0:10]
    task = GdmlTask(one.config.model_copy(update={"lam": 0.0}), one.Z, one.pos[twice], one.forces[twice],
                    one.energy[twice], one.perms)  # fmt: skip
    trained = train_task(task, solver="closed", say=quiet["say"])
    assert trained.lam > 0
    assert any("not positive definite" in text for text in quiet["said"])
    np.testing.assert_allclose(predict(trained, task.pos)[1], task.forces, atol=1e-4 * np.abs(task.forces).max())


def test_broken_matrix_is_an_error_in_the_end():
    task = make_task(4)
    system = LinearSystem.of(task)
    system.x[1] = torch.nan
    with pytest.raises(NotPositiveDefiniteError):
        solve_closed_form(system, say=lambda text: None)


def test_stages_are_reported_and_end_complete():
    seen = {}
    train_task(make_task(), progress=lambda stage, done, total: seen.update({stage: done / total}), say=lambda t: None)
    assert seen == {"assembling": 1.0, "factoring": 1.0}


def test_solver_is_chosen_by_memory():
    assert choose_solver(10, 27) == "closed"
    assert choose_solver(1000, 63, max_memory=17) == "closed"  # 31.8 GB as a square
    assert choose_solver(1000, 63, max_memory=14) == "iterative"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda e: -e, "gradients instead of forces"),
        (lambda e: 23.06 * e, "have to be multiplied by 2[0-9]"),
        (lambda e: np.random.default_rng(0).permutation(e), "only weakly correlated"),
    ],
)
def test_labels_that_do_not_fit_are_diagnosed(change, words):
    data = water(60)
    wrong = GdmlData(data.Z, data.pos, data.forces, change(data.energy), energy_unit="kcal/mol")
    labels = train_task(make_task(30, data=wrong), say=lambda text: None).labels
    assert any(re.search(words, text) for text in labels.warnings())


def test_labels_that_do_not_vary_are_no_ground_for_a_warning():
    assert LabelCheck.of(np.zeros(5), np.zeros(5)).warnings() == []


def test_forces_that_are_all_the_same():
    data = water(20)
    with pytest.raises(ValueError, match="all labels of this task are the same"):
        train_task(make_task(5, data=GdmlData(data.Z, data.pos, 0 * data.forces), use_energy="none"))


def test_atoms_at_one_place_are_named_instead_of_a_matrix(quiet):
    data = water(60)
    data.pos[:, 2] = data.pos[:, 1]
    with pytest.raises(DataError, match="atoms must not coincide; 20 of 20"):
        train_task(make_task(data=data), say=quiet["say"])
