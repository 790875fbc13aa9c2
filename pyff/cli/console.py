"""What commands say: tables and sentences on stdout, progress on stderr, JSON for scripts."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

__all__ = ["Console", "finite"]


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
        from rich.console import Console as Rich
        from rich.measure import Measurement
        from rich.table import Table

        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, title_style="bold")
        for k, name in enumerate(columns):
            numeric = k > 0 and all(isinstance(row[k], (int, float)) for row in rows)
            table.add_column(name, justify="right" if numeric else "left", no_wrap=True)
        for row in rows:
            table.add_row(*(f"{x:.4g}" if isinstance(x, float) else str(x) for x in row))
        # as wide as it has to be: a number that is cut off is worse than a line that wraps
        natural = Measurement.get(self.out, self.out.options.update(max_width=1000), table).maximum
        Rich(highlight=False, width=max(natural, self.out.width)).print(table)

    def text(self, text: str) -> None:
        """Lines as they are. Shown also when quiet."""
        if not self.json:
            self.out.print(text, markup=False)

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
        from pyff._progress import Live

        with Live(self.err, total, unit, quiet=self.quiet) as live:
            yield live.show


def finite(value: Any) -> Any:
    """The same with None for NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
