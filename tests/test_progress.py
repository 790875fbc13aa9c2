from __future__ import annotations

import io

from rich.console import Console

from pyff import _progress
from pyff._progress import Live


def console(terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=100, highlight=False)


def test_live_prints_few_lines_and_always_the_last(monkeypatch):
    out, now = console(False), [100.0]
    monkeypatch.setattr(_progress.time, "monotonic", lambda: now[0])
    with Live(out, 50, "step") as live:
        for k in range(1, 51):
            now[0] += 1.0
            live.show(k, f"energy {k}")
    assert out.file.getvalue().splitlines() == [f"step {k}/50  energy {k}" for k in (10, 20, 30, 40, 50)]


def test_live_without_a_unit_shows_the_text_alone_and_the_first_at_once():
    out = console(False)
    with Live(out, 1.0) as live:
        live.show(0.5, "epoch 1 [loss]")
        live.show(0.6, "epoch 2")
        live.show(1.0, "epoch 3")
    assert out.file.getvalue().splitlines() == ["epoch 1 [loss]", "epoch 3"]


def test_live_draws_a_bar_on_a_terminal():
    out = console(True)
    with Live(out, 4, "step") as live:
        live.show(4, "temperature 300 [K]")
    assert "4/4" in out.file.getvalue() and "temperature 300 [K]" in out.file.getvalue()


def test_live_quiet_says_nothing():
    out = console(True)
    with Live(out, 4, "step", quiet=True) as live:
        live.show(4, "x")
        live.say("y")
        live.advance(4)
    assert out.file.getvalue() == ""
