"""`pyff gdml select`: the best model of a folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pyff.cli.console import Console
from pyff.cli.gdml_create import sgdml_files
from pyff.cli.gdml_show import force_unit, number, stored_errors
from pyff.errors import PyffError
from pyff.interfaces.sgdml import read_sgdml, write_sgdml
from pyff.models.gdml.sgdml_file import text_of
from pyff.train.gdml.search import DEFAULT_LAM, best_of, edge_warning, ridge_warning

__all__ = ["Validated", "select_model", "validation_errors"]

Errors = dict[str, float]  # "mae", "rmse"


class Validated(NamedTuple):
    """A validated model."""

    sigma: float
    lam: float
    energy: Errors | None
    forces: Errors
    path: Path

    @property
    def rmse(self) -> float:
        """Of the forces, what a search makes small."""
        return self.forces["rmse"]


def validation_errors(folder: Path) -> list[Validated]:
    """The validated models of a folder, ascending in sigma and lambda.

    Raises PyffError for models of different points, and for tested ones: their errors are those of a test.
    """
    rows, points = [], set()
    for path in sgdml_files(folder, "m"):
        arrays = read_sgdml(path, "m")
        if number(arrays, "n_test"):
            raise PyffError(
                f"{path.name} has been tested: its file holds test errors, and a model must not be chosen by those. "
                f"`pyff gdml validate -o {folder} DATASET` puts the validation errors back"
            )
        names = ("idxs_train", "idxs_valid", "md5_train", "md5_valid")
        points.add(tuple(np.sort(arrays[k], axis=None).tobytes() for k in names))
        if errors := stored_errors(arrays, "f_err"):
            lam = number(arrays, "lam")
            rows.append(Validated(number(arrays, "sig"), DEFAULT_LAM if lam is None else lam,
                                  stored_errors(arrays, "e_err"), errors, path))  # fmt: skip
    if len(points) > 1:
        raise PyffError(f"{folder} must hold models of the same training and validation points; they differ")
    return sorted(rows, key=lambda row: (row.sigma, row.lam))


def select_model(
    console: Console, folder: Path, model_file: Path | None, *, overwrite: bool, clean: bool
) -> Path:  # fmt: skip
    """Print the errors, copy the best model unless that has been done; its file."""
    rows = validation_errors(folder)
    every = sgdml_files(folder, "m")
    if not rows:
        raise PyffError(f"{folder} must hold validated models; of {len(every)} none is. `pyff gdml validate` does it")
    if len(rows) < len(every):
        console.warn(f"{len(every) - len(rows)} models have not been validated, and are left out")
    best = best_of(rows)
    _table(console, rows, best)
    for warning in (
        edge_warning([row.sigma for row in rows], best.sigma),
        ridge_warning([row.lam for row in rows if row.sigma == best.sigma], best.lam),
    ):
        if warning:
            console.warn(warning)
    arrays = read_sgdml(best.path, "m")
    target = _target(arrays, model_file)
    if target.exists() and not overwrite:
        if not _is_copy(target, arrays):
            raise PyffError(f"{target} exists: --overwrite replaces it, --model_file names another")
        console.say(f"{target} is that model already")
    else:
        write_sgdml(target, arrays)
        console.say(f"{target}: the model with sigma {best.sigma:g}")
    if clean:
        for path in sgdml_files(folder, "t") + every:
            path.unlink()
        if not any(folder.iterdir()):
            folder.rmdir()
    return target


def _is_copy(path: Path, arrays: dict) -> bool:
    """Whether a file holds these coefficients; errors and tests may differ."""
    found = read_sgdml(path)
    return all(np.array_equal(found.get(k), arrays[k]) for k in ("R_desc", "R_d_desc_alpha", "sig", "c", "perms"))


def _target(arrays: dict, model_file: Path | None) -> Path:
    if model_file is not None:
        return model_file if model_file.suffix == ".npz" else Path(f"{model_file}.npz")
    theory = re.sub(r"\.\.", ".", re.sub(r"[^\w\-_.]", ".", text_of(arrays.get("dataset_theory")) or "unknown"))
    name = text_of(arrays.get("dataset_name")) or "unknown"
    return Path(f"{name}-{theory}-train{np.size(arrays['idxs_train'])}-sym{len(arrays['perms'])}.npz")


def _table(console: Console, rows: list[Validated], best: Validated) -> None:
    several = len(rows) > len({row.sigma for row in rows})
    table = []
    for row in rows:
        energy = ["-", "-"] if row.energy is None else [row.energy["mae"], row.energy["rmse"]]
        ridge = [f"{row.lam:g}"] if several else []
        mark = "<- best" if row is best else ""
        table.append([f"{row.sigma:g}", *ridge, *energy, row.forces["mae"], row.rmse, mark])
    energy_unit, force = force_unit(read_sgdml(best.path, "m"))
    ridge = ["lambda"] if several else []
    console.table(["sigma", *ridge, "energy MAE", "RMSE", "forces MAE", "RMSE", ""], table,
                  f"validation errors, {energy_unit} and {force}" if force else "validation errors")  # fmt: skip
