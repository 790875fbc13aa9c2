"""Live progress on stderr: a bar on a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from pyff.units import Units

__all__ = ["TrainProgress"]

_LINE_SECONDS = 10.0  # a log file gets a line at most this often


class TrainProgress:
    """Context manager that shows where a run stands, errors in the units of the data."""

    def __init__(self, units: Units, quiet: bool = False, console: Console | None = None) -> None:
        self._units, self._quiet = units, quiet
        self._console = console or Console(stderr=True, highlight=False)
        self._bar: Progress | None = None
        self._task = None
        self._last_line = 0.0
        self._pending = ""

    def __enter__(self) -> TrainProgress:
        if not self._quiet and self._console.is_terminal:
            columns = (TimeElapsedColumn(), BarColumn(bar_width=24), TextColumn("{task.description}"))
            self._bar = Progress(*columns, console=self._console, transient=False)
            self._task = self._bar.add_task("first epoch", total=1.0)
            self._bar.start()
        return self

    def __exit__(self, *exception) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        elif self._pending:
            self._print(self._pending)
            self._pending = ""

    def say(self, text: str) -> None:
        """A line that stays."""
        if not self._quiet:
            self._print(text)

    def advance(self, fraction: float) -> None:
        """Part of the run that is done, 0..1."""
        if self._bar is not None:
            self._bar.update(self._task, completed=min(fraction, 1.0))

    def epoch(self, row: Mapping) -> None:
        """Show the metrics of an epoch (a row of metrics.jsonl)."""
        if self._quiet:
            return
        text = self._text(row)
        if self._bar is not None:
            self._bar.update(self._task, description=escape(text))
            return
        now = time.monotonic()
        if now - self._last_line < _LINE_SECONDS:
            self._pending = text
            return
        self._print(text)
        self._last_line, self._pending = now, ""

    def _text(self, row: Mapping) -> str:
        u = self._units
        parts = [f"epoch {row['epoch']}"]
        for name, factor, unit in (("energy", u.energy_factor, u.energy), ("forces", u.force_factor, u.force)):
            value = row.get(f"valid_{name}_mae")
            if value is not None:
                parts.append(f"{name} MAE {value / factor:.4g} {unit}")
        parts.append(f"loss {row['valid_loss']:.3g} (best {row['best_loss']:.3g})")
        parts.append(f"lr {row['lr']:.2g}")
        return "  ".join(parts)

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)
