"""From a task to a model: solve, assemble the expansion, fix the constant of the energy, check the labels."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from pyff import ops
from pyff._memory import free_bytes_on
from pyff.models.gdml import GDML
from pyff.solvers import IterativeSettings
from pyff.train.gdml.closed_form import Progress, closed_form_bytes, solve_closed_form
from pyff.train.gdml.system import LinearSystem
from pyff.train.gdml.task import GdmlTask

__all__ = ["LabelCheck", "Trained", "choose_solver", "train_task"]

GIB = 2**30


@dataclass(frozen=True)
class LabelCheck:
    """How the energies of the integrated forces compare with the labels, on the training points.

    E_label = slope E_model + const by least squares, and the correlation of both.
    """

    slope: float
    correlation: float

    @classmethod
    def of(cls, predicted: np.ndarray, label: np.ndarray) -> LabelCheck:
        if len(label) < 2 or not (np.ptp(predicted) > 0 and np.ptp(label) > 0):
            return cls(1.0, 1.0)
        p, q = predicted - predicted.mean(), label - label.mean()
        return cls(float(p @ q / (p @ p)), float(p @ q / np.sqrt((p @ p) * (q @ q))))

    def warnings(self) -> list[str]:
        """What is probably wrong with the labels; too few training points give the same signs."""
        found = []
        if self.slope < 0:
            found.append(
                "the energies fall where the forces say they rise: the data may hold gradients instead of forces "
                "(other sign)"
            )
        if abs(self.slope - 1) > 0.1:
            found.append(
                f"the integrated forces have to be multiplied by {self.slope:.2f} to give the energies: check that "
                "forces and energies have the units that the data set states"
            )
        if self.correlation < 0.95:
            found.append(
                f"energies and integrated forces are only weakly correlated ({self.correlation:.2f}), which no unit "
                "explains: check that energies belong to these geometries and to the same level of theory, and that no "
                "frame is broken or there twice; regions that no training point connects have the same effect"
            )
        return found


@dataclass(frozen=True)
class Trained:
    """A model and how it was made.

    alphas_F [M, N, 3], alphas_E [M] or None: solution with the sign of sGDML's files (alpha = -beta for forces).
    solver: "analytic" or "cg", as the files say; solver_info: what an iterative solver leaves for its resumption.
    lam: the ridge that was used. labels: None without energies. seconds: of the solver.
    """

    model: GDML
    task: GdmlTask
    alphas_F: np.ndarray
    alphas_E: np.ndarray | None
    solver: str
    lam: float
    labels: LabelCheck | None
    seconds: float
    solver_info: dict[str, Any] = field(default_factory=dict)


def choose_solver(
    n_points: int, per_point: int, max_memory: float | None = None, device: torch.device | str = "cpu"
) -> str:
    """ "closed" where the matrix fits into max_memory (GiB; else what is free on the device), else "iterative"."""
    limit = free_bytes_on(torch.device(device)) if max_memory is None else max_memory * GIB
    return "closed" if closed_form_bytes(n_points, per_point) <= limit else "iterative"


def train_task(
    task: GdmlTask, *, solver: str = "auto", max_memory: float | None = None, device: torch.device | str = "cpu",
    progress: Progress = lambda stage, done, total: None, say: Callable[[str], None] = print,
    checkpoint: Callable[[Trained], None] | None = None, iterative: IterativeSettings | None = None,
) -> Trained:  # fmt: skip
    """Solve a task and return its model.

    Args:
        solver: "closed", "iterative", or "auto": closed form where its memory fits.
        max_memory: GiB that the solver may use; else what is free on the device.
        device: where the system is solved. The model is on the CPU.
        progress: called as progress(stage, done, total).
        say: called with sentences for the user.
        checkpoint: called with an unfinished model now and then, by the iterative solver.
        iterative: tolerance, preconditioner and checkpoint file of the iterative solver.
    """
    began = time.perf_counter()
    system = LinearSystem.of(task, device)
    if solver == "auto":
        solver = choose_solver(system.n_points, system.per_point, max_memory, system.x.device)
        say(_about(solver, system))
    if solver == "iterative":
        from pyff.train.gdml.iterative import solve_iterative

        save = checkpoint and (lambda beta, info: checkpoint(_trained(task, system, beta, "cg", began, info=info)))
        beta, info = solve_iterative(
            task, system, settings=iterative, max_memory=max_memory, progress=progress, say=say, checkpoint=save
        )
        return _trained(task, system, beta, "cg", began, info=info)
    if solver != "closed":
        raise ValueError(f"solver must be auto, closed or iterative; received {solver!r}")
    solved = solve_closed_form(system, progress, say)
    return _trained(task, system, solved.beta, "analytic", began, lam=solved.lam)


def _trained(task, system, beta, solver, began, lam=None, info=None) -> Trained:
    coef, coef_energy = system.coefficients(beta)
    forces, energies = system.split(beta)
    model = GDML(
        task.config, task.Z, train=system.x, coef=coef, perms=torch.as_tensor(task.perms, device=system.x.device),
        coef_energy=coef_energy, std=system.std,
    )  # fmt: skip
    labels = None
    if task.use_energy != "none":
        labels = _set_constant(model, task, system)
    to_numpy = lambda t: None if t is None else t.cpu().numpy()  # noqa: E731
    return Trained(
        model.cpu().eval(), task, to_numpy(-forces), to_numpy(energies), solver,
        system.lam if lam is None else lam, labels, time.perf_counter() - began, info or {},
    )  # fmt: skip


def _set_constant(model: GDML, task: GdmlTask, system: LinearSystem) -> LabelCheck:
    """c = mean(E - std E0) over the training points; with energy constraints the mean that was taken off the labels."""
    label = torch.as_tensor(task.energy, dtype=torch.float64)
    _, energy = ops.gdml_product(system.x, model.points, model.coef, system.perms, system.kernel, model.coef_energy)
    predicted = (model.std * energy).cpu()
    constant = label.mean() if system.energies else (label - predicted).mean()
    model.constant.copy_(constant)
    return LabelCheck.of(predicted.numpy(), label.numpy())


def _about(solver: str, system: LinearSystem) -> str:
    needs = closed_form_bytes(system.n_points, system.per_point)
    memory = f"{needs / GIB:.1f} GiB" if needs > GIB / 2 else f"{needs / 2**20:.0f} MiB"
    if solver == "closed":
        return f"closed form, {system.n_unknowns} unknowns, {memory}"
    return (
        f"iterative solver, {system.n_unknowns} unknowns: the closed form would need {memory} (--max_memory is "
        "its limit)"
    )
