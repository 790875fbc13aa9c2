"""`pyff fit` and `pyff train`: from labels to a tested model file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pyff._atomic import atomic_write
from pyff.cli import INTERRUPTED
from pyff.cli.console import Console
from pyff.cli.run_config import DataConfig, RunConfig
from pyff.data import Dataset, ReferenceEnergies, Split, read, reference_energies, split
from pyff.errors import PyffError
from pyff.models.file import save
from pyff.models.schnet import PRESETS, SchNet
from pyff.train import Metrics, Report, Trainer, predict, save_figure, training_panels
from pyff.train.metrics import Predictions

__all__ = ["Fitted", "fit_config", "fit_model", "read_data", "run_fit"]


@dataclass(frozen=True)
class Fitted:
    """What a run made. test is None where no frames were left for it."""

    model: SchNet
    report: Report
    data: Dataset
    parts: tuple[Dataset, Dataset, Dataset]
    predictions: Predictions | None
    test: Metrics | None
    folder: Path


def fit_config(data: dict, split: dict, model: tuple[str, dict], training: dict) -> RunConfig:
    """RunConfig from command-line options; what is None keeps its default."""
    name, hyperparameters = model
    if name != "schnet" and name not in PRESETS:
        raise PyffError(f"--model must be schnet, {', '.join(PRESETS)}; received {name!r}")
    given = lambda options: {k: v for k, v in options.items() if v is not None}  # noqa: E731
    training = given(training)
    if "max_time" in training:
        # a budget in minutes is spent best if the learning rate has fallen when it ends
        training = {"schedule": "cosine", "max_epochs": None, "patience": None, **training}
    values = {
        "data": {**data, "files": [str(Path(f).absolute()) for f in data["files"]]},
        "split": {**given(split), **({"file": str(Path(split["file"]).absolute())} if split.get("file") else {})},
        "model": {"preset": None if name == "schnet" else name, "hyperparameters": given(hyperparameters)},
        "training": training,
    }
    return RunConfig.build(values, "the command line")


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
    """Table of errors in the units of the data."""
    columns = (f"{metrics.n_frames} frames", "MAE", "RMSE", "RMS of labels", "unit")
    console.table(columns, metrics.rows())


def fit_model(
    console: Console, config: RunConfig, folder: Path, *, resume: bool = False, overwrite: bool = False
) -> Fitted:
    """Split, train, test; leaves config.yaml, split.npz, model.safetensors, results.json and report.png in a folder."""
    console.heading("Data")
    data = read_data(config.data)
    console.say(data.describe())
    folder.mkdir(parents=True, exist_ok=True)
    parts = _parts(config, data, folder, resume, overwrite)
    train, valid, test = parts
    references = reference_energies(train)
    console.say(f"{references.text}\nsplit     {len(train)} training, {len(valid)} validation, {len(test)} test frames")
    console.heading("Training")
    model = _network(config, train, references)
    settings = _settings(config, train)
    trainer = Trainer(model, settings, folder, quiet=console.quiet)
    config.to_yaml(folder / "config.yaml")
    report = trainer.fit(train, valid, resume=resume, overwrite=overwrite)
    console.say(report.text())
    predictions = predict(model, test, settings.valid_batch_size) if len(test) else None
    metrics = Metrics.of(predictions, data.units) if predictions else None
    model.info = _model_info(config, data, train, valid, report, metrics)
    save(model, folder / "model.safetensors")
    fitted = Fitted(model, report, data, parts, predictions, metrics, folder)
    _write_report(fitted)
    return fitted


def _parts(config: RunConfig, data: Dataset, folder: Path, resume: bool, overwrite: bool):
    """Training, validation and test frames; saved, and read back where a run is resumed."""
    path, s = folder / "split.npz", config.split
    if resume and path.is_file():
        return Split.load(path, data).apply(data)
    if (folder / "last.safetensors").exists() and not overwrite:
        raise PyffError(
            f"{folder} holds a run already: add --overwrite to replace it, choose another --out, or continue it with "
            f"`pyff train {folder / 'config.yaml'} --resume`"
        )
    if s.file:
        chosen = Split.load(s.file, data)
    else:
        chosen = split(data, s.train, s.valid, s.test, seed=s.seed, order=s.order)
    parts = chosen.apply(data)
    _require_known_elements(*parts)
    chosen.save(path)
    return parts


def _require_known_elements(train: Dataset, *others: Dataset) -> None:
    """Raise PyffError if a validation or test frame has an element that no training frame has."""
    from ase.data import chemical_symbols

    known = {z for s in train for z in s.Z.tolist()}
    strange = [(name, set(s.Z.tolist()) - known) for data in others for s, name in zip(data, data.names)]
    strange = [(name, unseen) for name, unseen in strange if unseen]
    if strange:
        symbols = ", ".join(chemical_symbols[z] for z in sorted(set.union(*(unseen for _, unseen in strange))))
        names = ", ".join(name for name, _ in strange[:5]) + (", ..." if len(strange) > 5 else "")
        raise PyffError(
            f"validation and test frames must have elements of the training frames only; {len(strange)} have {symbols}:"
            f" {names}. Train on such frames too (another --seed, --order or --split), or leave them out"
        )


def _network(config: RunConfig, train: Dataset, references: ReferenceEnergies) -> SchNet:
    """An untrained network whose output starts at the mean energy per atom and has the size of the forces."""
    import torch

    forces = [s.labels["forces"] for s in train if "forces" in s.labels]
    scale = float(np.sqrt(np.mean(np.concatenate(forces) ** 2))) if forces else references.residual_rms
    network = config.model.network(output_scale=scale or 1.0, output_shift=references.residual_mean)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.training.seed)
        return SchNet(network, references.values, references.values)


def _settings(config: RunConfig, train: Dataset):
    """Training settings; labels that the training frames do not have, or have unasked for, set their weights."""
    changes: dict[str, Any] = {}
    said = config.training.model_fields_set
    if "stress_weight" not in said and train.count("stress"):
        changes["stress_weight"] = config.training.energy_weight
    if "forces_weight" not in said and not train.count("forces"):
        changes["forces_weight"] = 0.0
    return config.training.model_copy(update=changes)


def _model_info(config, data: Dataset, train: Dataset, valid: Dataset, report: Report, test) -> dict[str, Any]:
    return {
        "data": {
            "files": [Path(f).name for f in config.data.files],
            "fingerprint": data.fingerprint(),
            "units": {"energy": data.units.energy, "length": data.units.length},
            "n_train": len(train),
            "n_valid": len(valid),
        },
        "training": {"epochs": report.epochs, "steps": report.steps, "seconds": round(report.seconds, 1)},
        "ranges": _ranges(train),
        "errors_eV_A": {"valid": report.valid.as_dict(), "test": test.as_dict() if test else None},
    }


def _ranges(train: Dataset) -> dict[str, Any]:
    """What the model has seen: sizes of structures, energies per atom, largest force."""
    per_atom = [float(s.labels["energy"]) / len(s) for s in train if "energy" in s.labels]
    forces = [float(np.abs(s.labels["forces"]).max()) for s in train if "forces" in s.labels]
    return {
        "n_atoms": [min(len(s) for s in train), max(len(s) for s in train)],
        "energy_per_atom": [min(per_atom), max(per_atom)] if per_atom else None,
        "largest_force": max(forces) if forces else None,
        "periodic": any(bool(s.pbc.any()) for s in train),
    }


def _write_report(fitted: Fitted) -> None:
    results: Mapping[str, Any] = fitted.model.info
    atomic_write(fitted.folder / "results.json", json.dumps(results, indent=2) + "\n")
    if fitted.predictions is not None:
        panels = training_panels(fitted.report.history, fitted.predictions, fitted.data.units)
        save_figure(fitted.folder / "report.png", panels)
