"""Conjugate gradients: solutions, restarts, checkpoints, interruption."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest
import torch
from _spectra import decaying, vector, with_spectrum

from pyff.errors import PyffError
from pyff.solvers import (
    ConjugateGradients,
    DenseOperator,
    IterativeSettings,
    PanelCholesky,
    columns_in_memory,
    default_columns,
    effectiveness,
    preconditioner_bytes,
    solve_iteratively,
)

N, RIDGE = 120, 1e-6


@pytest.fixture(scope="module")
def operator() -> DenseOperator:
    return DenseOperator(with_spectrum(decaying(N, 4.0)), 6)


class Counting(DenseOperator):
    """Counts products; something else may happen before the n-th."""

    def __init__(self, matrix, events=None):
        super().__init__(matrix, 6)
        self.products, self.events = 0, events or {}

    def __call__(self, v):
        self.products += 1
        self.events.pop(self.products, lambda: None)()
        return super().__call__(v)


def test_solution_equals_cholesky(operator):
    y = vector(N)
    cholesky = PanelCholesky([N])
    cholesky.tile(0, 0).copy_(operator.matrix)
    for _ in cholesky.factor(RIDGE):
        pass
    solution = solve_iteratively(operator, y, RIDGE, IterativeSettings(columns=20, rtol=1e-10))
    assert solution.converged and solution.rank == 20
    assert (solution.x - cholesky.solve(y)).abs().max() < 1e-8 * solution.x.abs().max()
    residual = y - operator(solution.x) - RIDGE * solution.x
    assert float(residual.norm()) == pytest.approx(solution.residual, rel=1e-3, abs=1e-14)


def test_a_low_rank_matrix_plus_ridge_takes_few_steps():
    values = torch.cat([torch.full((N - 10,), 1e-13, dtype=torch.float64), decaying(10, 2.0)])
    solution = solve_iteratively(DenseOperator(with_spectrum(values)), vector(N), 1e-8, IterativeSettings(columns=12))
    assert solution.converged and solution.iterations <= 3


def test_without_preconditioner_clustered_eigenvalues_take_one_step_each():
    matrix = with_spectrum(torch.cat([torch.full((50,), value, dtype=torch.float64) for value in (1.0, 2.0, 7.0)]))
    y = vector(150)
    cg = ConjugateGradients.start(lambda v: matrix @ v, torch.clone, y)
    for _ in range(3):
        cg.step(lambda v: matrix @ v, torch.clone)
    assert cg.norms[3] < 1e-12 * cg.norms[0] < cg.norms[2]


def test_an_indefinite_matrix_is_refused():
    matrix = -torch.eye(3, dtype=torch.float64)
    cg = ConjugateGradients.start(lambda v: matrix @ v, torch.clone, vector(3))
    with pytest.raises(ArithmeticError, match="not positive definite to rounding"):
        cg.step(lambda v: matrix @ v, torch.clone)


def test_start_from_the_solution_takes_no_step(operator):
    settings = IterativeSettings(columns=20)
    x = solve_iteratively(operator, vector(N), RIDGE, settings).x
    again = solve_iteratively(operator, vector(N), RIDGE, settings, x=x)
    assert again.iterations == 0 and again.converged and torch.equal(again.x, x)


def test_zero_labels_give_zero(operator):
    solution = solve_iteratively(operator, torch.zeros(N, dtype=torch.float64), RIDGE, IterativeSettings(columns=5))
    assert solution.converged and solution.iterations == 0 and not solution.x.any()


def test_effectiveness_of_falling_rising_and_wavering_residuals():
    assert effectiveness([1.0] * 50) == 1.0
    assert effectiveness([float(200 - i) for i in range(101)]) == 1.0
    assert effectiveness([float(i + 1) for i in range(101)]) == -1.0
    assert effectiveness([1.0, 2.0] * 50 + [1.0]) == 0.0


def test_stagnation_restarts_with_more_columns(monkeypatch, operator):
    import pyff.solvers.iterative as module

    # stagnates once ten steps have been taken, as long as there are few columns
    monkeypatch.setattr(module, "effectiveness", lambda norms: 0.0 if len(norms) > 10 else 1.0)
    seen = []
    solution = solve_iteratively(operator, vector(N), 1e-9, IterativeSettings(columns=10, rtol=1e-9),
                                 progress=lambda p: seen.append(p.columns))  # fmt: skip
    ranks = sorted({columns for columns in seen if columns})
    assert ranks[:3] == [10, 12, 15]  # times 1.2, rounded up
    assert solution.restarts == len(ranks) - 1 == 6 and solution.rank == ranks[-1]
    assert not solution.converged
    # a restart goes on from the iterate
    assert solution.history[11] == pytest.approx(solution.history[10], rel=1e-6)


def test_iterations_are_limited(operator):
    solution = solve_iteratively(operator, vector(N), 1e-12, IterativeSettings(columns=2, max_iterations=7))
    assert solution.iterations == 7 and not solution.converged and len(solution.history) == 8


@pytest.mark.parametrize("kind", ["rpcholesky", "leverage", "cholesky", "eigen"])
def test_interrupted_and_resumed_run_has_the_same_iterates(tmp_path, operator, kind):
    y, path = vector(N), tmp_path / "solver.npz"
    whole = solve_iteratively(operator, y, 1e-8, IterativeSettings(kind, 10, rtol=1e-9))
    assert whole.iterations > 12
    interrupting = Counting(operator.matrix, {9: lambda: os.kill(os.getpid(), signal.SIGINT)})
    settings = IterativeSettings(kind, 10, rtol=1e-9, checkpoint=path)
    part = solve_iteratively(interrupting, y, 1e-8, settings)
    assert part.interrupted and part.iterations == 9 and path.exists()
    rest = solve_iteratively(operator, y, 1e-8, settings)
    assert torch.equal(rest.x, whole.x) and rest.history == whole.history and torch.equal(rest.columns, whole.columns)
    assert not path.exists()


def test_resumed_run_restarts_as_the_whole_one(monkeypatch, tmp_path, operator):
    """The random numbers of a later preconditioner go on where they stopped."""
    import pyff.solvers.iterative as module

    monkeypatch.setattr(module, "effectiveness", lambda norms: 0.0 if len(norms) > 10 else 1.0)
    y, path = vector(N), tmp_path / "solver.npz"
    whole = solve_iteratively(operator, y, 1e-9, IterativeSettings(columns=10, rtol=1e-9))
    settings = IterativeSettings(columns=10, rtol=1e-9, checkpoint=path)
    # the 11th product computes the residual of a restart: this one falls into the 2nd run
    events = {17: lambda: os.kill(os.getpid(), signal.SIGINT)}
    assert solve_iteratively(Counting(operator.matrix, events), y, 1e-9, settings).interrupted
    rest = solve_iteratively(operator, y, 1e-9, settings)
    assert rest.restarts == whole.restarts and rest.history == whole.history and torch.equal(rest.x, whole.x)


def test_checkpoint_is_written_now_and_then(tmp_path, operator):
    path = tmp_path / "solver.npz"
    often = IterativeSettings(columns=40, checkpoint=path, checkpoint_seconds=0.0)
    seen = []
    solution = solve_iteratively(operator, vector(N), 1e-6, often, progress=lambda p: seen.append(path.exists()))
    assert solution.converged and seen[-1] and not path.exists()


def test_checkpoint_of_an_unfinished_run_fits_its_problem_only(tmp_path, operator):
    path = tmp_path / "solver.npz"
    settings = IterativeSettings(columns=10, rtol=1e-9, checkpoint=path, max_iterations=3)
    assert not solve_iteratively(operator, vector(N), 1e-8, settings).converged
    with np.load(path, allow_pickle=False) as file:
        assert file["x"].shape == (N,) and file["norms"].shape == (4,)
    for y, ridge in ((vector(N, seed=5), 1e-8), (vector(N), 1e-7)):
        with pytest.raises(PyffError, match="another problem"):
            solve_iteratively(operator, y, ridge, settings)


def test_damaged_checkpoint_is_named(tmp_path, operator):
    path = tmp_path / "solver.npz"
    path.write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(PyffError, match="cannot be read as a solver's checkpoint"):
        solve_iteratively(operator, vector(N), RIDGE, IterativeSettings(checkpoint=path))


@pytest.mark.parametrize("seconds", [0.02, 5.0])
def test_ctrl_c_while_building_ends_within_a_second(tmp_path, seconds):
    class Slow(DenseOperator):
        def columns(self, indices):
            time.sleep(seconds)
            return super().columns(indices)

    slow = Slow(with_spectrum(decaying(N)))
    began = time.monotonic()
    threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    solution = solve_iteratively(
        slow, vector(N), RIDGE, IterativeSettings("cholesky", N, checkpoint=tmp_path / "c.npz")
    )
    assert solution.interrupted and time.monotonic() - began < 1.0
    assert solution.iterations == 0 and not solution.converged and not solution.x.any()


def test_progress_tells_stage_residual_and_time_left(operator):
    seen = []
    settings = IterativeSettings(columns=20, rtol=1e-7)
    solution = solve_iteratively(operator, vector(N), RIDGE, settings, progress=seen.append)
    stages = [p.stage for p in seen]
    assert stages[0] == "columns" and "orthonormal columns, pass 1" in stages
    steps = [p for p in seen if p.stage == "steps"]
    assert [p.done for p in steps] == list(range(1, solution.iterations + 1)) and steps[0].total == 10 * N
    assert steps[-1].residual <= 1e-7 and steps[-1].seconds_left == 0.0 and steps[-1].rate > 0
    assert any(0 < p.seconds_left < 60 for p in steps)


def test_number_of_columns_follows_the_published_rule():
    # Bluecher et al. 2023, m = 1, k_min = 100
    for n, k in ((31_400, 3_700), (75_000, 6_600), (158_000, 10_800), (500_000, 23_300)):
        assert default_columns(n, k_min=100) == pytest.approx(k, rel=0.02)
    assert default_columns(5) == 5
    assert default_columns(15_700, k_min=10, m=0.87) < default_columns(15_700) < default_columns(15_700, k_min=316)


def test_memory_limits_the_number_of_columns():
    for n, limit in ((1000, 1e6), (500_000, 64e9)):
        k = columns_in_memory(n, limit)
        assert preconditioner_bytes(n, k) <= limit < preconditioner_bytes(n, k + 1)
    assert columns_in_memory(100, 1e12) == 100
    assert IterativeSettings(max_memory=1e6).rank(1000) == columns_in_memory(1000, 1e6) < default_columns(1000)
    with pytest.raises(ValueError, match="max_memory must hold at least one column"):
        columns_in_memory(1_000_000, 1e6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"preconditioner": "jacobi"}, "preconditioner must be one of rpcholesky"),
        ({"rtol": 0.0}, "rtol must be between 0 and 1"),
        ({"columns": 0}, "columns must be positive or None"),
    ],
)
def test_settings_that_mean_nothing_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        IterativeSettings(**arguments)


def test_shapes_that_do_not_fit_are_named(operator):
    with pytest.raises(ValueError, match=r"y and x must have shape \[120\]"):
        solve_iteratively(operator, vector(5), RIDGE)
