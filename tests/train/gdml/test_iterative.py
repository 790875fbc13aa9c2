"""Iterative training: the closed form's solution, what sGDML's files keep of the solver, unfinished models taken up."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from _data import shared_data
from _gdml_toy import water

from pyff import ops
from pyff.models.gdml import GDMLConfig
from pyff.solvers import ConjugateGradients, IterativeSettings, nystroem
from pyff.train.gdml import Start, create_task, train_task
from pyff.train.gdml import iterative as module
from pyff.train.gdml.iterative import solve_iterative
from pyff.train.gdml.operator import GdmlOperator
from pyff.train.gdml.system import LinearSystem

SWAP = np.array([[0, 1, 2], [0, 2, 1]])
METHYL = [[5, 6, 7], [6, 7, 5], [7, 5, 6]], [[5, 7, 6], [6, 5, 7], [7, 6, 5]]
ETHANOL = [[0, 1, 2, *pair, *m, 8] for pair, turns in zip(([3, 4], [4, 3]), METHYL) for m in turns]


def make_task(m: int = 24, use_energy="constant", lam: float = 1e-8):
    config = GDMLConfig(sigma=1.5, lam=lam)
    return create_task(water(60), m, 10, config, perms=SWAP, use_energy=use_energy, rng=np.random.default_rng(1))


@pytest.fixture(autouse=True)
def _every_step_is_shown(monkeypatch):
    monkeypatch.setattr(module, "_SHOW_SECONDS", 0.0)


def solve(task, **arguments):
    return solve_iterative(task, LinearSystem.of(task), say=lambda text: None, **arguments)


@pytest.mark.parametrize("energies", [False, True])
def test_operator_is_the_matrix(energies):
    system = LinearSystem.of(make_task(6, "constraints" if energies else "constant"))
    s = system
    operator = GdmlOperator(s.x, s.g, s.perms, s.kernel, energies=energies)
    matrix = ops.gdml_matrix(s.x, s.g, s.x, s.g, s.perms, s.kernel, energies)
    v = torch.randn(s.n_unknowns, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    indices = torch.tensor([s.n_unknowns - 1, 0, 17, 30])
    assert operator.size == s.n_unknowns and operator.block == 9
    scale = float(matrix.abs().max())
    assert (operator(v) - matrix @ v).abs().max() < 1e-11 * scale
    assert (operator.columns(indices) - matrix[:, indices]).abs().max() < 1e-13 * scale
    assert (operator.diagonal() - matrix.diagonal()).abs().max() < 1e-13 * scale


@pytest.mark.parametrize("use_energy", ["constant", "constraints"])
def test_model_equals_that_of_the_closed_form(use_energy):
    task = make_task(use_energy=use_energy)
    closed = train_task(task, solver="closed", say=lambda text: None)
    beta, info = solve(task, settings=IterativeSettings(columns=60, rtol=1e-10))
    system = LinearSystem.of(task)
    forces, energies = system.split(beta)
    scale = np.abs(closed.alphas_F).max()
    assert np.abs(-forces.numpy() - closed.alphas_F).max() < 1e-5 * scale
    if use_energy == "constraints":
        assert np.abs(energies.numpy() - closed.alphas_E).max() < 1e-5 * scale
    assert info["solver_resid"] <= 1e-10 * info["norm_y_train"]


def test_training_keeps_what_the_files_say_of_the_solver():
    trained = train_task(make_task(), solver="iterative", say=lambda text: None)
    info = trained.solver_info
    assert trained.solver == "cg" and info["solver_tol"] == 1e-4 and info["solver_iters"] > 0
    assert info["solver_resid"] <= info["solver_tol"] * info["norm_y_train"]
    assert info["norm_y_train"] == pytest.approx(np.sqrt(24 * 9), rel=1e-12)  # labels of unit variance, mean 0
    assert len(set(info["inducing_pts_idxs"].tolist())) == len(info["inducing_pts_idxs"]) <= 24 * 9
    forces = trained.model.predict(torch.as_tensor(trained.task.pos))[1].numpy()
    assert np.abs(forces - trained.task.forces).mean() < 1e-3 * np.abs(trained.task.forces).mean()


@pytest.mark.parametrize("use_energy", ["constant", "constraints"])
def test_an_unfinished_model_is_taken_up(use_energy):
    task = make_task(use_energy=use_energy)
    said, kept = [], []
    unfinished = IterativeSettings(columns=50, rtol=1e-8, max_iterations=5)
    beta, info = solve_iterative(task, LinearSystem.of(task), settings=unfinished, say=said.append,
                                 checkpoint=lambda *model: kept.append(model))  # fmt: skip
    assert "not converged after 5 steps" in said[-1]
    assert torch.equal(kept[-1][0], beta) and kept[-1][1]["solver_iters"] == 5
    forces, energies = LinearSystem.of(task).split(beta)
    start = Start(-forces.numpy(), None if energies is None else energies.numpy(), 5, info["inducing_pts_idxs"])
    _, second = solve(replace(task, start=start), settings=IterativeSettings(columns=100, rtol=1e-8))
    # the columns of the file, not those asked for
    assert sorted(second["inducing_pts_idxs"]) == sorted(info["inducing_pts_idxs"])
    assert second["solver_iters"] > 5 and second["solver_resid"] <= 1e-8 * second["norm_y_train"]
    _, fresh = solve(task, settings=IterativeSettings(columns=50, rtol=1e-8))
    # a new Krylov space and the rounding of the instruction set cost or save a few steps
    assert second["solver_iters"] - 5 < 1.2 * fresh["solver_iters"]


def test_ctrl_c_leaves_a_model_and_a_checkpoint_to_go_on_from(tmp_path):
    task, models, path = make_task(), [], tmp_path / "solver.ckpt"
    settings = IterativeSettings(columns=50, rtol=1e-8, checkpoint=path)
    whole = solve(task, settings=replace(settings, checkpoint=None))

    def interrupt(stage, done, total):
        if stage.startswith("step 4"):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train_task(task, solver="iterative", iterative=settings, say=lambda text: None, progress=interrupt,
                   checkpoint=models.append)  # fmt: skip
    assert models[-1].solver_info["solver_iters"] == 4 and path.exists()
    rest = solve(task, settings=settings)
    assert torch.equal(rest[0], whole[0]) and rest[1]["solver_iters"] == whole[1]["solver_iters"]


def test_energy_coefficients_that_are_missing_are_named():
    task = make_task(use_energy="constraints")
    with pytest.raises(ValueError, match=r"start.alphas_E must be given"):
        solve(replace(task, start=Start(np.zeros((24, 3, 3)))))


def test_memory_limits_the_preconditioner():
    said = []
    task = make_task()
    solve_iterative(task, LinearSystem.of(task), max_memory=1e-4, say=said.append)  # GiB
    assert "preconditioner of 36 of 216 columns" in said[0]


def test_progress_shows_residual_and_time():
    seen = []
    solve(make_task(), progress=lambda *what: seen.append(what))
    assert seen[0][0] == "preconditioner, columns"
    assert all(0 <= done <= total for _, done, total in seen)
    assert "residual" in seen[-1][0] and "left" in seen[-1][0] and seen[-1][1] == seen[-1][2]


@pytest.mark.parametrize(("kind", "steps"), [("rpcholesky", 171), ("random", 186)])
def test_steps_for_ethanol_with_every_fifth_column(ethanol, kind, steps):
    """n = 2700, sigma 10, ridge 1e-10, |r| <= 1e-4 |y|: steps of an independent program, other points of the set."""
    operator, y = ethanol
    assert _steps(operator, y, kind, shift=1e-10) == pytest.approx(steps, rel=0.1)


def test_steps_with_the_shift_chosen_are_those_of_eigenvectors_with_the_ridge(ethanol):
    """114 of eigenvectors, the best low-rank approximation, in the program above."""
    assert _steps(*ethanol, "rpcholesky", shift=None) < 1.3 * 114


@pytest.fixture(scope="module")
def ethanol():
    with np.load(shared_data("md17_ethanol_ccsdt") / "ethanol_ccsd_t-first800.npz", allow_pickle=False) as file:
        pos, forces = file["R"], file["F"]
    frames = np.sort(np.random.default_rng(1).choice(len(pos), 100, replace=False))
    x, g = ops.inverse_distances(torch.from_numpy(pos[frames]))
    perms = ops.descriptor_permutations(torch.tensor(ETHANOL))
    y = torch.from_numpy(forces[frames]).reshape(-1)
    return GdmlOperator(x, g, perms, ops.GdmlKernel(10.0)), y / y.std(correction=0)


def _steps(operator, y, kind, shift) -> int:
    precondition = nystroem(operator, operator.size // 5, 1e-10, kind, np.random.default_rng(0), shift=shift)
    product = lambda v: operator(v) + 1e-10 * v  # noqa: E731
    cg = ConjugateGradients.start(product, precondition, y)
    while cg.norms[-1] > 1e-4 * cg.norms[0]:
        cg.step(product, precondition)
    return len(cg.norms) - 1
