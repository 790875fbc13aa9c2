"""Mapping of atoms to beads, and frames drawn evenly over collective variables."""

from __future__ import annotations

import numpy as np
import pytest

from pyff.data.coarse import CoarseMapping, stratified_frames


def test_beads_are_centres_of_mass_and_single_atoms():
    mapping = CoarseMapping.from_groups([[0, 1], 2], 4, masses=np.array([1.0, 3.0, 5.0, 7.0]))
    pos = np.arange(12.0).reshape(4, 3)
    np.testing.assert_allclose(mapping.positions(pos), [0.25 * pos[0] + 0.75 * pos[1], pos[2]])


def test_forces_on_beads_do_the_work_of_the_forces_on_atoms_that_move_with_them():
    mapping = CoarseMapping.from_groups([[0, 1, 2], [2, 3]], 5)
    # an atomic potential that depends on the beads alone: f = M^T F, so the mapped force is F
    bead_forces = np.random.default_rng(0).normal(size=(2, 3))
    np.testing.assert_allclose(mapping.forces(mapping.weights.T @ bead_forces), bead_forces, atol=1e-12)


def test_harmonic_mean_force_is_recovered():
    """Two atoms a, b with U = a^2/2 + (b - a)^2/2, bead at a: the potential of mean force is a^2/2."""
    rng = np.random.default_rng(1)
    a = rng.normal(size=(200_000, 1)) * np.ones((1, 3))
    b = a + rng.normal(size=a.shape)
    forces = np.stack([-a + (b - a), -(b - a)], axis=1)
    f = CoarseMapping.from_groups([0], 2).forces(forces)[:, 0]
    slope = (f * a).sum() / (a * a).sum()
    assert slope == pytest.approx(-1.0, abs=0.02)


def test_dependent_beads_are_an_error():
    with pytest.raises(ValueError, match="independent rows"):
        CoarseMapping(np.array([[1.0, 0.0], [1.0, 0.0]]))
    with pytest.raises(ValueError, match=r"groups must name atoms in 0\.\.2; received 3 for bead 1"):
        CoarseMapping.from_groups([0, 3], 3)


def test_stratified_frames_draw_rare_and_common_bins_alike():
    x = np.concatenate([np.full(9900, 0.1), np.full(100, 0.9)])[:, None]
    drawn = stratified_frames(x, 4000, np.random.default_rng(0), bins=10)
    assert np.mean(x[drawn] > 0.5) == pytest.approx(0.5, abs=0.03)


def test_stratified_frames_without_replacement_take_every_bin_in_turn():
    rng = np.random.default_rng(2)
    x = np.repeat([[0.0], [1.0], [2.0]], [50, 5, 2], axis=0)
    drawn = stratified_frames(x, 9, rng, bins=3, replace=False)
    assert len(set(drawn)) == 9
    assert sorted(np.bincount(x[drawn][:, 0].astype(int))) == [2, 3, 4]
    with pytest.raises(ValueError, match="size must be at most the number of frames, 57; received 58"):
        stratified_frames(x, 58, rng, replace=False)
