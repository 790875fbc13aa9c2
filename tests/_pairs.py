"""Brute-force pair lists, and comparison of lists as sets of (i, j, S)."""

from __future__ import annotations

import itertools

import numpy as np


def image_counts(pos: np.ndarray, cell: np.ndarray, pbc, cutoff: float) -> list[int]:
    """Per axis, how many images to either side can bring two of the atoms within the cutoff."""
    pbc = np.asarray(pbc, bool)
    counts = [0, 0, 0]
    if len(pos) and pbc.any():
        dual = np.linalg.pinv(np.asarray(cell, float)[pbc])  # columns: gradients of fractional coordinates
        reach = np.ptp(pos @ dual, axis=0) + cutoff * np.linalg.norm(dual, axis=0)
        for axis, r in zip(np.nonzero(pbc)[0], reach):
            counts[axis] = int(np.ceil(r + 1e-9))
    return counts


def brute_force(pos, cell, pbc, cutoff, *, self_interaction: bool = False) -> set[tuple[int, ...]]:
    """{(i, j, S1, S2, S3)}: every pair of every image, tested one shift at a time."""
    pos = np.asarray(pos, float).reshape(-1, 3)
    cell = np.where(np.asarray(pbc, bool)[:, None], np.asarray(cell, float), 0.0)
    found = set()
    ranges = [range(-m, m + 1) for m in image_counts(pos, cell, pbc, cutoff)]
    for S in itertools.product(*ranges):
        vec = (pos[None] - pos[:, None]) + ((S[0] * cell[0] + S[1] * cell[1]) + S[2] * cell[2])
        d = np.sqrt((vec[..., 0] ** 2 + vec[..., 1] ** 2) + vec[..., 2] ** 2)
        for i, j in zip(*np.nonzero(d < cutoff)):
            if i != j or S != (0, 0, 0) or self_interaction:
                found.add((int(i), int(j), *S))
    return found


def as_rows(i, j, S) -> list[tuple[int, ...]]:
    return list(zip(np.asarray(i).tolist(), np.asarray(j).tolist(), *np.asarray(S).T.tolist()))


def assert_valid(pos, cell, pbc, cutoff, i, j, S, D, d) -> None:
    """What must hold for every full list: types, order, geometry, no pair twice, every reverse present."""
    assert (i.dtype, j.dtype, S.dtype, D.dtype, d.dtype) == (np.int64, np.int64, np.int32, np.float64, np.float64)
    assert i.shape == j.shape == d.shape == (len(i),) and S.shape == D.shape == (len(i), 3)
    assert (np.diff(i) >= 0).all()
    assert (S[:, ~np.asarray(pbc, bool)] == 0).all()
    assert (d < cutoff).all()
    scale = 1e-13 * max(1.0, np.abs(pos).max(initial=0), np.abs(S).max(initial=0) * np.abs(cell).max(initial=0))
    assert np.abs(D - (pos[j] - pos[i] + S @ np.asarray(cell, float))).max(initial=0) <= scale
    assert np.abs(d - np.linalg.norm(D, axis=1)).max(initial=0) <= 1e-14 * cutoff
    vectors = dict(zip(as_rows(i, j, S), zip(D.tolist(), d.tolist())))
    assert len(vectors) == len(i), "a pair is listed twice"
    for (a, b, *s), (vec, distance) in vectors.items():
        reverse, reverse_distance = vectors[b, a, -s[0], -s[1], -s[2]]
        assert reverse_distance == distance and reverse == [-x for x in vec], "reverse differs"


def assert_matches_brute_force(neighbor_list, pos, cell, pbc, cutoff) -> int:
    """Checks one full list completely; returns the number of pairs."""
    pos = np.asarray(pos, float).reshape(-1, 3)
    cell = np.asarray(cell, float)
    pbc = np.broadcast_to(np.asarray(pbc, bool), 3)
    i, j, S, D, d = neighbor_list("ijSDd", positions=pos, cell=cell, pbc=pbc, cutoff=cutoff)
    assert_valid(pos, cell, pbc, cutoff, i, j, S, D, d)
    found, wanted = set(as_rows(i, j, S)), brute_force(pos, cell, pbc, cutoff)
    assert found == wanted, f"missing {sorted(wanted - found)[:5]}, wrong {sorted(found - wanted)[:5]}"
    return len(found)
