"""Where a long computation stands: a bar on a terminal, a line now and then elsewhere, nothing when quiet."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Live"]

LINE_SECONDS = 10.0  # a log file gets a line at most this often


class Live:
    """Context manager around the computation; the last line is always printed.

    console: of rich, on stderr. total: what `show` counts up to. unit: of the count, which is then shown; without one
    only the text is.
    """

    def __init__(self, console: Console, total: float, unit: str = "", *, quiet: bool = False) -> None:
        self._console, self._total, self._unit, self._quiet = console, total, unit, quiet
        self._bar = None
        self._task = None
        self._last_line = time.monotonic() - (0.0 if unit else LINE_SECONDS)
        self._pending = ""

    def __enter__(self) -> Live:
        if not self._quiet and self._console.is_terminal:
            from rich import progress

            timing = (progress.MofNCompleteColumn(), progress.TimeRemainingColumn()) if self._unit else ()
            columns = timing or (progress.TimeElapsedColumn(),)
            text = progress.TextColumn("{task.description}")
            self._bar = progress.Progress(columns[0], progress.BarColumn(bar_width=24), *columns[1:], text,
                                          console=self._console)  # fmt: skip
            self._task = self._bar.add_task("", total=self._total)
            self._bar.start()
        return self

    def __exit__(self, *exception) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        elif self._pending:
            self.say(self._pending)
            self._pending = ""

    def say(self, text: str) -> None:
        """A line that stays."""
        if not self._quiet:
            self._console.print(text, markup=False, soft_wrap=True)

    def advance(self, done: float) -> None:
        """Move the bar, and nothing where there is none."""
        if self._bar is not None:
            self._bar.update(self._task, completed=min(done, self._total))

    def show(self, done: float, text: str) -> None:
        """What is done, and a line about it."""
        if self._quiet:
            return
        if self._bar is not None:
            from rich.markup import escape

            self._bar.update(self._task, completed=min(done, self._total), description=escape(text))
            return
        self._pending = f"{self._unit} {done:g}/{self._total:g}  {text}" if self._unit else text
        if time.monotonic() - self._last_line >= LINE_SECONDS:
            self.say(self._pending)
            self._last_line, self._pending = time.monotonic(), ""
