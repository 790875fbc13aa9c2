"""Equivariant attention (SO3krates): messages between invariant features and Euclidean variables, without softmax."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pyff.ops import reference
from pyff.ops.radial import Cutoff

__all__ = ["AttentionShape", "equivariant_attention"]

MAX_DEGREE = 4


@dataclass(frozen=True)
class AttentionShape:
    """What attention is made of besides its tensors: degrees l of the Euclidean variables (may repeat), heads of the
    invariant block, cutoff function, normalization nc of the coefficients, activation of the spherical filter."""

    degrees: tuple[int, ...]
    n_heads: int
    cutoff: Cutoff
    normalization: float = 1.0
    activation: str = "silu"

    def __post_init__(self) -> None:
        if not self.degrees or any(not 1 <= degree <= MAX_DEGREE for degree in self.degrees):
            raise ValueError(f"degrees must be one or more numbers in 1..{MAX_DEGREE}; received {self.degrees}")
        if self.n_heads < 1:
            raise ValueError(f"n_heads must be at least 1; received {self.n_heads}")
        if not 0 < self.normalization < float("inf"):
            raise ValueError(f"normalization must be positive and finite; received {self.normalization}")

    @property
    def n_components(self) -> int:
        """M = sum (2l + 1), the length of an atom's Euclidean variables."""
        return sum(2 * degree + 1 for degree in self.degrees)


def equivariant_attention(
    features: tuple[Tensor, Tensor, Tensor, Tensor, Tensor], ev: Tensor | None, radial: Tensor,
    spherical: tuple[Tensor, Tensor, Tensor, Tensor] | None, vec: Tensor, row_ptr: Tensor, idx_i: Tensor,
    idx_j: Tensor, edge_rev: Tensor, shape: AttentionShape, *, table: tuple[float, float] | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Messages of both attention blocks of one SO3krates layer.

        x_i = concat_h sum_j a1_h v1_j,h        a1_h = phi(d)/nc sum_{c in h} q1_ic w1_c k1_jc     (n_heads heads)
        ev_i,lm = sum_j a2_l Y_lm(u_ij)         a2_l = phi(d)/nc sum_{c in l} q2_ic w2_c k2_jc     (one head per degree)
        w_b = R_b(d) + S_b(tau),  S_b = ws2_b act(ws1_b tau + bs1_b) + bs2_b,  tau_l = |ev_j - ev_i|_l^2 / sqrt(2l+1)

    features: q1, k1, v1, q2, k2 [N,F]; ev [N,M] Euclidean variables, with spherical: ws1 [2,S,L], bs1 [2,S],
    ws2 [2,F,S], bs2 [2,F]; both None where the Euclidean variables are zero (the constant S then belongs to radial).
    radial: R_1 and R_2 side by side, either [E,2F], the same for both directions of a pair, or, with
    table = (start, spacing), polynomial coefficients [K,6,2F] as in `cfconv_table`. vec [E,3] float64, A, opposite
    for an edge and its reverse. Returns x [N,F] and ev [N,M]; differentiable to second order in all tensors.
    """
    return reference.equivariant_attention(
        features, ev, radial, spherical, vec, row_ptr, idx_i, idx_j, edge_rev, shape, table=table
    )
