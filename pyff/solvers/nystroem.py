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
_PANELS = 8  # of columns, of which half the products are needed
_MAX_PASSES = 6
_ALLOWED_ERROR = 0.1  # of the preconditioned matrix, in units of its eigenvalues near 1
_TAIL = 0.2  # shift over the mean eigenvalue that a factor leaves out: steps are least between 0.05 and 0.3
_ROUNDING = 100 * torch.finfo(torch.float64).eps  # of the trace: below, I - Q Q^T is not positive definite
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


def orthonormalize_(rows: Tensor, n: int, shift: float, progress: Progress | None = None) -> Tensor:
    """Q [n, k], in the memory of `rows` [n + k, k], from F [n, k] in its first n rows.

        [F; sqrt(shift) I] = [Q; Q'] R with orthonormal columns:    (F F^T + shift I)^-1 = (I - Q Q^T) / shift

    I - Q Q^T is to be right to shift / |F F^T| in directions where K is large, so errors of orthonormality must be that
    small. Cholesky QR is repeated until they are: once for usual shifts, twice where they are as small as 1e-10.
    Source: Yamamoto et al., ETNA 44, 306 (2015); with jitter: Fukaya et al., SIAM J. Sci. Comput. 42, A477 (2020).
    """
    k = rows.shape[1]
    rows[n:] = 0.0
    rows[n:].diagonal().fill_(shift**0.5)
    scale = None
    for passed in range(_MAX_PASSES if k else 0):
        gram = _gram(rows, progress)
        scale = float(gram.diagonal().sum()) if scale is None else scale
        lower, _ = jittered_cholesky(gram.T, first=0.0)
        del gram
        for start in range(0, n + k, _ROWS):
            if progress:
                progress(f"orthonormal columns, pass {passed + 1}", start, n + k)
            part = rows[start : start + _ROWS]
            part.copy_(torch.linalg.solve_triangular(lower.T, part, upper=True, left=False))
        if _orthogonality_error(rows) * scale < _ALLOWED_ERROR * shift:
            break
    return rows[:n]


def _orthogonality_error(rows: Tensor) -> float:
    """The Frobenius norm of rows^T rows - I, estimated with one random vector."""
    k = rows.shape[1]
    z = torch.randn(k, dtype=rows.dtype, generator=torch.Generator().manual_seed(0)).to(rows.device)
    return float((rows.T @ (rows @ z) - z).norm() / z.norm()) * k**0.5


def _gram(rows: Tensor, progress: Progress | None) -> Tensor:
    """rows^T rows, its upper triangle; below some of it is left out."""
    k = rows.shape[1]
    total = torch.zeros(k, k, dtype=rows.dtype, device=rows.device)
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS]
        if progress:
            progress("products of columns", start, len(rows))
        for a in range(0, k, width := -(-k // _PANELS)):
            total[a : a + width, a:].addmm_(part[:, a : a + width].T, part[:, a:])
    return total


class NystroemPreconditioner:
    """v -> shift (F F^T + shift I)^-1 v = v - Q (Q^T v) for a factor F of K ~ F F^T, whose memory becomes that of Q.

    Symmetric and positive definite; the factor `shift` makes no difference to conjugate gradients. Of K + ridge I the
    part in F is mapped to eigenvalues about 1, the rest to (left-out eigenvalue + ridge) / shift. The least steps are
    taken where these lie on both sides of 1: shift is a fifth of the mean eigenvalue left out, or the ridge if that is
    larger. (shift = ridge, the inverse of the approximated matrix, takes a third more steps and a second pass.) The
    factor stays in double precision: in single, I - Q Q^T is not positive definite for any shift that helps.
    Source: Frangella, Tropp & Udell, SIAM J. Matrix Anal. Appl. 44, 718 (2023), for eigenvectors.
    """

    def __init__(
        self, factor: Factor, ridge: float, *, shift: float | None = None, progress: Progress | None = None
    ) -> None:
        if not ridge > 0:
            raise ValueError(f"ridge must be positive; received {ridge}")
        if shift is None:
            shift = max(ridge, _TAIL * factor.tail, _ROUNDING * factor.trace)
        self.columns, self.blocks, self.shift = factor.columns, factor.blocks, shift
        self.q = orthonormalize_(factor.rows, len(factor.matrix), shift, progress)

    @property
    def rank(self) -> int:
        return self.q.shape[1]

    def __call__(self, v: Tensor) -> Tensor:
        return torch.addmv(v, self.q, self.q.T @ v, alpha=-1.0)

    def leverage_scores(self) -> Tensor:
        """tau_i = [F F^T (F F^T + shift I)^-1]_ii, [n]: how much row i adds to what the shift lets through."""
        return torch.linalg.vecdot(self.q, self.q)


def nystroem(
    operator: Operator, k: int, ridge: float, kind: str, rng: np.random.Generator, *,
    shift: float | None = None, scores: Tensor | None = None, progress: Progress | None = None,
) -> NystroemPreconditioner:  # fmt: skip
    """A preconditioner of K + ridge I from k columns of K, of one of KINDS.

    shift: see `NystroemPreconditioner`. scores: leverage scores [n] known already, for kind "leverage".
    Source of the kinds and their comparison: Bluecher, Mueller & Chmiela, J. Chem. Theory Comput. 19, 4619 (2023).
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}; received {kind!r}")
    k = min(k, operator.size)
    if kind == "eigen":
        return NystroemPreconditioner(_eigen_factor(operator, k), ridge, shift=shift, progress=progress)
    if kind == "leverage" and scores is None:
        pilot = min(k, _PILOT_BLOCKS * operator.block)
        small = nystroem(operator, pilot, ridge, "random", rng, shift=shift, progress=progress)
        scores = small.leverage_scores()
        del small
    if kind == "points":
        whole = columns.whole_blocks(operator.size, operator.block, k, rng)
        k, choose = len(whole), columns.in_blocks(whole)
    else:
        choose = _choose(kind, operator.size, k, rng, scores)
    factor = partial_cholesky(operator, k, choose, progress=progress)
    return NystroemPreconditioner(factor, ridge, shift=shift, progress=progress)


def _choose(kind: str, n: int, k: int, rng: np.random.Generator, scores: Tensor | None) -> Choose:
    if kind == "cholesky":
        return columns.greedy
    if kind == "rpcholesky":
        return columns.randomly_pivoted(rng, min(columns.BLOCK, max(1, k // 10)))
    if kind == "truncated":
        return columns.greedy_then_random(rng, k, min(_MAX_GREEDY, k // 2))
    weights = scores if kind == "leverage" else torch.ones(n, dtype=torch.float64)
    return columns.in_blocks(columns.sampled(weights, k, rng))


def _eigen_factor(operator: Operator, k: int) -> Factor:
    matrix = operator.columns(torch.arange(operator.size, device=operator.device))
    values, vectors = torch.linalg.eigh(matrix)
    rows = matrix.new_empty(operator.size + k, k)
    rows[: operator.size] = vectors[:, -k:] * values[-k:].clamp(min=0.0).sqrt()
    tail = float(values[:-k].sum()) / max(1, operator.size - k)
    return Factor(rows, torch.empty(0, dtype=torch.int64), (), tail, float(values.sum()))
