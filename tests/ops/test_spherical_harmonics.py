"""Spherical harmonics against scipy's, and their symmetries."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import sph_harm_y

from pyff import ops

ALL = (1, 2, 3, 4)


def units(n=40, seed=0):
    x = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x / x.norm(dim=-1, keepdim=True)


def by_scipy(u, degree):
    theta, phi = np.arccos(u[:, 2]), np.arctan2(u[:, 1], u[:, 0])
    columns = []
    for m in range(-degree, degree + 1):
        y = (-1.0) ** m * sph_harm_y(degree, abs(m), theta, phi)  # without the phase of Condon and Shortley
        columns.append(y.real if m == 0 else math.sqrt(2) * (y.real if m > 0 else y.imag))
    return np.stack(columns, 1)


@pytest.mark.parametrize("degree", ALL)
def test_spherical_harmonics_equal_scipys(degree):
    u = units()
    np.testing.assert_allclose(ops.spherical_harmonics(u, (degree,)), by_scipy(u.numpy(), degree), atol=2e-15)


def test_spherical_harmonics_have_parity_and_the_norm_of_the_addition_theorem():
    u = units()
    for degree in ALL:
        y = ops.spherical_harmonics(u, (degree,))
        assert torch.equal(ops.spherical_harmonics(-u, (degree,)), (-1) ** degree * y)
        expected = torch.full((len(u),), (2 * degree + 1) / (4 * math.pi), dtype=torch.float64)
        torch.testing.assert_close(y.square().sum(1), expected, rtol=1e-14, atol=0)


def test_spherical_harmonics_repeat_degrees_in_order():
    u = units()
    parts = [ops.spherical_harmonics(u, (degree,)) for degree in (2, 1, 2)]
    assert torch.equal(ops.spherical_harmonics(u, (2, 1, 2)), torch.cat(parts, 1))


def test_spherical_harmonics_pass_gradcheck_and_gradgradcheck():
    def fn(x):
        return ops.spherical_harmonics(x / x.norm(dim=-1, keepdim=True), ALL)

    x = (1.3 * units(3)).requires_grad_()
    assert torch.autograd.gradcheck(fn, x)
    assert torch.autograd.gradgradcheck(fn, x)


def test_spherical_harmonics_name_a_wrong_argument():
    with pytest.raises(ValueError, match=r"degrees must be one or more numbers in 1\.\.4; received \(0, 1\)"):
        ops.spherical_harmonics(units(), (0, 1))
    with pytest.raises(ValueError, match=r"unit must have shape \(any, 3\)"):
        ops.spherical_harmonics(units()[:, :2], (1,))
