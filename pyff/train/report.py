"""Report: what a training run did."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyff.errors import PyffError
from pyff.train.metrics import Metrics

__all__ = ["Report", "read_history"]

_REASONS = {
    "max_epochs": "the largest number of epochs was reached",
    "max_time": "the time was used up",
    "patience": "the validation loss did not improve any more",
    "stop_lr": "the learning rate has come down to stop_lr",
    "interrupted": "interrupted; the run can be resumed",
}


@dataclass(frozen=True)
class Report:
    """Result of `Trainer.fit`.

    run_dir: folder of the run. stopped: "max_epochs", "max_time", "patience", "stop_lr" or "interrupted". epochs,
    steps, seconds: of the whole run, resumed parts included. best_epoch, best_loss: of the validation on averages
    (0, None before the first). valid: validation errors of the weights the model now has. history: rows of
    metrics.jsonl.
    """

    run_dir: Path
    stopped: str
    epochs: int
    steps: int
    seconds: float
    best_epoch: int
    best_loss: float | None
    n_parameters: int
    valid: Metrics
    history: Sequence[Mapping]

    def text(self) -> str:
        """A few lines for people."""
        time = f"{self.seconds:.1f} s" if self.seconds < 60 else f"{self.seconds / 60:.1f} min"
        counts = f"{self.epochs} epoch{'s' * (self.epochs != 1)}, {self.steps} step{'s' * (self.steps != 1)}"
        return (
            f"{counts} of {self.n_parameters} parameters in {time}: {_REASONS[self.stopped]}\n"
            f"validation, best epoch {self.best_epoch}:\n{self.valid.table()}"
        )


def read_history(path: str | Path) -> list[dict]:
    """Rows of a metrics.jsonl; a torn last line, as a crash may leave it, is dropped."""
    path = Path(path)
    if not path.is_file():
        return []
    rows = []
    lines = path.read_text().splitlines()
    for k, line in enumerate(lines):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            if k < len(lines) - 1:
                raise PyffError(f"line {k + 1} of {path} is not JSON") from None
    return rows
