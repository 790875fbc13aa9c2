"""What a training run shows of itself on stderr."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console

from pyff._progress import Live
from pyff.batch import LABELS
from pyff.units import Units

__all__ = ["TrainProgress"]


class TrainProgress:
    """Context manager that shows where a run stands, errors in the units of the data."""

    def __init__(self, units: Units, quiet: bool = False, console: Console | None = None) -> None:
        self._units = units
        self._live = Live(console or Console(stderr=True, highlight=False), 1.0, quiet=quiet)
        self._done = 0.0

    def __enter__(self) -> TrainProgress:
        self._live.__enter__()
        return self

    def __exit__(self, *exception) -> None:
        self._live.__exit__(*exception)

    def say(self, text: str) -> None:
        """A line that stays."""
        self._live.say(text)

    def advance(self, fraction: float) -> None:
        """Part of the run that is done, 0..1."""
        self._done = fraction
        self._live.advance(fraction)

    def epoch(self, row: Mapping) -> None:
        """Show the metrics of an epoch (a row of metrics.jsonl)."""
        parts = [f"epoch {row['epoch']}"]
        for name in LABELS:
            value = row.get(f"valid_{name}_mae")
            if value is not None:
                factor, unit = self._units.of_label(name)
                parts.append(f"{name} MAE {value / factor:.4g} {unit}".rstrip())
        parts.append(f"loss {row['valid_loss']:.3g} (best {row['best_loss']:.3g})")
        parts.append(f"lr {row['lr']:.2g}")
        self._live.show(self._done, "  ".join(parts))
