"""Free-energy surfaces: angles with their sign, histograms, differences that are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from pyff._figure import save_figure
from pyff.analysis.free_energy import FreeEnergySurface, dihedral_angles, free_energy_surface, surface_panel


@pytest.mark.parametrize("degrees", [-179.0, -60.0, 0.0, 45.0, 120.0, 180.0])
def test_dihedral_angle_has_the_iupac_sign(degrees):
    angle = np.radians(degrees)
    # seen along b -> c (the z axis, away from the viewer), clockwise is from x to y
    pos = np.array([[1.0, 0, 0], [0, 0, 0], [0, 0, 1.5], [np.cos(angle), np.sin(angle), 2.0]])
    assert np.cos(dihedral_angles(pos, [[0, 1, 2, 3]])[0] - angle) == pytest.approx(1.0, abs=1e-12)
    assert np.sin(dihedral_angles(pos, [[0, 1, 2, 3]])[0]) == pytest.approx(np.sin(angle), abs=1e-12)


def test_mirror_image_changes_the_sign_of_a_dihedral():
    pos = np.random.default_rng(0).normal(size=(7, 4, 3))
    np.testing.assert_allclose(dihedral_angles(-pos, [[0, 1, 2, 3]]), -dihedral_angles(pos, [[0, 1, 2, 3]]))


def test_surface_of_a_boltzmann_distribution_is_its_energy():
    # counts proportional to exp(-U): F = U - min U exactly
    U = np.add.outer(np.cos(np.arange(6.0)), np.sin(np.arange(6.0)))
    surface = FreeEnergySurface(np.exp(-U))
    np.testing.assert_allclose(surface.energy, U - U.min(), atol=1e-12)


def test_histogram_counts_each_sample_once_and_wraps():
    surface = free_energy_surface(np.array([[[-np.pi, -np.pi], [np.pi, np.pi]], [[0.1, -0.1], [0.1, -0.2]]]), bins=4)
    assert surface.counts.sum() == 4
    assert surface.counts[0, 0] == 2  # pi is -pi
    assert surface.counts[2, 1] == 2
    assert np.isinf(surface.energy[3, 3])


def test_differences_are_zero_for_equal_and_known_for_different_surfaces():
    a = FreeEnergySurface(np.array([[1.0, 1.0], [1.0, 1.0]]))
    b = FreeEnergySurface(np.array([[2.0, 2.0], [4.0, 4.0]]))
    assert a.mean_squared_difference(a) == 0 and a.divergence(a) == pytest.approx(0, abs=1e-15)
    # F differs by ln 2 between the halves, which hold 1/3 and 2/3 of b
    assert a.mean_squared_difference(b) == pytest.approx(np.log(2) ** 2 * (1 / 3) * (2 / 3))
    apart = FreeEnergySurface(np.array([[1.0, 0], [0, 0]])), FreeEnergySurface(np.array([[0, 0], [0, 3.0]]))
    assert apart[0].divergence(apart[1]) == pytest.approx(np.log(2))


def test_bad_angles_are_errors():
    with pytest.raises(ValueError, match=r"angles must have shape \(..., 2\); received \(5, 3\)"):
        free_energy_surface(np.zeros((5, 3)))
    with pytest.raises(ValueError, match="angles must be finite"):
        free_energy_surface(np.array([[0.0, np.nan]]))


def test_surface_can_be_drawn(tmp_path):
    save_figure(tmp_path / "f.png", [surface_panel(free_energy_surface(np.zeros((3, 2)), 8), "one bin")])
    assert (tmp_path / "f.png").stat().st_size > 1000
