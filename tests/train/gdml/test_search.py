"""The search for the length scale, on errors given as functions of sigma, and once for real."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from _gdml_toy import water

from pyff.errors import DataError
from pyff.models.gdml import GDMLConfig
from pyff.train.gdml import GdmlData, create_task, fit, train_task
from pyff.train.gdml.errors import Error, GdmlErrors
from pyff.train.gdml.search import Candidate, best_of, edge_warning, refine, ridge_warning, search, search_grid


class Trainer:
    """Errors (log(sigma / best))^2 + 1; remembers what was asked for."""

    def __init__(self, best: float) -> None:
        self.best, self.asked = best, []

    def __call__(self, sigma: float) -> Candidate:
        self.asked.append(sigma)
        error = 1 + np.log(sigma / self.best) ** 2
        task = SimpleNamespace(config=SimpleNamespace(sigma=sigma, lam=1e-10))
        return Candidate(SimpleNamespace(task=task), GdmlErrors(None, *[Error(error, error)] * 3, n=1))


def test_grid_ends_where_the_error_rises():
    train = Trainer(best=22)
    found = search_grid(train, [40, 10, 20, 30, 20])
    assert train.asked == [10, 20, 30]
    assert best_of(found).sigma == 20


@pytest.mark.parametrize(("best", "side"), [(10, "smaller"), (30, "larger"), (20, None)])
def test_edge_of_the_grid_is_told(best, side):
    text = edge_warning([10, 20, 30], best)
    assert (text is None) if side is None else (side in text)


def test_one_sigma_has_no_edge():
    assert edge_warning([10], 10) is None


@pytest.mark.parametrize("best", [0.9, 13.0, 26.1, 200.0])
def test_refinement_finds_the_minimum_in_few_trainings(best):
    train = Trainer(best)
    found = refine(train, search_grid(train, [10, 20, 30, 40]))
    assert abs(np.log(best_of(found).sigma / best)) < 0.03
    assert len(train.asked) == len(set(train.asked)) <= 17
    assert [c.sigma for c in found] == sorted(train.asked)


def test_refinement_gives_up_without_a_minimum():
    train = Trainer(best=1e9)
    assert len(refine(train, search_grid(train, [10, 20]))) == 2 + 8


@pytest.mark.parametrize(("best", "side"), [(1e-10, None), (1e-8, None), (1e-6, "larger")])
def test_edge_of_the_ridges_is_told_where_more_can_be_found(best, side):
    text = ridge_warning([1e-10, 1e-8, 1e-6], best)
    assert (text is None) if side is None else (f"the best lambda, {best:g}" in text and side in text)
    assert "smaller" in ridge_warning([1e-8, 1e-6], 1e-8) and ridge_warning([1e-3], 1e-3) is None


def test_search_judges_a_sigma_by_its_best_ridge():
    """The least error, 1, is at sigma 4 and lambda 1e-6; with lambda 1e-10 alone the search would end at sigma 2."""
    errors = {1e-10: {1: 3.0, 2: 2.0, 4: 2.5, 8: 4.0}, 1e-6: {1: 3.0, 2: 1.5, 4: 1.0, 8: 1.2}}

    def train(sigma: float, lam: float) -> Candidate:
        task = SimpleNamespace(config=SimpleNamespace(sigma=sigma, lam=lam))
        error = Error(errors[lam][sigma], errors[lam][sigma])
        return Candidate(SimpleNamespace(task=task), GdmlErrors(None, error, error, error, n=1))

    for lams, best in (((1e-6, 1e-10), (4, 1e-6)), ((1e-10,), (2, 1e-10))):
        found = search(train, [1, 2, 4, 8], lams, refined=False)
        assert (best_of(found).sigma, best_of(found).lam) == best
        assert [(c.sigma, c.lam) for c in found] == [
            (s, x) for s in (1, 2, 4, 8)[: 4 if len(lams) > 1 else 3] for x in sorted(lams)
        ]


def noisy_water(m: int) -> GdmlData:
    """Forces with errors of a tenth of their standard deviation."""
    data = water(m)
    noise = 0.1 * data.forces.std() * np.random.default_rng(5).normal(size=data.forces.shape)
    return GdmlData(data.Z, data.pos, data.forces + noise, data.energy, energy_unit="kcal/mol")


def test_noisy_labels_take_a_larger_ridge():
    options = {"sigma": (2, 8, 32), "perms": np.array([[0, 1, 2], [0, 2, 1]]), "quiet": True}
    model, report = fit(noisy_water(150), 60, 40, lam=(1e-10, 1e-6, 1e-3, 1e-2, 10), **options)
    _, without = fit(noisy_water(150), 60, 40, **options)
    assert 1e-6 < report.best.lam < 10 and model.config.lam == report.best.lam
    assert report.test.forces.rmse < without.test.forces.rmse
    assert "  lambda" in report.text() and "lambda" not in without.text()
    clean = water(20, seed=77)
    errors = [np.abs(m.predict(torch.as_tensor(clean.pos))[1].numpy() - clean.forces).mean()
              for m in (model, without.best.trained.model)]  # fmt: skip
    assert errors[0] < 0.5 * errors[1]


def test_labels_without_noise_keep_the_smallest_ridge():
    model, report = fit(water(80), 25, 20, sigma=(2, 8), lam=(1e-4, 1e-10), quiet=True, perms=np.arange(3)[None])
    assert model.config.lam == 1e-10
    assert not any("lambda" in text for text in report.warnings)


def test_one_ridge_gives_the_model_of_its_task():
    data, perms = water(80), np.array([[0, 1, 2], [0, 2, 1]])
    config = GDMLConfig(sigma=2.0, lam=1e-8)
    task = create_task(data, 25, 20, config, perms=perms, rng=np.random.default_rng(0))
    want = train_task(task, say=lambda text: None).model
    for lam in (1e-8, [1e-8]):
        model, report = fit(data, 25, 20, sigma=2, lam=lam, perms=perms, quiet=True)
        assert model.config == want.config and "lambda" not in report.text()
        assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), want.state_dict().values()))


@pytest.mark.parametrize("lam", [[], -1.0, [1e-10, float("nan")]])
def test_no_ridge_is_an_error(lam):
    with pytest.raises(ValueError, match="lam must be one ridge or several, 0 or positive; received"):
        fit(water(30), 10, 10, sigma=3, lam=lam)


def test_fit_from_frames_to_tested_model():
    model, report = fit(water(80), 25, 20, sigma=(0.5, 2, 8, 32), quiet=True, perms=np.array([[0, 1, 2], [0, 2, 1]]))
    sigmas = [c.sigma for c in report.candidates]
    assert sigmas[0] == 0.5 and model.config.sigma == report.best.sigma in sigmas
    assert report.test.n == 80 - 25 - 20
    assert report.test.forces.mae < 0.05 * np.abs(water(80).forces).mean()
    assert "<- best" in report.text() and "on 35 frames" in report.text()
    assert json.loads(json.dumps(model.info))["forces_error"]["mae"] == report.test.forces.mae


def test_refined_fit_is_not_worse():
    options = {"sigma": (0.5, 2, 8, 32), "quiet": True, "perms": np.array([[0, 1, 2], [0, 2, 1]])}
    coarse, fine = (fit(water(80), 25, 20, refined=r, **options)[1] for r in (False, True))
    assert fine.best.errors.forces.rmse <= coarse.best.errors.forces.rmse
    assert len(fine.candidates) > len(coarse.candidates)


def test_files_without_units_need_them_said(tmp_path):
    data = water(30)
    np.savez(tmp_path / "water.npz", z=data.Z, R=data.pos, E=data.energy, F=data.forces)
    with pytest.raises(DataError, match=r"unit of water\.npz is not declared"):
        fit(tmp_path / "water.npz", 10, 10, sigma=3)
    model, _ = fit(tmp_path / "water.npz", 10, 10, sigma=3, units="kJ/mol,Angstrom", quiet=True)
    assert model.config.energy_unit == "kJ/mol"


def test_no_length_scale_is_an_error():
    with pytest.raises(ValueError, match="sigma must be one length scale or several; received none"):
        fit(water(30), 10, 10, sigma=[])
