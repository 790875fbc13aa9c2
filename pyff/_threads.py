"""How many threads the native kernels may use."""

from __future__ import annotations

import os
import sys
from functools import cache

__all__ = ["thread_count"]


def thread_count() -> int:
    """torch's intra-op count when torch is loaded, else OMP_NUM_THREADS, else the processors this process may use."""
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_num_threads"):  # absent while torch is being imported
        return torch.get_num_threads()
    return _environment_count()


@cache
def _environment_count() -> int:
    wish = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if wish.isdigit() and int(wish) > 0:
        return int(wish)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
