"""How many threads a command should use for what it computes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

__all__ = ["SMALL", "threads_for"]

SMALL = 200  # atoms per call; below, waking a second thread costs more than it computes


@contextlib.contextmanager
def threads_for(n_atoms: int) -> Iterator[int]:
    """One thread for small systems, else what torch would use; OMP_NUM_THREADS, where set, decides. Put back after."""
    import torch

    before = torch.get_num_threads()
    if n_atoms < SMALL and not os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(1)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
