"""What the terms of long range share."""

from __future__ import annotations

import math

from torch import Tensor

from pyff.batch import GraphBatch, PairList

__all__ = ["checked_cutoff", "float64_atoms", "long_range"]


def checked_cutoff(cutoff: float | None) -> float | None:
    """The long-range cutoff, None where there is none; infinity counts as none."""
    if cutoff is None or cutoff == math.inf:
        return None
    if not cutoff > 0:
        raise ValueError(f"long_range_cutoff must be positive, or None for all pairs; received {cutoff}")
    return float(cutoff)


def long_range(term: str, batch: GraphBatch) -> PairList:
    """The batch's long-range pairs, which must be there."""
    if batch.long_range is None:
        raise ValueError(
            f"{term}: batch must hold long-range pairs; received none. Collate it with "
            "Needs(cutoff, long_range_cutoff), or name long_range_cutoff in the model's needs"
        )
    return batch.long_range


def float64_atoms(term: str, name: str, x: Tensor, batch: GraphBatch) -> Tensor:
    """A per-atom input, in the precision of energies."""
    if x.shape != (batch.n_atoms,):
        raise ValueError(f"{term}: {name} must have shape ({batch.n_atoms},), one per atom; received {tuple(x.shape)}")
    return x.double()
