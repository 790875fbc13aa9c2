"""`pyff gdml train` and `pyff gdml resume`: models of tasks, validated."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pyff.cli.console import Console
from pyff.cli.gdml_create import file_name, sgdml_files
from pyff.cli.gdml_show import number, stored_errors
from pyff.cli.gdml_test import ModelFile, compute_errors
from pyff.errors import PyffError
from pyff.interfaces.sgdml import dataset_md5, fingerprint, read_sgdml, write_sgdml
from pyff.interfaces.sgdml.training import arrays_of_trained, task_from_model, task_of_arrays
from pyff.models.gdml.sgdml_file import text_of
from pyff.solvers import IterativeSettings
from pyff.train.gdml import GdmlTask, Trained, train_task

__all__ = ["TrainOptions", "next_step", "resume_model", "train_one", "train_tasks"]


@dataclass(frozen=True)
class TrainOptions:
    """Options of the commands."""

    valid_dataset: Path
    lazy: bool
    overwrite: bool
    max_memory: float | None
    device: str
    solver: str = "auto"
    preconditioner: str = "rpcholesky"
    columns: int | None = None

    def iterative(self, unfinished: Path) -> IterativeSettings:
        """Of the iterative solver; its checkpoint lies beside the unfinished model."""
        return IterativeSettings(self.preconditioner, self.columns, checkpoint=self.checkpoint(unfinished))

    @staticmethod
    def checkpoint(unfinished: Path) -> Path:
        """Where the iterative solver of an unfinished model keeps its state."""
        return unfinished.with_name(f"_solver_{unfinished.stem.removeprefix('_unconv_')}.ckpt")


def train_tasks(console: Console, path: Path, options: TrainOptions) -> list[Path]:
    """Train the tasks of a folder, or one, until the validation errors rise; the models, ascending in sigma and ridge.

    A sigma is judged by the best of its ridges.
    """
    paths = sgdml_files(path, "t") if path.is_dir() else [path]
    if not paths:
        raise PyffError(f"{path} must hold training tasks; it holds none. `pyff gdml create` makes them")
    tasks = [(p, task_of_arrays(read_sgdml(p, "t"))) for p in paths]
    tasks.sort(key=lambda pair: (pair[1].config.sigma, pair[1].config.lam))
    data, models, before, left = read_sgdml(options.valid_dataset, "d"), [], np.inf, len(tasks)
    for _, group in itertools.groupby(enumerate(tasks, 1), key=lambda item: item[1][1].config.sigma):
        here = []
        for k, (task_path, task) in group:
            left = len(tasks) - k
            console.heading(f"task {k} of {len(tasks)}: {_about(task, tasks)}")
            if options.lazy and len(tasks) > 1 and _was_tried(task_path) and not _model_path(task_path, task).exists():
                console.warn("skipped: it was tried before without success")
                continue
            here.append(train_one(console, task_path, task, data, options))
        if not here:
            continue
        models += here
        error, best = min((stored_errors(read_sgdml(p, "m"), "f_err")["rmse"], p) for p in here)
        if error > before:
            if left:
                console.say(f"\nskipping the remaining {left} tasks: the validation error rises again")
            break
        before = error if _is_converged(best) or before < np.inf else np.inf
    if not models:
        raise PyffError("no model was trained: all tasks were tried before without success. Try without --lazy")
    return models


def _about(task: GdmlTask, tasks: list[tuple[Path, GdmlTask]]) -> str:
    """Points, sigma and, where the tasks differ in it, lambda."""
    points = f"{len(task.pos):,} + {len(task.source.valid):,} points (training + validation)"
    several = len({other.config.lam for _, other in tasks}) > 1
    return f"{points}, sigma {task.config.sigma:g}" + (f", lambda {task.config.lam:g}" if several else "")


def train_one(console: Console, task_path: Path, task: GdmlTask, data: dict, options: TrainOptions) -> Path:
    """Train and validate a task unless that has been done; the model file."""
    path = _model_path(task_path, task)
    if path.exists() and not options.overwrite:
        console.say(f"{path.name} exists; --overwrite trains it again")
    else:
        write_sgdml(task_path, read_sgdml(task_path, "t") | {"tried_training": np.array(True)})
        unfinished = path.with_name(f"_unconv_{path.name}")
        if options.overwrite:
            options.checkpoint(unfinished).unlink(missing_ok=True)
        trained = _train(console, task, options, unfinished)
        write_sgdml(path, arrays_of_trained(trained))
        unfinished.unlink(missing_ok=True)
    file = ModelFile.read(path)
    if not stored_errors(file.arrays, "f_err"):
        _validate(console, file, data)
    return path


def resume_model(console: Console, model: Path, dataset: Path, options: TrainOptions) -> None:
    """Go on with an iterative solver, then validate."""
    arrays, data = read_sgdml(model, "m"), read_sgdml(dataset, "d")
    valid = read_sgdml(options.valid_dataset, "d")
    for what, frames, path in (("train", data, dataset), ("valid", valid, options.valid_dataset)):
        if text_of(arrays.get(f"md5_{what}")) not in (fingerprint(frames), dataset_md5(frames)):
            raise PyffError(f"{path.name} must be the data set whose points {model.name} names (md5_{what}); it is not")
    if text_of(arrays.get("solver_name")) == "analytic":
        raise PyffError(f"{model.name} was trained in closed form: there is nothing left to converge")
    if _is_converged(model):
        console.warn("the model has converged to the tolerance of its solver")
    else:
        trained = _train(console, task_from_model(arrays, data), replace(options, solver="iterative"), model)
        write_sgdml(model, arrays_of_trained(trained))
    file = ModelFile.read(model)
    if not stored_errors(file.arrays, "f_err") or options.overwrite:
        _validate(console, file, valid)


def next_step(models: list[Path], dataset: Path) -> str:
    """The command that usually follows a training."""
    one = len(models) == 1
    return f"pyff gdml test {models[0]} {dataset}" if one else f"pyff gdml select {models[0].parent}"


def _train(console: Console, task: GdmlTask, options: TrainOptions, unfinished: Path) -> Trained:
    try:
        with console.progress(100, unit="") as shown:
            trained = train_task(
                task, solver=options.solver, iterative=options.iterative(unfinished), max_memory=options.max_memory,
                device=options.device, say=console.say,
                progress=lambda stage, done, total: shown(100 * done / total, f"{stage} {100 * done / total:.0f} %"),
                checkpoint=lambda t: write_sgdml(unfinished, arrays_of_trained(t)),
            )  # fmt: skip
    except KeyboardInterrupt:
        if options.checkpoint(unfinished).exists():
            console.warn("stopped; the same command goes on with the next step")
        raise
    console.say(f"trained on {len(task.pos):,} points in {trained.seconds:.1f} s")
    for text in trained.labels.warnings() if trained.labels else ():
        console.warn(text)
    return trained


def _validate(console: Console, file: ModelFile, data: dict) -> None:
    if not file.is_from(data, "valid"):
        raise PyffError(
            f"the validation data set must be that of the task, {text_of(file.arrays.get('md5_valid'))}; received "
            f"{fingerprint(data)}. The model is trained: `pyff gdml validate {file.path} DATASET`"
        )
    errors = compute_errors(console, file, data, file.indices("valid"), "validation")
    energy = "" if errors.energy is None else f"energy {errors.energy.mae:.3f}/{errors.energy.rmse:.3f}, "
    console.say(f"validation errors (MAE/RMSE): {energy}forces {errors.forces.mae:.3f}/{errors.forces.rmse:.3f}")
    file.write(errors)


def _model_path(task_path: Path, task: GdmlTask) -> Path:
    return task_path.with_name(file_name("model", task))


def _was_tried(path: Path) -> bool:
    return bool(np.squeeze(read_sgdml(path, "t").get("tried_training", False)))


def _is_converged(path: Path) -> bool:
    arrays = read_sgdml(path, "m")
    values = [number(arrays, k) for k in ("solver_resid", "solver_tol", "norm_y_train")]
    return None in values or values[0] <= values[1] * values[2]
