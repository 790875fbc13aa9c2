"""Ctrl-C and SIGTERM: the first asks for a clean end, the second ends at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType

__all__ = ["Interrupt"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """Context manager; `requested` holds the name of the signal that came, or "".

    Outside the main thread Python delivers no signals, and nothing is changed. The handlers found are put back at the
    end, and when a second signal arrives: it then does what it would have done without pyff. Where one is inside
    another, both know.

    say: called with a sentence when the first signal comes.
    """

    def __init__(self, say: Callable[[str], object] | None = None) -> None:
        self.requested = ""
        self._say = say
        self._before: dict[int, object] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, self._handle) for s in _SIGNALS}
        return self

    def __exit__(self, *exception) -> None:
        self._put_back()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self.requested:
            self._put_back()
            signal.raise_signal(number)
            return
        self.requested = name
        outer = self._before.get(number)
        if isinstance(getattr(outer, "__self__", None), Interrupt):
            outer(number, frame)
        if self._say:
            self._say(f"{name}: finishing this step and writing the checkpoint; once more ends at once")

    def _put_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._before = {}
