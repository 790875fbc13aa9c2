"""Short vectors of a lattice: in a reduced cell the nearest image is one of the 27 around the rounded one."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

__all__ = ["reduced"]


def reduced(cell: Tensor) -> Tensor:
    """Cells float64 [3, 3] or [B, 3, 3] whose rows are the shortest vectors of the same lattices (Minkowski).

    A cell that is reduced already, as most are, comes back unchanged, its vectors in the same order.
    """
    rows = cell.detach().cpu().contiguous().numpy()
    parts = [_reduced(part.tobytes()) for part in rows.reshape(-1, 3, 3)]
    if all(part is None for part in parts):
        return cell
    out = [part if new is None else new for part, new in zip(rows.reshape(-1, 3, 3), parts)]
    return torch.from_numpy(np.stack(out).reshape(rows.shape)).to(cell.device)


@lru_cache(maxsize=256)  # the same cell comes back at every step of a simulation
def _reduced(rows: bytes) -> np.ndarray | None:
    """None where the cell is reduced, or no lattice."""
    cell = np.frombuffer(rows).reshape(3, 3)
    if not np.isfinite(cell).all() or np.linalg.matrix_rank(cell) < 3 or _is_reduced(cell):
        return None
    from ase.geometry import minkowski_reduce

    return np.ascontiguousarray(minkowski_reduce(cell)[0])


def _is_reduced(cell: np.ndarray) -> bool:
    """|c| <= |c + x a + y b| and |b| <= |b + x a| for x, y in -1, 0, 1, with |a| <= |b| <= |c|."""
    a, b, c = cell[np.argsort((cell**2).sum(1), kind="stable")]
    x, y = np.meshgrid([-1, 0, 1], [-1, 0, 1])
    others = c + x[..., None] * a + y[..., None] * b
    slack = 1 + 1e-12  # hexagonal and cubic cells are on the edge
    longer = (others**2).sum(-1) * slack >= c @ c
    return bool(longer.all() and all((b + k * a) @ (b + k * a) * slack >= b @ b for k in (-1, 1)))
