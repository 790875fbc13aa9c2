"""`pyff fit` and `pyff train`: from labels to a tested model file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pyff._atomic import atomic_write
from pyff.cli import INTERRUPTED
from pyff.cli.architectures import ARCHITECTURES, architecture_of
from pyff.cli.console import Console
from pyff.cli.output import require_folder
from pyff.cli.run_config import DataConfig, RunConfig
from pyff.cli.run_folder import choose_split, errors_info, require_known_elements, run_info
from pyff.data import Dataset, ReferenceEnergies, read, reference_energies
from pyff.errors import PyffError
from pyff.models.base import EnergyModel
from pyff.models.file import save
from pyff.train import Metrics, Report, TrainConfig, Trainer, predict, save_figure, training_panels
from pyff.train.metrics import Predictions

__all__ = ["Fitted", "fit_config", "fit_model", "read_data", "run_fit"]


@dataclass(frozen=True)
class Fitted:
    """What a run made. test is None where no frames were left for it."""

    model: EnergyModel
    report: Report
    data: Dataset
    parts: tuple[Dataset, Dataset, Dataset]
    predictions: Predictions | None
    test: Metrics | None
    folder: Path


def fit_config(data: dict, split: dict, model: tuple[str, dict], training: dict, settings=()) -> RunConfig:
    """RunConfig from command-line options; what is None keeps its default.

    model: name (an architecture or a preset) and the options of ARCHITECTURES. settings: texts such as
    "model.n_rbf=32" or "training.ema_decay=0.99", for everything that has no option.
    """
    architecture, preset = architecture_of(model[0])
    given = lambda options: {k: v for k, v in options.items() if v is not None}  # noqa: E731
    hyperparameters = ARCHITECTURES[architecture].hyperparameters(model[1])
    extra = parse_settings(settings)
    values = {
        "data": {**data, "files": [str(Path(f).absolute()) for f in data["files"]]},
        "split": {**given(split), **({"file": str(Path(split["file"]).absolute())} if split.get("file") else {})},
        "model": {
            "architecture": architecture, "preset": preset, "hyperparameters": {**hyperparameters, **extra["model"]}
        },
        "training": {**_finite(given(training)), **extra["training"]},
    }  # fmt: skip
    return RunConfig.build(values, "the command line")


def _finite(training: dict) -> dict:
    """Training options that end: a limit in minutes alone lifts the one in epochs."""
    return {"max_epochs": None, **training} if "max_time" in training else training


def parse_settings(texts) -> dict[str, dict[str, Any]]:
    """{"model": {...}, "training": {...}} of texts such as "training.ema_decay=0.99"; values are read as YAML."""
    import yaml

    found: dict[str, dict[str, Any]] = {"model": {}, "training": {}}
    for text in texts:
        name, equals, value = text.partition("=")
        section, _, key = name.strip().partition(".")
        if not equals or section not in found or not key:
            raise PyffError(f"--set must read model.NAME=VALUE or training.NAME=VALUE; received {text!r}")
        try:
            found[section][key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise PyffError(f"the value of --set {text!r} is not valid YAML") from None
    return found


def read_data(config: DataConfig) -> Dataset:
    """The frames of a run."""
    options = config.model_dump()
    return read(options.pop("files"), **options)


def run_fit(console: Console, config: RunConfig, folder: Path, *, resume: bool = False, overwrite: bool = False) -> int:
    """Train and test in a folder; the exit code."""
    fitted = fit_model(console, config, folder, resume=resume, overwrite=overwrite)
    if fitted.test is not None:
        console.heading("Test")
        show_metrics(console, fitted.test)
    console.heading("Files")
    console.facts(
        [
            (str(folder / "model.safetensors"), f"the model: pyff.Calculator('{folder / 'model.safetensors'}')"),
            (str(folder / "report.png"), "parity and learning curves"),
            (str(folder / "results.json"), "the numbers above"),
        ]
    )
    console.result(
        model=folder / "model.safetensors",
        stopped=fitted.report.stopped,
        epochs=fitted.report.epochs,
        seconds=fitted.report.seconds,
        valid=fitted.report.valid.as_dict(),
        test=fitted.test.as_dict() if fitted.test else None,
    )
    if fitted.report.stopped == "interrupted":
        console.warn(f"interrupted; `pyff train {folder / 'config.yaml'} --resume` goes on")
        return INTERRUPTED
    return 0


def show_metrics(console: Console, metrics: Metrics) -> None:
    """Table of errors in the units of the data, and in eV."""
    console.text(metrics.table())


def fit_model(
    console: Console, config: RunConfig, folder: Path, *, resume: bool = False, overwrite: bool = False,
    data: Dataset | None = None,
) -> Fitted:  # fmt: skip
    """Split, train, test; leaves config.yaml, split.npz, model.safetensors, results.json and report.png in a folder.

    data: the frames of config.data, where they were read and described before.
    """
    require_folder(folder)
    if data is None:
        console.heading("Data")
        data = read_data(config.data)
        console.say(data.describe())
    again = f"`pyff train {folder / 'config.yaml'} --resume`"
    chosen = choose_split(config.split, data, folder, resume=resume, overwrite=overwrite, again=again)
    train, valid, test = parts = chosen.apply(data)
    require_known_elements(train, valid, test)
    references = reference_energies(train)
    console.say(f"{references.text}\nsplit     {len(train)} training, {len(valid)} validation, {len(test)} test frames")
    console.heading("Training")
    said = {key: getattr(config.training, key) for key in config.training.model_fields_set}
    settings = TrainConfig.for_data(config.model.architecture, train, **said)
    model = _network(config, train, references, settings)
    _require_finite_sums(model, data)

    def write_settings() -> None:
        config.model_copy(update={"training": settings}).to_yaml(folder / "config.yaml")
        chosen.save(folder / "split.npz")

    trainer = Trainer(model, settings, folder, quiet=console.quiet)
    report = trainer.fit(train, valid, resume=resume, overwrite=overwrite, on_start=write_settings)
    console.say(report.text())
    predictions = predict(model, test, settings.valid_batch_size) if len(test) else None
    metrics = Metrics.of(predictions, data.units) if predictions else None
    model.info = {**run_info(config.data, data, train, valid, report), "errors_eV_A": errors_info(report, metrics)}
    save(model, folder / "model.safetensors")
    fitted = Fitted(model, report, data, parts, predictions, metrics, folder)
    write_report(fitted)
    return fitted


def _network(config: RunConfig, train: Dataset, references: ReferenceEnergies, settings: TrainConfig) -> EnergyModel:
    """An untrained network whose output starts at the mean and has the size of what it learns."""
    import torch

    scale, shift = _output_range(train, references, settings)
    gives = {
        k: v for label, more in config.model.table.gives.items() if settings.weight(label) for k, v in more.items()
    }
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(settings.seed)
        return config.model.untrained(references.values, output_scale=scale, output_shift=shift, **gives)


def _require_finite_sums(model: EnergyModel, data: Dataset) -> None:
    """Periodic frames have infinitely many pairs, which only a cutoff makes a sum."""
    periodic = [name for name, s in zip(data.names, data) if s.pbc.any()]
    if periodic and model.needs.long_range_cutoff == math.inf:
        raise PyffError(
            "a model with electrostatics or dispersion must have a finite long-range cutoff for periodic frames; "
            f"{len(periodic)} of {len(data)} frames are periodic, the first is {periodic[0]}. Add "
            "--set model.long_range_cutoff=12 (A)"
        )


def _output_range(train: Dataset, references: ReferenceEnergies, settings: TrainConfig) -> tuple[float, float]:
    """(scale, shift): rms of the forces and mean energy per atom; spread and mean of the target where it is learned."""
    labels = lambda name: [np.ravel(s.labels[name]) for s in train if name in s.labels]  # noqa: E731
    if settings.target_weight and labels("target"):
        values = np.concatenate(labels("target"))
        return float(values.std()) or 1.0, float(values.mean())
    forces = labels("forces")
    scale = float(np.sqrt(np.mean(np.concatenate(forces) ** 2))) if forces else references.residual_rms
    return scale or 1.0, references.residual_mean


def write_report(fitted: Fitted) -> None:
    results: Mapping[str, Any] = fitted.model.info
    atomic_write(fitted.folder / "results.json", json.dumps(results, indent=2) + "\n")
    if fitted.predictions is not None:
        panels = training_panels(fitted.report.history, fitted.predictions, fitted.data.units)
        save_figure(fitted.folder / "report.png", panels)
