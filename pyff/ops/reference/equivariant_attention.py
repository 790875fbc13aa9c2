from __future__ import annotations

import torch

from pyff.ops.reference.harmonics import spherical_harmonics
from pyff.ops.reference.pointwise import activate, cutoff_function

__all__ = ["equivariant_attention", "equivariant_attention_flat", "invariants"]


def invariants(ev, degrees):
    """tau_l(v) = (1/sqrt(2l+1)) sum_m v_lm^2: [..., M] -> [..., L]."""
    parts = ev.split([2 * degree + 1 for degree in degrees], -1)
    return torch.stack([(2 * d + 1) ** -0.5 * p.square().sum(-1) for d, p in zip(degrees, parts)], -1)


def equivariant_attention(
    features, ev, radial, spherical, vec, row_ptr, idx_i, idx_j, edge_rev, shape, *, table=None
):  # fmt: skip
    """Twin of pyff.ops.equivariant_attention."""
    q1, k1, v1, q2, k2 = features
    n, dtype, degrees = q1.shape[0], q1.dtype, shape.degrees
    distance = vec.norm(dim=-1)
    w1, w2 = (radial if table is None else _tabulated(radial, distance, *table)).chunk(2, -1)
    if spherical is not None:
        ws1, bs1, ws2, bs2 = spherical
        tau = invariants(ev[idx_j] - ev[idx_i], degrees)
        w1, w2 = (
            w + activate(tau @ ws1[b].T + bs1[b], shape.activation) @ ws2[b].T + bs2[b] for b, w in enumerate((w1, w2))
        )
    weight = (cutoff_function(distance, shape.cutoff, dtype=dtype) / shape.normalization)[:, None]
    heads = lambda x, h: x.unflatten(-1, (h, x.shape[-1] // h))  # noqa: E731
    alpha1 = weight * heads(q1[idx_i] * w1 * k1[idx_j], shape.n_heads).sum(-1)
    alpha2 = weight * heads(q2[idx_i] * w2 * k2[idx_j], len(degrees)).sum(-1)
    message = (alpha1[..., None] * heads(v1[idx_j], shape.n_heads)).flatten(1)
    harmonics = spherical_harmonics(vec / distance[:, None], degrees).to(dtype)
    per_degree = alpha2.repeat_interleave(torch.tensor([2 * d + 1 for d in degrees], device=vec.device), -1)
    x = q1.new_zeros(n, q1.shape[1]).index_add(0, idx_i, message)
    return x, q1.new_zeros(n, harmonics.shape[1]).index_add(0, idx_i, per_degree * harmonics)


def _tabulated(coef, distance, start, spacing, decay):
    x = distance - start
    x = (-torch.expm1(-decay * x) / decay if decay > 0 else x) / spacing
    interval = x.detach().floor().long().clamp(0, coef.shape[0] - 1)
    u = (x - interval).to(coef.dtype)
    return torch.einsum("em,emf->ef", torch.stack([u**m for m in range(6)], 1), coef[interval])


def equivariant_attention_flat(
    q1, k1, v1, q2, k2, ev, radial, ws1, bs1, ws2, bs2, vec, row_ptr, idx_i, idx_j, edge_rev, degrees, n_heads,
    kind, radius, onset, normalization, activation, start, spacing, decay,
):  # fmt: skip
    """The same with the arguments of the registered op; ws1 without elements means no spherical filter."""
    from pyff.ops.equivariant_attention import AttentionShape
    from pyff.ops.radial import CUTOFFS, Cutoff

    cutoff = Cutoff(next(name for name, number in CUTOFFS.items() if number == kind), radius, onset)
    return equivariant_attention(
        (q1, k1, v1, q2, k2), ev, radial, (ws1, bs1, ws2, bs2) if ws1.numel() else None, vec, row_ptr, idx_i, idx_j,
        edge_rev, AttentionShape(tuple(degrees), n_heads, cutoff, normalization, activation),
        table=(start, spacing, decay) if spacing > 0 else None,
    )  # fmt: skip
