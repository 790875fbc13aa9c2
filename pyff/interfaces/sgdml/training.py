"""Data sets, tasks and trained models of `pyff.train.gdml` as the arrays of sGDML's files, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pyff.errors import PyffError
from pyff.interfaces.sgdml.files import CODE_VERSION, fingerprint
from pyff.models.gdml import GDMLConfig
from pyff.models.gdml.sgdml_file import DEFAULT_UNITS, arrays_of_cell, arrays_of_model, cell_and_images, text_of
from pyff.train.gdml import GdmlData, GdmlErrors, GdmlTask, Source, Start, Trained

__all__ = ["arrays_of_task", "arrays_of_trained", "data_of_arrays", "task_from_model", "task_of_arrays"]

Arrays = Mapping[str, Any]


def data_of_arrays(arrays: Arrays) -> GdmlData:
    """Frames of a data set file. Units that it does not state stay unknown."""
    lattice = arrays.get("lattice")
    return GdmlData(
        Z=np.ravel(arrays["z"]), pos=np.asarray(arrays["R"]), forces=np.asarray(arrays["F"]),
        energy=np.ravel(arrays["E"]) if "E" in arrays else None,
        cell=None if lattice is None else np.asarray(lattice, float).T,
        perms=np.asarray(arrays["perms"], np.int64) if "perms" in arrays else None,
        name=text_of(arrays.get("name")) or "unknown", theory=text_of(arrays.get("theory")) or "unknown",
        energy_unit=text_of(arrays.get("e_unit")), length_unit=text_of(arrays.get("r_unit")), md5=fingerprint(arrays),
    )  # fmt: skip


def arrays_of_task(task: GdmlTask) -> dict[str, Any]:
    """The arrays of a task file. Raises PyffError for a kernel that sGDML does not have."""
    if task.config.profile != "matern52":
        raise PyffError(f"sGDML's files know the matern52 kernel only; this task has {task.config.profile}")
    arrays = {
        "type": "t", "code_version": CODE_VERSION, **_source(task.source), "z": np.asarray(task.Z, np.uint8),
        "R_train": task.pos, "F_train": task.forces, **_hyperparameters(task),
        "use_E": task.use_energy != "none", "use_E_cstr": task.use_energy == "constraints",
        "use_sym": len(task.perms) > 1, "perms": task.perms,
    }  # fmt: skip
    if task.use_energy != "none":
        arrays["E_train"] = task.energy
    if task.start is not None:
        start = task.start
        optional = {"alphas0_E": start.alphas_E, "inducing_pts_idxs": start.inducing_pts_idxs}
        arrays |= {"alphas0_F": np.ravel(start.alphas_F), "solver_iters": start.solver_iters}
        arrays |= {k: v for k, v in optional.items() if v is not None}
    return arrays


def task_of_arrays(arrays: Arrays) -> GdmlTask:
    """The task in a task file; periodic images are sGDML's (by rounding) where the file names no others."""
    flag = lambda name, default: bool(np.squeeze(arrays.get(name, default)))  # noqa: E731
    use_energy = "constraints" if flag("use_E_cstr", False) else "constant"
    start = None
    if "alphas0_F" in arrays:
        start = Start(
            np.asarray(arrays["alphas0_F"], float).reshape(np.shape(arrays["R_train"])),
            np.ravel(arrays["alphas0_E"]) if "alphas0_E" in arrays else None,
            solver_iters=int(np.squeeze(arrays.get("solver_iters", 0))),
            inducing_pts_idxs=arrays.get("inducing_pts_idxs"),
        )
    return GdmlTask(
        config=_config(arrays), Z=np.ravel(arrays["z"]).astype(np.int64),
        pos=np.asarray(arrays["R_train"], float), forces=np.asarray(arrays["F_train"], float),
        energy=np.asarray(arrays["E_train"], float).ravel() if "E_train" in arrays else None,
        perms=np.asarray(arrays["perms"], np.int64), use_energy=use_energy if flag("use_E", True) else "none",
        source=_source_of(arrays), start=start,
    )  # fmt: skip


def task_from_model(model: Arrays, dataset: Arrays) -> GdmlTask:
    """The task that goes on from a model file, with the frames of its data set."""
    frames = np.asarray(model["idxs_train"], np.int64)
    task = {
        **{k: v for k, v in model.items() if k not in ("E_train", "R_train", "F_train")},
        "R_train": dataset["R"][frames], "F_train": dataset["F"][frames], "use_E_cstr": "alphas_E" in model,
    }  # fmt: skip
    if "E" in dataset:
        task["E_train"] = np.ravel(dataset["E"])[frames]
    for name in ("alphas_F", "alphas_E"):
        if name in model:
            task[name.replace("alphas", "alphas0")] = model[name]
    return task_of_arrays(task)


def arrays_of_trained(trained: Trained, errors: GdmlErrors | None = None) -> dict[str, Any]:
    """The arrays of a model file. errors: on the validation points, where they are known."""
    task, model = trained.task, trained.model
    use_energy = task.use_energy != "none"
    unknown = {"mae": np.nan, "rmse": np.nan}
    arrays = {
        "type": "m", "code_version": CODE_VERSION, **_source(task.source), "solver_name": trained.solver,
        "n_test": 0, "md5_test": None, "f_err": vars(errors.forces).copy() if errors else unknown,
        **{k: v for k, v in arrays_of_model(model).items() if k not in ("r_unit", "e_unit", "alphas_E")},
        **_hyperparameters(task), "lam": trained.lam, "alphas_F": trained.alphas_F.reshape(-1), "use_E": use_energy,
        **trained.solver_info,
    }  # fmt: skip
    if use_energy:
        arrays["e_err"] = vars(errors.energy).copy() if errors and errors.energy else dict(unknown)
    if trained.alphas_E is not None:
        arrays["alphas_E"] = trained.alphas_E
    return arrays


def _source(source: Source) -> dict[str, Any]:
    arrays = {
        "dataset_name": source.name, "dataset_theory": source.theory, "idxs_train": source.train,
        "md5_train": source.train_md5.encode(), "idxs_valid": source.valid, "md5_valid": source.valid_md5.encode(),
    }  # fmt: skip
    if source.energy_unit and source.length_unit:
        arrays |= {"r_unit": source.length_unit, "e_unit": source.energy_unit}
    return arrays


def _source_of(arrays: Arrays) -> Source:
    index = lambda name: np.asarray(arrays.get(name, np.empty(0)), np.int64)  # noqa: E731
    text = lambda name, default="": text_of(arrays.get(name)) or default  # noqa: E731
    return Source(
        index("idxs_train"), index("idxs_valid"), text("md5_train"), text("md5_valid"),
        text("dataset_name", "unknown"), text("dataset_theory", "unknown"), text("e_unit") or None,
        text("r_unit") or None,
    )  # fmt: skip


def _hyperparameters(task: GdmlTask) -> dict[str, Any]:
    config = task.config
    sigma = int(config.sigma) if config.sigma.is_integer() else config.sigma  # sgdml prints with %d
    return {"sig": sigma, "lam": config.lam, **arrays_of_cell(config)}


def _config(arrays: Arrays) -> GDMLConfig:
    energy, length = text_of(arrays.get("e_unit")), text_of(arrays.get("r_unit"))
    known = energy and length
    return GDMLConfig(
        sigma=float(np.squeeze(arrays["sig"])), lam=float(np.squeeze(arrays.get("lam", 1e-10))),
        **cell_and_images(arrays),
        energy_unit=energy if known else DEFAULT_UNITS.energy, length_unit=length if known else DEFAULT_UNITS.length,
    )  # fmt: skip
