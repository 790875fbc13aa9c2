"""Low-rank factors K ~ F F^T from columns of K, block by block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pyff.solvers.cholesky import jittered_cholesky
from pyff.solvers.operators import Operator

__all__ = ["Factor", "partial_cholesky"]

_ROUNDING = 10 * torch.finfo(torch.float64).eps

Choose = Callable[[Tensor, int], Tensor]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Factor:
    """F [n, k] in the first n rows of `rows` [n + k, k]; the rest is room that `orthonormalize_` needs.

    columns: int64 [k], columns of K in the order used; blocks: how many at a time. Both repeat F bit by bit. tail: mean
    diagonal element, and so mean eigenvalue, of K - F F^T off these columns; trace: of K.
    """

    rows: Tensor
    columns: Tensor
    blocks: tuple[int, ...]
    tail: float
    trace: float

    @property
    def matrix(self) -> Tensor:
        return self.rows[: self.rows.shape[0] - self.rows.shape[1]]


def partial_cholesky(
    operator: Operator, k: int, choose: Choose, *, tolerance: float = 0.0, progress: Progress | None = None
) -> Factor:
    """The Nystroem approximation K[:, S] K[S, S]^-1 K[S, :] = F F^T on columns S that are chosen as F grows.

        G = K[:, s] - F F[s]^T,    F <- [F, G L^-T],    L L^T = G[s] + jitter,    d <- d - row norms^2 of G L^-T

    One block is the plain Nystroem factor; blocks of one are pivoted Cholesky, which stopped by `tolerance` is known as
    incomplete Cholesky.

    Args:
        choose: (residual diagonal d [n], room left) -> int64 [1..room], the next columns; each at most once.
        tolerance: stop once the trace of K - F F^T is at most this fraction of the trace of K; or a rounding error.
        progress: called between blocks with ("columns", done, k); what it raises ends the work.

    Source: Fine & Scheinberg, JMLR 2, 243 (2001); blocks: Chen, Epperly, Tropp & Webber, arXiv:2207.06503, 2304.12465.
    """
    # a vanishing element may come out below 0
    residual = operator.diagonal().clamp_(min=0.0)
    n, trace, scale = operator.size, float(residual.sum()), float(residual.max())
    tolerance = max(tolerance, _ROUNDING)
    rows = torch.empty(n + k, k, dtype=torch.float64, device=operator.device)
    chosen: list[Tensor] = []
    done = 0
    while done < k and (done == 0 or float(residual.sum()) > tolerance * trace):
        if progress:
            progress("columns", done, k)
        s = choose(residual, k - done)
        block = _next_columns(operator, rows[:n, :done], s, scale)
        rows[:n, done : done + len(s)] = block
        residual = (residual - block.square().sum(1)).clamp_(min=0.0)
        residual[s] = 0.0
        chosen.append(s)
        done += len(s)
    if done < k:
        rows = torch.cat([rows[:n, :done], rows.new_empty(done, done)])
    tail = float(residual.sum()) / max(1, n - done)
    return Factor(rows, torch.cat(chosen), tuple(map(len, chosen)), tail, trace)


def _next_columns(operator: Operator, factor: Tensor, s: Tensor, scale: float) -> Tensor:
    columns = operator.columns(s)
    if factor.shape[1]:
        columns = torch.addmm(columns, factor, factor[s].T, alpha=-1.0)
    inner = columns[s]
    lower, _ = jittered_cholesky((inner + inner.T) / 2, scale=scale)
    return torch.linalg.solve_triangular(lower.T, columns, upper=True, left=False)
