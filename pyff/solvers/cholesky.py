"""Cholesky factors of small matrices that are positive definite up to rounding."""

from __future__ import annotations

import torch
from torch import Tensor

from pyff.solvers.panel_cholesky import NotPositiveDefiniteError

__all__ = ["jittered_cholesky"]

_ATTEMPTS = 12  # factors 10 of jitter: from rounding to a thousandth of the largest entry


def jittered_cholesky(
    matrix: Tensor, *, first: float | None = None, scale: float | None = None
) -> tuple[Tensor, float]:
    """Lower factor of a symmetric matrix [k, k] plus the least jitter on its diagonal that lets it exist.

        L L^T = A + epsilon I,    epsilon = first, then 10, 100, ... times the rounding error of `scale`

    first: None means that rounding error itself, 0 nothing. scale: of the numbers that A comes from; None for the
    largest diagonal entry. Returns (L, epsilon).
    Raises NotPositiveDefiniteError where a thousandth of the scale does not suffice.
    """
    if scale is None:
        # the zero matrix has a factor too: that of the jitter
        scale = float(matrix.diagonal().abs().max()) or 1.0
    rounding = torch.finfo(torch.float64).eps * scale
    for jitter in [rounding if first is None else first, *(rounding * 10**power for power in range(1, _ATTEMPTS))]:
        shifted = matrix.clone()
        shifted.diagonal().add_(jitter)
        factor, info = torch.linalg.cholesky_ex(shifted)
        if not int(info):
            return factor, jitter
    raise NotPositiveDefiniteError(
        f"the matrix [{matrix.shape[0]}, {matrix.shape[0]}] is not positive definite: its least eigenvalue is below"
        f" -{jitter:.1e}, its scale {scale:.1e}"
    )
