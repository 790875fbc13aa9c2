"""`pyff krr`: kernel ridge regression on Coulomb matrices."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from pyff._atomic import atomic_write
from pyff.cli.console import Console
from pyff.cli.fit import read_data, show_metrics
from pyff.cli.output import require_output
from pyff.cli.run_config import DataConfig
from pyff.data import Dataset
from pyff.errors import PyffError
from pyff.models.coulomb_krr import CoulombKRRConfig
from pyff.models.file import save
from pyff.train import Metrics, parity, predict, save_figure, size_curve
from pyff.train.krr import Grid, KRRProblem, learning_rows, nested_cv

__all__ = ["KRROptions", "run_curve", "run_cv", "run_krr_fit"]


@dataclass(frozen=True)
class KRROptions:
    """What the three commands share. sigmas, lams: as typed, None: a grid made for the data."""

    source: dict
    representation: str
    kernel: str
    baseline: str
    realizations: int
    sigmas: str | None
    lams: str | None
    inner: int
    seed: int


def run_krr_fit(console: Console, options: KRROptions, train: int | None, out: Path, overwrite: bool) -> int:
    """Choose sigma and lam by cross-validation, fit, test on the molecules left over, save; the exit code."""
    picture = out.with_suffix(".png")
    require_output(out, (".safetensors",), beside=(picture,), overwrite=overwrite)
    data, problem, grid = _problem(console, options)
    order = np.random.default_rng(options.seed).permutation(len(data))
    n = len(data) if train is None else train
    if not grid.folds <= n <= len(data):
        raise PyffError(f"--train must lie in {grid.folds}..{len(data)}; received {n}")
    index = np.sort(order[:n])
    with console.progress(len(grid.sigmas) * grid.folds, "fold") as show:
        sigma, lam, table = problem.best(index, grid, options.seed, _counter(show))
    _show_table(console, grid, table, data.units.of_label(problem.config.quantity))
    console.say(f"\nsigma {sigma:g}, lam {lam:g}")
    model = problem.fit(index, sigma, lam)
    model.info = {"n_train": n, "data": list(options.source["files"]), "units": str(data.units), "seed": options.seed}
    save(model, out)
    rest = data.subset(order[n:])
    errors = {}
    if len(rest):
        predictions = predict(model, rest)
        metrics = Metrics.of(predictions, data.units)
        errors = metrics.as_dict()
        console.heading("Test")
        show_metrics(console, metrics)
        save_figure(picture, [parity(predictions, problem.config.quantity, data.units)])
    console.facts([(str(out), f"the model of {n} molecules: pyff.load('{out}')")])
    console.result(model=out, sigma=sigma, lam=lam, n_train=n, n_test=len(rest), errors_eV_A=errors)
    return 0


def run_cv(console: Console, options: KRROptions, folds: int) -> int:
    """Nested cross-validation; the exit code."""
    data, problem, grid = _problem(console, options)
    with console.progress(folds * len(grid.sigmas) * grid.folds, "fold") as show:
        results = nested_cv(problem, grid, folds, options.seed, _counter(show))
    factor, unit = data.units.of_label(problem.config.quantity)
    rows = [
        (str(k), r.n_train, r.n_test, r.sigma, r.lam, r.mae / factor, r.rmse / factor) for k, r in enumerate(results)
    ]
    mae, rmse = (np.array([getattr(r, name) for r in results]) / factor for name in ("mae", "rmse"))
    console.table(("fold", "train", "test", "sigma", "lam", f"MAE ({unit})", f"RMSE ({unit})"), rows)
    console.text(
        f"MAE {mae.mean():.4g} +- {mae.std(ddof=1):.2g}, RMSE {rmse.mean():.4g} +- {rmse.std(ddof=1):.2g} {unit}"
    )
    console.result(folds=[asdict(r) for r in results], unit=unit, mae=float(mae.mean()), rmse=float(rmse.mean()))
    return 0


def run_curve(
    console: Console, options: KRROptions, sizes: Sequence[int], test: int, out: Path, overwrite: bool
) -> int:
    """Learning curve with its picture; the exit code."""
    picture = out.with_suffix(".png")
    require_output(out, (".json",), beside=(picture,), overwrite=overwrite)
    data, problem, grid = _problem(console, options)
    with console.progress(len(sizes) * len(grid.sigmas) * grid.folds, "fold") as show:
        rows = learning_rows(problem, sizes, test, grid, options.seed, _counter(show))
    kind = problem.config.quantity
    factor, unit = data.units.of_label(kind)
    errors = [[row["errors_eV_A"][f"{kind}_{error}"] / factor for error in ("mae", "rmse")] for row in rows]
    shown = [(r["model"], r["n_train"], r["sigma"], r["lam"], *e) for r, e in zip(rows, errors)]
    console.table(("model", "train", "sigma", "lam", f"MAE ({unit})", f"RMSE ({unit})"), shown)
    atomic_write(out, json.dumps(rows, indent=2) + "\n")
    save_figure(picture, [size_curve(rows, kind, data.units)], size=4.6)
    console.say(f"written: {out}, {picture}")
    console.result(points=rows, unit=unit)
    return 0


def _problem(console: Console, options: KRROptions) -> tuple[Dataset, KRRProblem, Grid]:
    data = read_data(DataConfig(**{**options.source, "files": [str(f) for f in options.source["files"]]}))
    console.say(data.describe())
    if not len(data):
        raise PyffError("there are no molecules to learn from")
    config = CoulombKRRConfig(
        representation=options.representation, kernel=options.kernel, baseline=options.baseline, sigma=1.0,
        size=max(len(s) for s in data), realizations=options.realizations, seed=options.seed,
        quantity="target" if options.source.get("target_key") else "energy",
    )  # fmt: skip
    problem = KRRProblem(data, config)
    grid = problem.default_grid(options.inner)
    chosen = {name: _numbers(name, text) for name, text in (("sigmas", options.sigmas), ("lams", options.lams)) if text}
    return data, problem, Grid(**{**asdict(grid), **chosen})


def _numbers(name: str, text: str) -> tuple[float, ...]:
    try:
        numbers = tuple(sorted({float(part) for part in text.split(",")}))
    except ValueError:
        numbers = ()
    if not numbers or not all(0 < x < np.inf for x in numbers):
        raise PyffError(f"--{name.rstrip('s')} must be positive numbers such as 512,1024; received {text!r}")
    return numbers


def _counter(show):
    """A function that moves the progress bar one step at each call."""
    done = iter(range(1, 1 << 62))
    return lambda: show(next(done), "")


def _show_table(console: Console, grid: Grid, table, scale: tuple[float, str]) -> None:
    factor, unit = scale
    rows = [(f"{sigma:g}", *(float(x) / factor for x in row)) for sigma, row in zip(grid.sigmas, table)]
    console.table(("sigma", *(f"lam {lam:g}" for lam in grid.lams)), rows, title=f"cross-validated RMSE ({unit})")
