"""The linear system of a GDML model solved by conjugate gradients, without its matrix."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pyff.solvers import IterativeSettings, Progress, Solution, solve_iteratively
from pyff.train.gdml.operator import GdmlOperator
from pyff.train.gdml.system import LinearSystem
from pyff.train.gdml.task import GdmlTask, Start

__all__ = ["solve_iterative"]

GIB = 2**30
_SHOW_SECONDS = 0.1


def solve_iterative(
    task: GdmlTask, system: LinearSystem, *, settings: IterativeSettings | None = None, max_memory: float | None = None,
    progress: Callable[[str, float, float], None] = lambda stage, done, total: None,
    say: Callable[[str], None] = print, checkpoint: Callable[[Tensor, dict[str, Any]], None] | None = None,
) -> tuple[Tensor, dict[str, Any]]:  # fmt: skip
    """beta [n] with (K + lam I) beta = y to a tolerance, and what sGDML's model files keep of the solver.

    A task made from an unfinished model starts from its coefficients and the columns of its preconditioner.

    Args:
        max_memory: GiB for the preconditioner, unless the settings have a limit.
        progress: called as progress(stage, done, total), done / total on a logarithmic scale of the residual.
        say: called with a sentence about the preconditioner, and if the tolerance was not reached.
        checkpoint: called with (beta, info) of an unfinished solution now and then, and on Ctrl-C.

    Raises:
        KeyboardInterrupt: on Ctrl-C, after the step in hand and the checkpoints.

    Returns:
        beta, and solver_tol, solver_iters, solver_resid (converged: <= solver_tol * norm_y_train), norm_y_train,
        inducing_pts_idxs.
    """
    settings = settings or IterativeSettings()
    if settings.max_memory is None and max_memory is not None:
        settings = replace(settings, max_memory=max_memory * GIB)
    operator = GdmlOperator(system.x, system.g, system.perms, system.kernel, energies=system.energies)
    x, columns = _start(task.start, system)
    if settings.checkpoint is not None and Path(settings.checkpoint).exists():
        say(f"conjugate gradients, going on from {settings.checkpoint}")
    else:
        k = settings.rank(operator.size) if columns is None else len(columns)
        say(f"conjugate gradients, {settings.preconditioner} preconditioner of {k} of {operator.size} columns")
    earlier = 0 if task.start is None else task.start.solver_iters

    def snapshot(s: Solution) -> None:
        if checkpoint is not None and s.iterations:  # before the first step there is nothing to keep
            checkpoint(s.x, _info(s, earlier))

    solution = solve_iteratively(
        operator, system.y, system.lam, settings, x=x, columns=columns, progress=_Show(progress, settings.rtol),
        snapshot=snapshot,
    )  # fmt: skip
    if solution.interrupted:
        raise KeyboardInterrupt
    if not solution.converged:
        reached = solution.residual / solution.norm_y
        say(f"not converged after {solution.iterations} steps: residual {reached:.1e} of {solution.rtol:.0e}")
    return solution.x, _info(solution, earlier)


def _start(start: Start | None, system: LinearSystem) -> tuple[Tensor | None, Tensor | None]:
    """beta, and the columns of the preconditioner, of an unfinished model."""
    if start is None:
        return None, None
    parts = [-torch.as_tensor(start.alphas_F, dtype=torch.float64).reshape(-1)]
    if system.energies:
        if start.alphas_E is None:
            raise ValueError("start.alphas_E must be given for a task with energy constraints; received None")
        parts.append(torch.as_tensor(start.alphas_E, dtype=torch.float64).reshape(-1))
    beta = torch.cat(parts).to(system.x.device)
    indices = start.inducing_pts_idxs
    return beta, None if indices is None or len(indices) == 0 else torch.as_tensor(indices, dtype=torch.int64)


def _info(solution: Solution, earlier: int) -> dict[str, Any]:
    return {
        "solver_tol": solution.rtol,
        "solver_iters": earlier + solution.iterations,
        "solver_resid": solution.residual,
        "norm_y_train": solution.norm_y,
        "inducing_pts_idxs": solution.columns.cpu().numpy(),
    }


class _Show:
    """The solver's progress as stage, done, total, a few times per second."""

    def __init__(self, progress: Callable[[str, float, float], None], rtol: float) -> None:
        self._progress, self._rtol, self._shown = progress, rtol, 0.0

    def __call__(self, p: Progress) -> None:
        now = time.monotonic()
        if now - self._shown < _SHOW_SECONDS:
            return
        self._shown = now
        if p.stage != "steps":
            self._progress(f"preconditioner, {p.stage}", p.done, max(1, p.total))
            return
        left = f"{p.seconds_left:.0f} s left" if math.isfinite(p.seconds_left) else "time left unknown"
        text = (
            f"step {p.done}, residual {p.residual:.1e} of {self._rtol:.0e}, {p.columns} columns, {p.rate:.3g} steps/s"
        )
        share = math.log(max(p.residual, self._rtol)) / math.log(self._rtol)
        self._progress(f"{text}, {left},", max(0.0, share), 1.0)
