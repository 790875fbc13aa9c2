"""`pyff finetune`: a trained model learns from other data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyff._atomic import atomic_write
from pyff.cli import INTERRUPTED
from pyff.cli.console import Console
from pyff.cli.fit import read_data
from pyff.cli.output import require_folder
from pyff.cli.run_config import RunConfig
from pyff.cli.run_folder import choose_split, errors_info, run_info
from pyff.data import Dataset
from pyff.errors import PyffError
from pyff.models.file import load, save
from pyff.train import FineTuned, Metrics, TrainConfig, finetune, save_figure, training_panels
from pyff.train.finetune import trainable_parameters

__all__ = ["FinetuneOptions", "run_finetune"]


@dataclass(frozen=True)
class FinetuneOptions:
    """parent: model file. config: data, split and training of the run (its model part is not read)."""

    parent: Path
    config: RunConfig
    strategy: str
    folder: Path
    resume: bool
    overwrite: bool


def run_finetune(console: Console, options: FinetuneOptions) -> int:
    """Fine-tune in a folder, which gets split.npz, model.safetensors, results.json and report.png; the exit code."""
    if options.config.model.hyperparameters:
        names = ", ".join(options.config.model.hyperparameters)
        raise PyffError(f"--set model.NAME must not be given: the options of {options.parent} stay; received {names}")
    require_folder(options.folder)
    trainable_parameters(load(options.parent), options.strategy)  # a misspelt strategy must not wait for the data
    console.heading("Data")
    data, folder = read_data(options.config.data), options.folder
    console.say(data.describe())
    chosen = choose_split(
        options.config.split, data, folder, resume=options.resume, overwrite=options.overwrite,
        again="the same command with --resume",
    )  # fmt: skip
    train, valid, test = chosen.apply(data)
    training = options.config.training
    said = {key: getattr(training, key) for key in training.model_fields_set}
    console.heading("Fine-tuning")
    tuned = finetune(
        options.parent, train, valid, folder, strategy=options.strategy, test=test,
        config=TrainConfig.for_data("finetune", train, **said), quiet=console.quiet, resume=options.resume,
        overwrite=options.overwrite, on_start=lambda: chosen.save(folder / "split.npz"),
    )  # fmt: skip
    console.say(f"{tuned.text}\n{tuned.report.text()}")
    before, after = Metrics.of(tuned.before, data.units), Metrics.of(tuned.after, data.units)
    _show(console, before, after, "test" if len(test) else "validation")
    results = _write(options, tuned, data, (train, valid), before, after)
    console.heading("Files")
    console.facts([(str(folder / "model.safetensors"), "the model"), (str(folder / "report.png"), "after fine-tuning")])
    console.result(model=folder / "model.safetensors", stopped=tuned.report.stopped, **results)
    if tuned.report.stopped == "interrupted":
        console.warn("interrupted; the same command with --resume goes on")
        return INTERRUPTED
    return 0


def _show(console: Console, before: Metrics, after: Metrics, part: str) -> None:
    console.heading(f"Errors on {after.n_frames} {part} frames, before (reference energies refitted) and after")
    old = {row[0]: row for row in before.rows()}
    rows = [(name, old[name][1], mae, old[name][2], rmse, unit) for name, mae, rmse, _, unit in after.rows()]
    console.table(("", "MAE before", "after", "RMSE before", "after", "unit"), rows)


def _write(
    options: FinetuneOptions, tuned: FineTuned, data: Dataset, parts: tuple[Dataset, Dataset], before: Metrics,
    after: Metrics,
) -> dict[str, Any]:  # fmt: skip
    """Save the model, results.json and report.png; the results."""
    errors = {**errors_info(tuned.report, after), "before": before.as_dict()}
    about = run_info(options.config.data, data, *parts, tuned.report)
    tuned.model.info = {**tuned.model.info, **about, "errors_eV_A": errors}
    save(tuned.model, options.folder / "model.safetensors")
    atomic_write(options.folder / "results.json", json.dumps(tuned.model.info, indent=2) + "\n")
    save_figure(options.folder / "report.png", training_panels(tuned.report.history, tuned.after, data.units))
    return dict(tuned.model.info)
