"""Stratified sampling: disjoint, complete, and distributed as the energies are."""

from __future__ import annotations

import numpy as np
import pytest

from pyff.train.gdml.sampling import stratified_sample


def skewed_energies(m: int = 2000, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(2.0, 3.0, m)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 10, 500, 1899, 1900])
def test_sample_has_n_different_frames_and_none_excluded(n):
    rng = np.random.default_rng(1)
    exclude = rng.permutation(2000)[:100]
    drawn = stratified_sample(skewed_energies(), n, rng, exclude)
    assert len(set(drawn.tolist())) == len(drawn) == n
    assert not set(drawn.tolist()) & set(exclude.tolist())
    assert drawn.dtype.kind == "i"


def test_sample_follows_the_distribution_closer_than_a_random_one():
    energies, n = skewed_energies(), 200
    rng = np.random.default_rng(2)

    def distance(drawn: np.ndarray) -> float:  # Kolmogorov-Smirnov
        grid = np.sort(energies)
        share = np.searchsorted(np.sort(energies[drawn]), grid, side="right") / n
        return float(np.abs(share - np.arange(1, len(grid) + 1) / len(grid)).max())

    stratified = np.mean([distance(stratified_sample(energies, n, rng)) for _ in range(30)])
    random = np.mean([distance(rng.permutation(2000)[:n]) for _ in range(30)])
    assert stratified < 0.75 * random


def test_tails_are_always_there():
    """A bin with few frames gives at least one: the highest energies are not missed."""
    energies = np.concatenate([np.random.default_rng(0).normal(0, 1, 1000), [40.0, 40.1]])
    for seed in range(20):
        drawn = stratified_sample(energies, 50, np.random.default_rng(seed))
        assert energies[drawn].max() > 39


def test_equal_energies_are_one_bin():
    assert len(stratified_sample(np.zeros(20), 7, np.random.default_rng(0))) == 7


def test_same_seed_same_frames():
    one, two = (stratified_sample(skewed_energies(), 50, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(one, two)


def test_too_few_frames():
    with pytest.raises(ValueError, match=r"n must be 0 \.\. 7, the frames that may be drawn; received 8"):
        stratified_sample(np.arange(10.0), 8, np.random.default_rng(0), np.array([0, 1, 2]))
