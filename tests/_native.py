"""One native kernel through numpy, for tests of threads and instruction sets that must not import torch."""

from __future__ import annotations

import numpy as np

from pyff import _core

SILU = 2  # csrc/math/activation.hpp
ROWS, FEATURES = 512, 131  # above the threshold for threads; not a multiple of any vector length


def example(seed: int = 0, dtype=np.float64) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(ROWS, FEATURES)).astype(dtype)


def silu(x: np.ndarray, threads: int) -> np.ndarray:
    """x sigmoid(x) by the kernel; NaN where it wrote nothing."""
    y = np.full_like(x, np.nan)
    kernel = getattr(_core, f"bias_activation_{x.dtype}")
    kernel(0, *x.shape, SILU, x.ctypes.data, 0, 0, 0, y.ctypes.data, 0, 0, threads)
    return y


def silu_reference(x: np.ndarray) -> np.ndarray:
    wide = x.astype(np.float64)
    return wide / (1 + np.exp(-wide))
