from __future__ import annotations

import torch

__all__ = ["edge_geometry"]


def edge_geometry(pos, cell, shift, row_ptr, idx_i, idx_j, edge_rev, batch, *, strain=None):
    """Twin of pyff.ops.edge_geometry."""
    vec = pos[idx_j] - pos[idx_i] + torch.einsum("ea,eab->eb", shift.to(cell.dtype), cell[batch[idx_i]])
    if strain is not None:
        vec = vec + torch.einsum("ea,eab->eb", vec, strain[batch[idx_i]])
    return vec, torch.linalg.vector_norm(vec, dim=1)
