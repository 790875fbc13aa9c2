"""Structures to one graph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from pyff.batch import GraphBatch, Needs, System
from pyff.data.long_range import long_range_pairs
from pyff.ops.neighbor_list import neighbor_list

__all__ = ["collate"]


def collate(systems: Sequence[System], needs: Needs, device: torch.device | str = "cpu") -> GraphBatch:
    """One GraphBatch of all structures, with the edges within needs.cutoff and, where the model asks for them, the
    pairs within needs.long_range_cutoff.

    Atoms keep their order; structure b owns atoms ptr[b] .. ptr[b+1] - 1. The edges are searched on the CPU, in one
    native call. Charge and spin are always there.

    Raises:
        ValueError: no systems; invalid geometry (the message names the structure where it is one of many); a periodic
            structure where the model needs all pairs.
    """
    systems = list(systems)
    if not systems:
        raise ValueError("systems must hold at least one structure; received none")
    counts = np.array([len(s) for s in systems])
    ptr = torch.from_numpy(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))
    pos = torch.from_numpy(np.concatenate([s.pos for s in systems]))
    cell = torch.from_numpy(np.stack([s.cell for s in systems]))
    pbc = torch.from_numpy(np.stack([s.pbc for s in systems]))
    edges = neighbor_list(pos, cell, pbc, needs.cutoff or 0.0, ptr=ptr)
    batch = GraphBatch(
        Z=torch.from_numpy(np.concatenate([s.Z for s in systems])),
        pos=pos,
        cell=cell,
        pbc=pbc,
        batch=torch.from_numpy(np.repeat(np.arange(len(systems)), counts)),
        ptr=ptr,
        idx_i=edges.idx_i,
        idx_j=edges.idx_j,
        shift=edges.shift,
        row_ptr=edges.row_ptr,
        edge_rev=edges.edge_rev,
        charge=torch.tensor([float(s.charge) for s in systems], dtype=torch.float64),
        spin=torch.tensor([float(s.spin) for s in systems], dtype=torch.float64),
        long_range=None if needs.long_range_cutoff is None else long_range_pairs(systems, needs.long_range_cutoff),
    )
    return batch if torch.device(device).type == "cpu" else batch.to(device)
