"""Ctrl-C that waits for the end of a step."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

__all__ = ["interruptible"]


@contextlib.contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Inside, the first SIGINT or SIGTERM is only noted: the function yielded then returns True. A second one acts.

    Outside the main thread signals are left alone.
    """
    noted: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def note(number: int, _frame) -> None:
        if noted:
            raise KeyboardInterrupt
        noted.append(number)

    old = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(noted)
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
