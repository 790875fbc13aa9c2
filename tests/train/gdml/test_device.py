"""Training on another device than the CPU: the solution is the CPU's, and no step mixes devices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _gdml_toy import water
from _pretend_cuda import PretendTensor, pretend_cuda  # noqa: F401  a fixture

from pyff.models.gdml import GDMLConfig, panels
from pyff.solvers import IterativeSettings
from pyff.train.gdml import Start, Trained, create_task, fit, train_task, training

SWAP = np.array([[0, 1, 2], [0, 2, 1]])
pytestmark = pytest.mark.usefixtures("pretend_cuda")


def train_on(device: str, use_energy="constant", **arguments) -> Trained:
    config = GDMLConfig(sigma=1.5, lam=1e-6)
    task = create_task(water(60), 20, 10, config, perms=SWAP, use_energy=use_energy, rng=np.random.default_rng(1))
    if start := arguments.pop("start", None):
        object.__setattr__(task, "start", start)
    return train_task(task, device=device, say=lambda text: None, **arguments)


def require_equal(got: Trained, want: Trained) -> None:
    np.testing.assert_array_equal(got.alphas_F, want.alphas_F)
    assert torch.equal(got.model.constant, want.model.constant)  # both models are on the CPU
    assert got.labels == want.labels


@pytest.mark.parametrize("use_energy", ["constant", "constraints"])
@pytest.mark.parametrize("one_panel", [0, 2**28])
def test_closed_form(use_energy, one_panel, monkeypatch):
    monkeypatch.setattr(panels, "ONE_PANEL_BYTES", one_panel)
    monkeypatch.setattr(panels, "PANEL_UNKNOWNS", 63)
    require_equal(*(train_on(d, use_energy, solver="closed") for d in ("cuda", "cpu")))


@pytest.mark.parametrize("kind", ["rpcholesky", "cholesky", "leverage", "random", "truncated", "points"])
def test_iterative_solver(kind):
    settings = IterativeSettings(kind, columns=60)
    require_equal(*(train_on(d, "constraints", solver="iterative", iterative=settings) for d in ("cuda", "cpu")))


def test_unfinished_solutions_go_on(tmp_path):
    models: list[Trained] = []
    few, rest = (IterativeSettings(columns=30, max_iterations=n, checkpoint=tmp_path / "c") for n in (4, None))
    train_on("cuda", solver="iterative", iterative=few, checkpoint=models.append)
    info = models[-1].solver_info
    finished = train_on("cuda", solver="iterative", iterative=rest)  # from the solver's own file
    whole = train_on("cpu", solver="iterative", iterative=IterativeSettings(columns=30))
    require_equal(finished, whole)
    start = Start(models[-1].alphas_F, None, info["solver_iters"], info["inducing_pts_idxs"])
    require_equal(*(train_on(d, solver="iterative", start=start) for d in ("cuda", "cpu")))


def test_fit_validates_and_tests_on_the_device_and_leaves_the_model_there(monkeypatch):
    asked = []
    monkeypatch.setattr(training, "free_bytes_on", lambda device: asked.append(device.type) or 2**40)
    reports = []
    for device in ("cuda", "cpu"):
        model, report = fit(water(60), 20, 10, sigma=(1, 2), perms=SWAP, device=device, quiet=True)
        assert isinstance(model.points, PretendTensor) == (device == "cuda")
        reports.append(report.text())
    assert reports[0] == reports[1] and set(asked[:2]) == {"cuda"} and set(asked[2:]) == {"cpu"}


def test_uncertainty():
    pos = torch.as_tensor(water(3, seed=2).pos)
    results = []
    for device in ("cuda", "cpu"):
        model = train_on("cpu", "constraints").model.to(device)
        model.prepare_uncertainty()
        results.append([x.cpu() for x in model.variance(pos.to(device))])
    assert all(map(torch.equal, *results))
