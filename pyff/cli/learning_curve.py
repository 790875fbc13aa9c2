"""`pyff learning-curve`: errors against the number of training frames, at equal time and on the same frames."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pyff import __version__
from pyff._atomic import atomic_write
from pyff.cli import INTERRUPTED
from pyff.cli.console import Console
from pyff.cli.fit import fit_config, fit_model, read_data
from pyff.cli.output import require_folder
from pyff.cli.run_config import RunConfig
from pyff.data import Dataset, Split, split
from pyff.errors import PyffError
from pyff.train import save_figure, size_curve
from pyff.units import Units

__all__ = ["CurveOptions", "run_learning_curve", "training_sizes"]


@dataclass(frozen=True)
class CurveOptions:
    """Options of the command; sizes and models as typed, separated by commas."""

    files: tuple[Path, ...]
    units: str | None
    sizes: str
    models: str
    minutes: float
    out: Path
    valid: int
    test: int | None
    seed: int
    settings: tuple[str, ...]
    device: str


def run_learning_curve(console: Console, options: CurveOptions) -> int:
    """Train what is not trained yet, then write learning_curve.json and .png; the exit code."""
    sizes, models = training_sizes(options.sizes), _names(options.models)
    configs = [_config(options, model) for model in models]  # a misspelt name must not wait for the first training
    require_folder(options.out)
    data = read_data(configs[0].data)
    console.say(data.describe())
    splits = _nested_splits(data, sizes, options)
    rows = []
    for size in sizes:  # all models at one size first: a curve that is stopped can be compared
        for model in models:
            row = _point(console, options, model, data, splits[size])
            if row is None:
                console.warn("interrupted; the same command does what is left")
                return INTERRUPTED
            rows.append(row)
            _write(options, rows, data.units)
    _show(console, rows, data.units)
    console.say(f"curves in {options.out / 'learning_curve.png'}, numbers in {options.out / 'learning_curve.json'}")
    return 0


def training_sizes(text: str) -> list[int]:
    """Numbers of frames as typed, ascending."""
    try:
        sizes = sorted({int(part) for part in text.split(",")})
    except ValueError:
        sizes = []
    if not sizes or sizes[0] < 1:
        raise PyffError(f"--sizes must be numbers of frames such as 50,100,200; received {text!r}")
    return sizes


def _names(text: str) -> list[str]:
    return list(dict.fromkeys(name.strip() for name in text.split(",")))


def _config(options: CurveOptions, model: str, split_file: Path | None = None) -> RunConfig:
    return fit_config(
        data={"files": options.files, "units": options.units},
        split={"file": split_file} if split_file else {},
        model=(model, {}),
        training={"max_time": options.minutes, "seed": options.seed, "device": options.device},
        settings=options.settings,
    )


def _nested_splits(data: Dataset, sizes: list[int], options: CurveOptions) -> dict[int, Split]:
    """Splits with the same validation and test frames; smaller training sets are the beginnings of the largest."""
    whole = split(data, sizes[-1], options.valid, options.test, seed=options.seed)
    if not len(whole.test):
        raise PyffError(f"no frames are left to test on: {len(data)} frames, {sizes[-1]} + {options.valid} used")
    part = lambda n: Split(whole.train[:n], whole.valid, whole.test, len(data), whole.fingerprint)  # noqa: E731
    return {n: part(n) for n in sizes}


def _point(console: Console, options: CurveOptions, model: str, data: Dataset, chosen: Split) -> dict[str, Any] | None:
    """One point of the curve, from its folder where it was made with the same options; None if interrupted."""
    size = len(chosen.train)
    folder = options.out / f"{model}-{size}"
    record = folder / "point.json"
    asked = {
        "model": model, "n_train": size, "minutes": options.minutes, "seed": options.seed, "device": options.device,
        "settings": list(options.settings), "data": chosen.fingerprint, "n_valid": len(chosen.valid),
        "n_test": len(chosen.test),
    }  # fmt: skip
    if record.is_file():
        known = json.loads(record.read_text())
        if all(known.get(key) == value for key, value in asked.items()):
            console.say(f"{model}, {size} frames: done already")
            return known
    console.heading(f"{model}, {size} training frames, {options.minutes:g} minutes")
    folder.mkdir(parents=True, exist_ok=True)
    chosen.save(folder / "chosen.npz")
    fitted = fit_model(console, _config(options, model, folder / "chosen.npz"), folder, overwrite=True, data=data)
    if fitted.report.stopped == "interrupted":
        return None
    row = {
        **asked, "errors_eV_A": fitted.test.as_dict(), "seconds": fitted.report.seconds, "steps": fitted.report.steps,
        "epochs": fitted.report.epochs, "n_parameters": fitted.report.n_parameters,
        "threads": torch.get_num_threads(), "machine": platform.machine(), "pyff": __version__,
        "torch": torch.__version__,
    }  # fmt: skip
    atomic_write(record, json.dumps(row, indent=2) + "\n")
    return row


def _write(options: CurveOptions, rows: list[dict[str, Any]], units: Units) -> None:
    atomic_write(options.out / "learning_curve.json", json.dumps(rows, indent=2) + "\n")
    kinds = [kind for kind in ("forces", "energy") if f"{kind}_mae" in rows[0]["errors_eV_A"]]
    save_figure(options.out / "learning_curve.png", [size_curve(rows, kind, units) for kind in kinds], size=4.6)


def _show(console: Console, rows: list[dict[str, Any]], units: Units) -> None:
    console.heading(f"Test errors on {rows[0]['n_test']} frames, {rows[0]['minutes']:g} minutes each")
    kinds = [kind for kind in ("forces", "energy") if f"{kind}_mae" in rows[0]["errors_eV_A"]]
    columns = [f"{kind} MAE ({units.of_label(kind)[1]})" for kind in kinds]
    table = [
        (r["model"], r["n_train"], *(r["errors_eV_A"][f"{k}_mae"] / units.of_label(k)[0] for k in kinds), r["steps"])
        for r in rows
    ]
    console.table(("model", "frames", *columns, "steps"), table)
    console.result(points=rows)
