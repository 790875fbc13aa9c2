"""Training points that are spread over the energies as all frames are."""

from __future__ import annotations

import numpy as np

__all__ = ["stratified_sample"]


def stratified_sample(
    energies: np.ndarray, n: int, rng: np.random.Generator, exclude: np.ndarray | None = None
) -> np.ndarray:
    """Indices [n] of frames drawn without replacement such that their histogram is that of all energies.

    Bins have the width of Freedman and Diaconis for n values, h = 2 IQR / n^(1/3), and are at most n / 2, so that each
    occupied one gets a frame; inside a bin frames are drawn uniformly. This is sGDML's rule.

    Args:
        energies: of all frames [M], any unit.
        n: number of frames wanted.
        rng: source of randomness.
        exclude: indices that must not be drawn.

    Raises:
        ValueError: fewer frames than wanted.
    """
    energies = np.ravel(energies)
    allowed = np.ones(len(energies), dtype=bool)
    allowed[[] if exclude is None else np.asarray(exclude, dtype=np.int64)] = False
    available = int(allowed.sum())
    if not 0 <= n <= available:
        raise ValueError(f"n must be 0 .. {available}, the frames that may be drawn; received {n}")
    if n < 2 or n == available:
        return rng.permutation(np.flatnonzero(allowed))[:n]
    bins = np.where(allowed, _bins(energies, n), -1)
    occupied, count = np.unique(bins[allowed], return_counts=True)
    drawn = [rng.choice(np.flatnonzero(bins == b), m, replace=False) for b, m in zip(occupied, _share(count, n, rng))]
    return np.concatenate(drawn)


def _bins(energies: np.ndarray, n: int) -> np.ndarray:
    """The bin of every energy."""
    low, high = energies.min(), energies.max()
    upper, lower = np.percentile(energies, [75, 25])
    width = 2 * (upper - lower) / np.cbrt(n)
    n_bins = min(int(np.ceil((high - low) / width)) if width > 0 else 1, n // 2)
    return np.digitize(energies, np.linspace(low, high, n_bins, endpoint=False))


def _share(count: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """How many frames each bin gives: its share rounded up, less frames taken off bins that have more than one."""
    share = np.ceil(count / count.sum() * n).astype(np.int64)
    share = np.minimum(share, count)  # a rounding error above a whole number
    for _ in range(share.sum() - n):
        share[rng.choice(len(share), p=(share - 1) / (share - 1).sum())] -= 1
    return share
