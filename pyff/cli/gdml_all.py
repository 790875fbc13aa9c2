"""`pyff gdml all`: from a data set to a tested model, and a picture."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from pyff._figure import save_figure
from pyff.cli.console import Console
from pyff.cli.gdml_create import CreateOptions, create_tasks, file_name, sgdml_files, write_task
from pyff.cli.gdml_select import Validated, select_model, validation_errors
from pyff.cli.gdml_show import force_unit, stored_errors
from pyff.cli.gdml_test import ModelFile, test_models
from pyff.cli.gdml_train import TrainOptions, train_one, train_tasks
from pyff.interfaces.sgdml import read_sgdml
from pyff.interfaces.sgdml.training import task_of_arrays
from pyff.train.gdml import GdmlTask
from pyff.train.gdml.plots import scatter, sigma_curve
from pyff.train.gdml.search import best_of, refine

__all__ = ["run_all"]

MOST_SHOWN = 500  # frames in the picture


class _Tried(NamedTuple):
    sigma: float
    rmse: float


def run_all(
    console: Console, options: CreateOptions, training: TrainOptions, test_dataset: Path, n_test: int,
    model_file: Path | None, *, refine: bool, clean: bool,
) -> int:  # fmt: skip
    """Create, train, select, test; the exit code."""
    console.heading("STEP 1  tasks")
    folder = create_tasks(console, options)
    console.heading("STEP 2  training and validation")
    train_tasks(console, folder, training)
    if refine:
        _refine(console, folder, training)
    console.heading("STEP 3  selection")
    validated = validation_errors(folder)
    chosen = select_model(console, folder, model_file, overwrite=options.overwrite, clean=clean)
    console.heading("STEP 4  test")
    errors = None
    if _unseen(chosen, test_dataset).size:
        errors = test_models(console, chosen, test_dataset, n_test, overwrite=False, seed=options.seed,
                             device=training.device)[chosen.name]  # fmt: skip
    else:
        console.warn("no test: the data set has no points that were neither trained nor validated on")
    picture = _picture(chosen, test_dataset, _curve(validated))
    console.heading("Files")
    files = [(str(chosen), f"the model: pyff.Calculator('{chosen}')"), (str(picture), "errors")]
    if not clean:
        files.append((str(folder), "tasks and models of all length scales; no longer needed"))
    console.facts(files)
    console.result(model=chosen, picture=picture, task_dir=folder, test=errors,
                   validation=[{"sigma": v.sigma, "lam": v.lam, "forces_rmse": v.rmse} for v in validated])  # fmt: skip
    return 0


def _curve(validated: Sequence[Validated]) -> list[tuple[float, float]]:
    """(sigma, error with its best ridge), ascending."""
    groups = itertools.groupby(validated, key=lambda v: v.sigma)
    return [(sigma, best_of(list(group)).rmse) for sigma, group in groups]


def _refine(console: Console, folder: Path, options: TrainOptions) -> None:
    """Train more tasks of the folder, with length scales around the best one and the ridges of the folder."""
    data = read_sgdml(options.valid_dataset, "d")
    tasks = [task_of_arrays(read_sgdml(path, "t")) for path in sgdml_files(folder, "t")]
    lams = sorted({task.config.lam for task in tasks})

    def train(sigma: float) -> _Tried:
        console.heading(f"refinement: sigma {sigma:g}")
        return _Tried(sigma, min(rmse(tasks[0].with_sigma(sigma, lam)) for lam in lams))

    def rmse(task: GdmlTask) -> float:
        write_task(folder, task)
        path = train_one(console, folder / file_name("task", task), task, data, options)
        return stored_errors(read_sgdml(path, "m"), "f_err")["rmse"]

    refine(train, [_Tried(*point) for point in _curve(validation_errors(folder))])


def _unseen(model: Path, dataset: Path) -> np.ndarray:
    """Frames of a data set that a model was neither trained nor validated on."""
    file, data = ModelFile.read(model), read_sgdml(dataset, "d")
    seen = [file.indices(what) for what in ("train", "valid") if file.is_from(data, what)]
    return np.setdiff1d(np.arange(len(data["R"])), np.concatenate([np.empty(0, np.int64), *seen]))


def _picture(model: Path, dataset: Path, curve: list[tuple[float, float]]) -> Path:
    """Validation errors against sigma; labels and predictions of frames that the model has not seen, or of all."""
    file, data = ModelFile.read(model), read_sgdml(dataset, "d")
    unseen = _unseen(model, dataset)
    frames = unseen if unseen.size else np.arange(len(data["R"]))
    frames = frames[np.linspace(0, len(frames) - 1, min(len(frames), MOST_SHOWN)).astype(int)]
    energy, forces = file.model.predict(torch.as_tensor(np.asarray(data["R"][frames], float)))
    unit, force = force_unit(file.arrays)
    panels = [sigma_curve(*zip(*curve), force)] if len(curve) > 1 else []
    if file.uses_energies and "E" in data:
        label = np.ravel(data["E"])[frames]
        panels.append(scatter(energy.numpy() - label.mean(), label - label.mean(), "energy, mean removed", unit))
    panels.append(scatter(forces.numpy(), data["F"][frames], f"force components, {len(frames)} frames", force))
    path = model.with_suffix(".png")
    save_figure(path, panels, columns=3)
    return path
