"""What commands say: tables and sentences on stdout, progress on stderr, JSON for scripts."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

__all__ = ["Console", "finite"]

LINE_SECONDS = 10.0  # where the output is a file, progress is a line at most this often


class Console:
    """Output of one command.

    quiet: only results that were asked for. json: one JSON object on stdout at the end, nothing else there.
    """

    def __init__(self, quiet: bool = False, json: bool = False) -> None:
        from rich.console import Console as Rich

        self.quiet, self.json = quiet or json, json
        self.out = Rich(highlight=False, soft_wrap=True)
        self.err = Rich(stderr=True, highlight=False, soft_wrap=True)

    def say(self, text: str = "", style: str | None = None) -> None:
        """A line for people."""
        if not self.quiet:
            self.out.print(text, markup=False, style=style)

    def heading(self, text: str) -> None:
        self.say(f"\n{text}", style="bold")

    def warn(self, text: str) -> None:
        """A line on stderr that is shown even when quiet."""
        self.err.print(f"warning: {text}", markup=False, style="yellow")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str | None = None) -> None:
        """A table; the first column is text, numbers are right-aligned. Shown also when quiet."""
        if self.json:
            return
        from rich import box
        from rich.table import Table

        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, title_style="bold")
        for k, name in enumerate(columns):
            numeric = k > 0 and all(isinstance(row[k], (int, float)) for row in rows)
            table.add_column(name, justify="right" if numeric else "left", no_wrap=True)
        for row in rows:
            table.add_row(*(f"{x:.4g}" if isinstance(x, float) else str(x) for x in row))
        self.out.print(table, soft_wrap=False)

    def facts(self, rows: Sequence[tuple[str, str]]) -> None:
        """Name and value, aligned. Shown also when quiet."""
        if self.json:
            return
        width = max(len(name) for name, _ in rows)
        for name, value in rows:
            self.out.print(f"{name:<{width}}  {value}", markup=False)

    def result(self, **values: Any) -> None:
        """The JSON of --json."""
        if self.json:
            print(json.dumps(finite(values), default=str, allow_nan=False))

    @contextlib.contextmanager
    def progress(self, total: int, unit: str = "step") -> Iterator[Callable[[int, str], None]]:
        """Yields show(done, text): a bar on a terminal, a line now and then elsewhere, nothing when quiet."""
        if self.quiet:
            yield lambda done, text: None
            return
        if not self.err.is_terminal:
            yield _lines(total, unit)
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            MofNCompleteColumn(),
            BarColumn(bar_width=24),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
        )
        with Progress(*columns, console=self.err) as bar:
            task = bar.add_task("", total=total)
            yield lambda done, text: bar.update(task, completed=done, description=text)


def finite(value: Any) -> Any:
    """The same with None for NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _lines(total: int, unit: str) -> Callable[[int, str], None]:
    last = [time.monotonic()]

    def show(done: int, text: str) -> None:
        now = time.monotonic()
        if now - last[0] >= LINE_SECONDS or done >= total:
            last[0] = now
            print(f"{unit} {done}/{total}  {text}", file=sys.stderr, flush=True)

    return show
