"""How rivals are timed."""

from __future__ import annotations

import statistics
import time


def interleaved(calls: dict, rounds: int) -> dict[str, dict[str, float]]:
    """Median and minimum times of functions without arguments, called in turn; two rounds warm up."""
    samples = {name: [] for name in calls}
    for r in range(rounds + 2):
        for name, call in calls.items():
            start, cpu = time.perf_counter(), time.process_time()
            call()
            if r >= 2:
                samples[name].append((time.perf_counter() - start, time.process_time() - cpu))
    return {
        name: {"median_ms": 1e3 * statistics.median(w for w, _ in s), "min_ms": 1e3 * min(w for w, _ in s),
               "cpu_ms": 1e3 * statistics.median(c for _, c in s)}
        for name, s in samples.items()
    }  # fmt: skip
