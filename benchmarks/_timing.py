"""How rivals are timed."""

from __future__ import annotations

import statistics
import time


def interleaved(calls: dict, rounds: int, *, block_ms: float = 0.0) -> dict[str, dict[str, float]]:
    """Median and least times, of the clock and of the processor, of functions called in turn; two rounds warm up.

    block_ms: a turn is as many calls as take about this long, as in a simulation; the time is that of one call.
    """
    repeats = {name: _repeats(call, block_ms) for name, call in calls.items()}
    samples = {name: [] for name in calls}
    for r in range(rounds + 2):
        for name, call in calls.items():
            start, cpu = time.perf_counter(), time.process_time()
            for _ in range(repeats[name]):
                call()
            if r >= 2:
                spent = (time.perf_counter() - start, time.process_time() - cpu)
                samples[name].append(tuple(t / repeats[name] for t in spent))
    return {
        name: {"median_ms": 1e3 * statistics.median(w for w, _ in s), "min_ms": 1e3 * min(w for w, _ in s),
               "cpu_ms": 1e3 * statistics.median(c for _, c in s), "min_cpu_ms": 1e3 * min(c for _, c in s)}
        for name, s in samples.items()
    }  # fmt: skip


def _repeats(call, block_ms: float) -> int:
    call()
    times = []
    for _ in range(3):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return max(1, round(1e-3 * block_ms / min(times)))
