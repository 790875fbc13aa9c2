"""`pyff test`: errors of a model on labelled frames."""

from __future__ import annotations

from pathlib import Path

import torch

from pyff.batch import LABELS
from pyff.cli.console import Console
from pyff.cli.fit import read_data, show_metrics
from pyff.cli.output import PICTURES, require_output
from pyff.cli.run_config import DataConfig
from pyff.data import Split
from pyff.errors import PyffError
from pyff.models.file import load
from pyff.train import Metrics, parity, predict, save_figure

__all__ = ["run_test"]


def run_test(
    console: Console,
    model_path: Path,
    source: dict,
    *,
    split: Path | None,
    picture: Path | None,
    device: str,
    dtype: str | None,
) -> int:
    """Print errors in the units of the data; the exit code."""
    if picture:
        require_output(picture, PICTURES, overwrite=True, option="--picture")
    model = load(model_path, device)
    if dtype:
        model = model.to(getattr(torch, dtype))
    data = read_data(DataConfig(**{**source, "files": [str(f) for f in source["files"]]}))
    if split:
        chosen = Split.load(split, data)
        data = data.subset(chosen.test)
        console.say(f"test frames of {split}")
    if not len(data):
        raise PyffError("there are no frames to test on")
    predictions = predict(model, data)
    metrics = Metrics.of(predictions, data.units)
    if not metrics.rows():
        raise PyffError(f"no frame carries a label to compare with. {' '.join(data.notes)}")
    show_metrics(console, metrics)
    if picture:
        kinds = [kind for kind in LABELS if predictions.pair(kind)[0].size]
        save_figure(picture, [parity(predictions, kind, data.units) for kind in kinds])
        console.say(f"picture in {picture}")
    rows = {name: {"mae": mae, "rmse": rmse, "unit": unit} for name, mae, rmse, _, unit in metrics.rows()}
    console.result(n_frames=metrics.n_frames, errors=rows, errors_eV_A=metrics.as_dict())
    return 0
