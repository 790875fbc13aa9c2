"""The search for the length scale, on errors given as functions of sigma, and once for real."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from _gdml_toy import water

from pyff.errors import DataError
from pyff.train.gdml import fit
from pyff.train.gdml.errors import Error, GdmlErrors
from pyff.train.gdml.search import Candidate, best_of, edge_warning, refine, search_grid


class Trainer:
    """Errors (log(sigma / best))^2 + 1; remembers what was asked for."""

    def __init__(self, best: float) -> None:
        self.best, self.asked = best, []

    def __call__(self, sigma: float) -> Candidate:
        self.asked.append(sigma)
        error = 1 + np.log(sigma / self.best) ** 2
        task = SimpleNamespace(config=SimpleNamespace(sigma=sigma))
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
