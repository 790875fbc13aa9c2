"""Pairs of long range: what sums of pair energies run over."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from pyff.batch import PairList, System
from pyff.neighbors import neighbor_list

__all__ = ["long_range_pairs"]


def long_range_pairs(systems: Sequence[System], cutoff: float) -> PairList:
    """Pairs within the cutoff of each structure, both directions, as one list over the concatenated atoms.

    cutoff: A. Infinity: all pairs of atoms; every structure must then be open in all directions. Unlike the edges of a
    graph the pairs carry no index of the reversed pair, which would take longer to find than the pairs.

    Raises:
        ValueError: a cutoff that is not positive; an infinite one with a periodic structure; invalid geometry. The
            message names the structure where it is one of many.
    """
    if not cutoff > 0:
        raise ValueError(f"long_range_cutoff must be positive; received {cutoff}")
    pairs = [_pairs(s, cutoff, k if len(systems) > 1 else None) for k, s in enumerate(systems)]
    first = np.cumsum([0] + [len(s) for s in systems])
    counts = np.concatenate([count for count, _, _ in pairs])
    return PairList(
        row_ptr=torch.from_numpy(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)),
        idx_j=torch.from_numpy(_joined([j + k if k else j for k, (_, j, _) in zip(first, pairs)])),
        shift=torch.from_numpy(_joined([shift for _, _, shift in pairs])),
    )


def _joined(arrays: list[np.ndarray]) -> np.ndarray:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _pairs(system: System, cutoff: float, index: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(pairs of each atom, senders, shifts) of one structure."""
    where = "" if index is None else f"structure {index}: "
    if math.isinf(cutoff):
        if system.pbc.any():
            raise ValueError(
                f"{where}a periodic structure has infinitely many pairs; give the model a finite long-range cutoff: "
                "pyff.Calculator(model, long_range_cutoff=12, ewald=True), on the command line --long-range-cutoff 12 "
                "--ewald. Ewald sums replace the cutoff of the Coulomb energy only, dispersion needs one"
            )
        return _all_pairs(len(system))
    try:
        i, j, shift = neighbor_list("ijS", positions=system.pos, cell=system.cell, pbc=system.pbc, cutoff=float(cutoff))
    except ValueError as error:
        raise ValueError(f"{where}{error}") from None
    return np.diff(np.searchsorted(i, np.arange(len(system) + 1))), j, shift


def _all_pairs(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    others = np.arange(max(n - 1, 0))
    j = others + (others >= np.arange(n)[:, None])  # 0 .. n-1 without the receiver itself
    return np.full(n, max(n - 1, 0)), j.ravel(), np.zeros((j.size, 3), np.int32)
