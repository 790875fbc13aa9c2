"""Which atom of one geometry is which of another, for many pairs of geometries of a molecule."""

from __future__ import annotations

import torch
from torch import Tensor

from pyff import _core
from pyff.ops._check import address, require

__all__ = ["match_atoms"]


def match_atoms(
    distance: Tensor, vectors: Tensor, Z: Tensor, pairs: Tensor, *, perms: bool = False
) -> tuple[Tensor, Tensor | None]:
    """Permutations that turn geometry i into geometry j as well as the spectra of their distance matrices tell.

        p minimizes sum_a C(a, p(a)),   C(a, b) = -sum_k |V_j[a, k]| |V_i[b, k]|,   among atoms of one element
        score = |D_i[p][:, p] - D_j|;   the identity where it is not worse

    Linear assignment by shortest augmenting paths. On the CPU; threads share the pairs.

    Args:
        distance: matrices of interatomic distances D, float64 [M, N, N].
        vectors: their eigenvectors as columns V, float64 [M, N, N], of descending eigenvalues.
        Z: atomic numbers, int64 [N].
        pairs: (i, j), int64 [K, 2].
        perms: whether to return the permutations.

    Returns:
        The scores [K], and the permutations int64 [K, N] or None.

    Source: Umeyama, IEEE Trans. Pattern Anal. Mach. Intell. 10, 695 (1988); Chmiela et al., Nat. Commun. 9, 3887
    (2018).
    """
    op, (m, n) = "match_atoms", (distance.shape[0], Z.shape[0])
    require(op, "distance", distance, (None, n, n), torch.float64)
    require(op, "vectors", vectors, (m, n, n), torch.float64)
    require(op, "Z", Z, (n,), torch.int64)
    require(op, "pairs", pairs, (None, 2), torch.int64)
    if len(pairs) and not 0 <= int(pairs.min()) <= int(pairs.max()) < m:
        raise ValueError(f"{op}: pairs must lie in 0 .. {m - 1}; received {int(pairs.min())} .. {int(pairs.max())}")
    if not bool(torch.isfinite(vectors).all()):  # the search for the cheapest path would not end
        raise ValueError(f"{op}: vectors must be finite; received NaN or infinity")
    arrays = [distance.contiguous(), vectors.abs().mT.contiguous(), Z.contiguous(), pairs.contiguous()]
    score = distance.new_empty(len(pairs))
    found = pairs.new_empty(len(pairs), n) if perms else None
    _core.atom_matching(n, len(pairs), [address(a) for a in (*arrays, score, found)], torch.get_num_threads())
    return score, found
