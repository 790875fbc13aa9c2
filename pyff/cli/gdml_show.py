"""`pyff gdml show`: what a file of sGDML holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pyff.cli.console import Console
from pyff.interfaces.sgdml import fingerprint, kind_of, read_sgdml
from pyff.models.gdml.sgdml_file import text_of, with_names_of_today

__all__ = ["force_unit", "number", "run_show", "stored_errors"]

Rows = list[tuple[str, str]]


def run_show(console: Console, path: Path) -> int:
    """Print; the exit code."""
    arrays = with_names_of_today(read_sgdml(path))
    kind = kind_of(arrays)
    rows = {"d": _dataset, "t": _task, "m": _model}[kind](arrays)
    console.heading({"d": "data set", "t": "task", "m": "model"}[kind] + f" {path.name}")
    console.facts(rows)
    console.result(kind=kind, **{name.strip(): value for name, value in rows})
    return 0


def number(arrays: Mapping[str, np.ndarray], name: str) -> float | None:
    """A single number by name; None where there is none."""
    value = arrays.get(name)
    return float(np.squeeze(value)) if value is not None and np.size(value) == 1 else None


def stored_errors(arrays: Mapping[str, np.ndarray], name: str) -> dict[str, float] | None:
    """{"mae", "rmse"} of a model file, e_err or f_err; None where they are not known yet."""
    value = arrays[name].item() if name in arrays and np.size(arrays[name]) == 1 else None
    if not isinstance(value, dict) and f"{name[0]}_mae" in arrays:  # files of 2018
        value = {k: number(arrays, f"{name[0]}_{k}") for k in ("mae", "rmse")}
    return value if isinstance(value, dict) and np.isfinite(list(value.values())).all() else None


def force_unit(arrays: Mapping[str, np.ndarray]) -> tuple[str, str]:
    """Names of the units of energies and of forces; "" where the file states none."""
    energy, length = text_of(arrays.get("e_unit")), text_of(arrays.get("r_unit"))
    return energy or "", f"{energy}/{length}" if energy and length else ""


def _bracket(unit: str) -> str:
    return f"[{unit or 'unit not stated'}]"


def _text(arrays: Mapping[str, Any], name: str) -> str:
    return text_of(arrays.get(name)) or "unknown"


def _atoms(arrays: Mapping[str, np.ndarray]) -> Rows:
    from ase.data import chemical_symbols
    from ase.formula import Formula

    symbols = [chemical_symbols[int(z)] for z in np.ravel(arrays["z"])]
    rows = [("atoms", f"{len(symbols)}, {Formula.from_list(symbols).format('hill')}: {' '.join(symbols)}")]
    if "lattice" in arrays:
        from ase.cell import Cell

        a, b, c, *angles = Cell(np.asarray(arrays["lattice"], float).T).cellpar()
        rows.append(("cell", f"{a:.4f} {b:.4f} {c:.4f}, angles " + " ".join(f"{x:.2f}" for x in angles)))
    if text_of(arrays.get("images")) == "search":
        rows.append(("images", "the true nearest; sgdml itself would round, and give wrong numbers"))
    return rows


def _spread(arrays: Mapping[str, np.ndarray], name: str, title: str, unit: str) -> Rows:
    x = np.asarray(arrays[name], float)
    return [(title, f"{x.min():.3f} to {x.max():.3f}, mean {x.mean():.3f}, variance {x.var():.3f} {_bracket(unit)}")]


def _dataset(arrays: Mapping[str, np.ndarray]) -> Rows:
    energy, force = force_unit(arrays)
    rows = [("name", _text(arrays, "name")), ("theory", _text(arrays, "theory")), *_atoms(arrays)]
    rows.append(("points", f"{len(arrays['R']):,}"))
    if "perms" in arrays:
        rows.append(("symmetries", f"{len(arrays['perms'])} permutations in the file"))
    rows += _spread(arrays, "E", "energies", energy) if "E" in arrays else [("energies", "none")]
    return [*rows, *_spread(arrays, "F", "forces", force), ("fingerprint", fingerprint(arrays))]


def _hyperparameters(arrays: Mapping[str, np.ndarray]) -> Rows:
    rows = [("data", f"{_text(arrays, 'dataset_name')}, {_text(arrays, 'dataset_theory')}"), *_atoms(arrays)]
    perms = arrays.get("perms", arrays.get("train_perms"))
    rows += [("symmetries", f"{1 if perms is None else len(perms)}"), ("length scale", f"{number(arrays, 'sig'):g}")]
    lam = number(arrays, "lam")
    return rows if lam is None else [*rows, ("regularization", f"{lam:.0e}")]


def _points(arrays: Mapping[str, np.ndarray], what: str) -> str:
    return f"{np.size(arrays[f'idxs_{what}']):,} points of {_text(arrays, f'md5_{what}')}"


def _task(arrays: Mapping[str, np.ndarray]) -> Rows:
    use = "global integration constant" if arrays.get("use_E", True) else "none"
    if arrays.get("use_E_cstr", False):
        use = "pointwise energy constraints"
    rows = [*_hyperparameters(arrays), ("energies", use)]
    return rows + [(f"{what} on", _points(arrays, what)) for what in ("train", "valid") if f"idxs_{what}" in arrays]


def _model(arrays: Mapping[str, np.ndarray]) -> Rows:
    use = "pointwise energy constraints" if "alphas_E" in arrays else "global integration constant"
    rows = [*_hyperparameters(arrays), *_solver(arrays)]
    rows.append(("energies", use if arrays.get("use_E", True) else "none"))
    rows.append(("trained on", _points(arrays, "train") if "idxs_train" in arrays else "unknown points"))
    forces = stored_errors(arrays, "f_err")
    if "idxs_valid" in arrays:
        rows.append(("validated on", ("" if forces else "pending: ") + _points(arrays, "valid")))
    n_test = int(number(arrays, "n_test") or 0)
    rows.append(("tested on", f"{n_test:,} points of {_text(arrays, 'md5_test')}" if n_test else "pending"))
    units = dict(zip(("e_err", "f_err"), force_unit(arrays)))
    for name, title in (("e_err", "energies MAE/RMSE"), ("f_err", "forces MAE/RMSE")):
        if error := stored_errors(arrays, name):
            rows.append((title, f"{error['mae']:.4f}/{error['rmse']:.4f} {_bracket(units[name])}"))
    return rows


def _solver(arrays: Mapping[str, np.ndarray]) -> Rows:
    rows = [("solver", _text(arrays, "solver_name"))]
    tolerance, residual, norm = (number(arrays, k) for k in ("solver_tol", "solver_resid", "norm_y_train"))
    if None not in (tolerance, residual, norm):
        limit = tolerance * norm
        done = "converged" if residual <= limit else "NOT CONVERGED: pyff gdml resume"
        rows.append(("  residual", f"{residual:.1e}, to be {limit:.1e}: {done}"))
    if (steps := number(arrays, "solver_iters")) is not None:
        rows.append(("  iterations", f"{steps:.0f}"))
    if "inducing_pts_idxs" in arrays:
        rows.append(("  columns", f"{np.size(arrays['inducing_pts_idxs']):,} of the preconditioner"))
    return rows
