"""Preconditioners for K + ridge I from a low-rank K ~ F F^T."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pyff.solvers import columns
from pyff.solvers.cholesky import jittered_cholesky
from pyff.solvers.operators import Operator
from pyff.solvers.partial_cholesky import Choose, Factor, Progress, partial_cholesky

__all__ = ["KINDS", "NystroemPreconditioner", "nystroem", "orthonormalize_"]

_ROWS = 4096  # of the factor that are worked on at a time
_MAX_PASSES = 6
_PILOT_BLOCKS = 10  # geometries' worth of random columns that leverage scores are first estimated from
_MAX_GREEDY = 1500  # pivots of a truncated Cholesky before columns are drawn at random

KINDS = {
    "rpcholesky": "randomly pivoted Cholesky: columns drawn from what is not yet represented, in blocks",
    "cholesky": "pivoted Cholesky: the column of the largest residual, one at a time",
    "leverage": "columns drawn by ridge leverage scores, estimated from a smaller preconditioner",
    "random": "columns drawn uniformly",
    "truncated": "pivoted Cholesky for the first columns, the others drawn uniformly",
    "points": "all columns of random geometries; weak, to compare with",
    "eigen": "the leading eigenvectors; the best there is, at the cost of a full solution",
}


def orthonormalize_(rows: Tensor, n: int, ridge: float, progress: Progress | None = None) -> Tensor:
    """Q [n, k], in the memory of `rows` [n + k, k], from F [n, k] in its first n rows.

        [F; sqrt(ridge) I] = [Q; Q'] R with orthonormal columns:    (F F^T + ridge I)^-1 = (I - Q Q^T) / ridge

    I - Q Q^T must be right to ridge / |K|, 1e-12 and less, in directions where K is large. So Q must be orthonormal to
    rounding. Q = F R^-1 is not, with R from one Cholesky factorization of the Gram matrix or from a QR, and conjugate
    gradients then take up to twice the steps. Cholesky QR is repeated instead, until its Gram matrix is near I.
    Source: Yamamoto et al., ETNA 44, 306 (2015); with jitter: Fukaya et al., SIAM J. Sci. Comput. 42, A477 (2020).
    """
    k = rows.shape[1]
    rows[n:] = 0.0
    rows[n:].diagonal().fill_(ridge**0.5)
    if k == 0:
        return rows
    for passed in range(_MAX_PASSES):
        gram = _gram(rows, progress)
        deviation = float((gram - torch.eye(k, dtype=gram.dtype, device=gram.device)).abs().max())
        lower, _ = jittered_cholesky(gram, first=0.0)
        del gram
        for start in range(0, n + k, _ROWS):
            if progress:
                progress(f"orthonormal columns, pass {passed + 1}", start, n)
            part = rows[start : start + _ROWS]
            part.copy_(torch.linalg.solve_triangular(lower.T, part, upper=True, left=False))
        # errors of the columns' products are squared by a pass: from 1e-8 to rounding
        if deviation < 1e-2 / k:
            break
    return rows[:n]


def _gram(rows: Tensor, progress: Progress | None) -> Tensor:
    total = torch.zeros(rows.shape[1], rows.shape[1], dtype=rows.dtype, device=rows.device)
    for part in rows.split(_ROWS):
        if progress:
            progress("products of columns", 0, 0)
        total.addmm_(part.T, part)
    return total


class NystroemPreconditioner:
    """v -> ridge (F F^T + ridge I)^-1 v = v - Q (Q^T v) for a factor F of K ~ F F^T, whose memory becomes that of Q.

    The factor `ridge` makes no difference to conjugate gradients. Symmetric and positive definite.
    """

    def __init__(self, factor: Factor, ridge: float, progress: Progress | None = None) -> None:
        if not ridge > 0:
            raise ValueError(f"ridge must be positive; received {ridge}")
        n = len(factor.matrix)
        self.columns, self.blocks, self.ridge = factor.columns, factor.blocks, ridge
        self.q = orthonormalize_(factor.rows, n, ridge, progress)

    @property
    def rank(self) -> int:
        return self.q.shape[1]

    def __call__(self, v: Tensor) -> Tensor:
        return torch.addmv(v, self.q, self.q.T @ v, alpha=-1.0)

    def leverage_scores(self) -> Tensor:
        """tau_i = [F F^T (F F^T + ridge I)^-1]_ii, [n]: how much K's row i adds to what the ridge lets through."""
        return torch.linalg.vecdot(self.q, self.q)


def nystroem(
    operator: Operator, k: int, ridge: float, kind: str, generator: np.random.Generator, *,
    scores: Tensor | None = None, progress: Progress | None = None,
) -> NystroemPreconditioner:  # fmt: skip
    """A preconditioner of K + ridge I from k columns of K, of one of KINDS.

    scores: leverage scores [n] known already, for kind "leverage".
    Source of the kinds and their comparison: Bluecher, Mueller & Chmiela, J. Chem. Theory Comput. 19, 4619 (2023).
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}; received {kind!r}")
    k = min(k, operator.size)
    if kind == "eigen":
        return NystroemPreconditioner(_eigen_factor(operator, k), ridge, progress)
    if kind == "leverage" and scores is None:
        pilot = min(k, _PILOT_BLOCKS * operator.block)
        scores = nystroem(operator, pilot, ridge, "random", generator, progress=progress).leverage_scores()
    if kind == "points":
        whole = columns.whole_blocks(operator.size, operator.block, k, generator)
        k, choose = len(whole), columns.in_blocks(whole)
    else:
        choose = _choose(kind, operator.size, k, generator, scores)
    return NystroemPreconditioner(partial_cholesky(operator, k, choose, progress=progress), ridge, progress)


def _choose(kind: str, n: int, k: int, generator: np.random.Generator, scores: Tensor | None) -> Choose:
    if kind == "cholesky":
        return columns.greedy
    if kind == "rpcholesky":
        return columns.randomly_pivoted(generator, min(columns.BLOCK, max(1, k // 10)))
    if kind == "truncated":
        return columns.greedy_then_random(generator, k, min(_MAX_GREEDY, k // 2))
    weights = scores if kind == "leverage" else torch.ones(n, dtype=torch.float64)
    return columns.in_blocks(columns.sampled(weights, k, generator))


def _eigen_factor(operator: Operator, k: int) -> Factor:
    matrix = operator.columns(torch.arange(operator.size, device=operator.device))
    values, vectors = torch.linalg.eigh(matrix)
    rows = matrix.new_empty(operator.size + k, k)
    rows[: operator.size] = vectors[:, -k:] * values[-k:].clamp(min=0.0).sqrt()
    return Factor(rows, torch.empty(0, dtype=torch.int64), ())
