"""Plain twin of the matching of atoms, with scipy's linear assignment. See pyff.ops.atom_matching."""

from __future__ import annotations

import numpy as np
import torch

__all__ = ["match_atoms"]


def match_atoms(distance, vectors, Z, pairs, *, perms=False):
    from scipy.optimize import linear_sum_assignment

    n, unlike = len(Z), (Z[:, None] != Z[None]).double()
    score, found = distance.new_empty(len(pairs)), pairs.new_empty(len(pairs), n)
    for k, (i, j) in enumerate(pairs.tolist()):
        cost = -(vectors[j].abs() @ vectors[i].abs().T) + (n + 1) * unlike
        perm = torch.from_numpy(linear_sum_assignment(cost.numpy())[1])
        before = torch.linalg.norm(distance[i] - distance[j])
        after = torch.linalg.norm(distance[i][perm][:, perm] - distance[j])
        better = bool(after < before) and not np.isclose(after, before)
        score[k] = after if better else before
        found[k] = perm if better else torch.arange(n)
    return score, found if perms else None
