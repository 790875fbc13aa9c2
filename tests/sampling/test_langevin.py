"""Langevin integrators on springs, whose distributions are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pyff.sampling.langevin import baoab, overdamped

K, KT = 3.0, 0.6


def spring(x: torch.Tensor) -> torch.Tensor:
    return -K * x


def test_overdamped_spring_has_the_variance_of_its_scheme():
    dt = 0.05
    frames = overdamped(spring, torch.zeros(400, 5, 3), kT=KT, dt=dt, steps=1500, save_every=10, seed=1)[30:]
    # Euler-Maruyama on a spring: kT / k / (1 - k dt / 2) exactly
    assert frames.var() == pytest.approx(KT / K / (1 - K * dt / 2), rel=0.01)


def test_baoab_spring_has_the_exact_variance_at_a_long_time_step():
    frames = baoab(spring, torch.zeros(400, 5, 3), mass=2.0, kT=KT, friction=1.0, dt=0.5, steps=1500, save_every=5,
                   seed=1)[40:]  # fmt: skip
    assert frames.var() == pytest.approx(KT / K, rel=0.01)


def test_baoab_without_much_friction_keeps_the_energy():
    x0 = torch.ones(1, 1, 3, dtype=torch.float64)
    frames = baoab(spring, x0, mass=1.0, kT=1e-12, friction=1e-9, dt=0.01, steps=363, save_every=363)
    # one period is 2 pi / sqrt(3) = 3.63: back where it started
    np.testing.assert_allclose(frames[-1], x0.numpy(), atol=3e-3)


def test_frames_are_repeated_by_their_seed_and_the_start_is_not_changed():
    x0 = torch.zeros(2, 3, 3, dtype=torch.float64)
    options = dict(kT=KT, dt=0.01, steps=20, save_every=5)
    first = overdamped(spring, x0, **options, seed=3)
    assert first.shape == (4, 2, 3, 3)
    np.testing.assert_array_equal(first, overdamped(spring, x0, **options, seed=3))
    assert np.abs(first - overdamped(spring, x0, **options, seed=4)).max() > 0
    assert not x0.any()


def test_lost_replica_is_named_with_its_step():
    def force(x):
        return torch.where(torch.arange(len(x))[:, None, None] == 1, torch.nan, -x)

    with pytest.raises(RuntimeError, match="replica 1 is lost at step 5"):
        overdamped(force, torch.zeros(3, 2, 3), kT=KT, dt=0.1, steps=10, save_every=5)


@pytest.mark.parametrize(("name", "value"), [("kT", 0.0), ("dt", -1.0), ("steps", 0)])
def test_settings_must_be_positive(name, value):
    options = {"kT": KT, "dt": 0.1, "steps": 10} | {name: value}
    with pytest.raises(ValueError, match=f"{name} must be positive; received"):
        overdamped(spring, torch.zeros(1, 1, 3), **options)


def test_a_run_shorter_than_the_interval_of_frames_is_an_error():
    with pytest.raises(ValueError, match=r"save_every must be 1 \.\. steps = 50, .* received 100"):
        overdamped(lambda x: -x, torch.zeros(1, 1, 3), kT=1, dt=0.01, steps=50)
