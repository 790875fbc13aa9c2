"""Mean-square displacement, diffusion coefficients and Arrhenius lines, on motion whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
from ase import units

from pyff._figure import save_figure
from pyff.analysis import (
    Motion,
    arrhenius,
    arrhenius_panel,
    diffusion,
    mean_square_displacement,
    msd_panel,
)


def motion(pos: np.ndarray, spacing: float = 10.0, masses=None) -> Motion:
    n = pos.shape[1]
    masses = np.ones(n) if masses is None else np.asarray(masses, float)
    return Motion(pos, None, masses, np.ones(n, int), spacing, 10 * np.eye(3), np.ones(3, bool))


def brownian(D: float, frames: int, atoms: int, spacing: float = 10.0, seed: int = 0) -> np.ndarray:
    """Positions in A whose steps of `spacing` fs have the variance 2 D t (D in A^2/ps) per axis."""
    steps = np.random.default_rng(seed).normal(0, np.sqrt(2 * D * spacing / 1000), (frames, atoms, 3))
    return np.cumsum(steps, axis=0)


def test_msd_is_the_average_over_all_windows():
    pos = brownian(1.0, 40, 3) + 1000.0
    wanted = [np.mean(np.sum((pos[m:] - pos[: len(pos) - m]) ** 2, axis=-1)) for m in range(len(pos))]
    np.testing.assert_allclose(mean_square_displacement(pos), wanted, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(mean_square_displacement(pos, 7), wanted[:7], rtol=1e-9, atol=1e-9)


def test_msd_of_constant_velocity_is_its_square():
    velocity = np.array([0.3, -0.2, 0.1])
    pos = np.arange(30)[:, None, None] * velocity
    np.testing.assert_allclose(mean_square_displacement(pos), np.arange(30) ** 2 * (velocity @ velocity), atol=1e-10)


@pytest.mark.parametrize("D", [0.02, 3.0])
def test_brownian_motion_has_its_coefficient_within_the_error(D):
    found = diffusion(motion(brownian(D, 20_000, 1)), [0], fit=(0.05, 1.0), blocks=8)
    assert found.error < 0.1 * D
    assert pytest.approx(D, abs=4 * found.error) == found.D
    assert found.fitted == pytest.approx((0.05, 1.0)) and len(found.blocks) == 8


def test_error_has_the_size_of_the_scatter():
    found = [diffusion(motion(brownian(1.0, 4000, 1, seed=k)), [0], fit=(0.05, 0.5), blocks=8) for k in range(40)]
    scatter = np.std([f.D for f in found], ddof=1)
    assert np.mean([f.error for f in found]) == pytest.approx(scatter, rel=0.35)


@pytest.mark.parametrize("jumps, warns", [(2, True), (200, False)])
def test_few_jumps_are_warned_of(jumps, warns, caplog):
    rng, frames = np.random.default_rng(0), 10_000
    pos = rng.normal(0, 0.1, (frames, 1, 3))
    for when in rng.integers(0, frames, jumps):
        pos[when:] += 2.5 * rng.choice([-1, 1]) * np.eye(3)[rng.integers(3)]
    found = diffusion(motion(pos), [0], fit=(1, 5))
    assert [r.levelname for r in caplog.records] == (["WARNING"] if warns else [])
    if warns:
        assert "jumps of 2.5 A in all" in caplog.text and found.error < 0.1  # small, and wrong


def test_vibration_adds_no_diffusion():
    pos = brownian(0.5, 20_000, 1)
    shaken = pos + 0.2 * np.sin(np.arange(20_000) * 0.9)[:, None, None]
    found = [diffusion(motion(p), [0], fit=(0.2, 1.0)).D for p in (pos, shaken)]
    assert found[1] == pytest.approx(found[0], rel=0.02)


def test_drift_of_the_others_is_taken_out():
    rng, frames = np.random.default_rng(1), 2000
    crystal = rng.normal(0, 0.05, (frames, 4, 3))
    mover = brownian(1.0, frames, 1)
    drift = np.arange(frames)[:, None, None] * np.array([0.05, 0, 0])
    pos = np.concatenate([crystal, mover], axis=1)
    still, moving = (diffusion(motion(p, masses=[100] * 4 + [1]), [4]).D for p in (pos, pos + drift))
    assert moving == pytest.approx(still, rel=1e-9)


def test_window_and_atoms_are_checked():
    short = motion(brownian(1.0, 100, 2))
    with pytest.raises(ValueError, match=r"within a piece of 0\.2 ps"):
        diffusion(short, [0], fit=(0.1, 0.5))
    with pytest.raises(ValueError, match="two times or more"):
        diffusion(short, [0], fit=(0.1, 0.1), blocks=1)
    for atoms in ([], [2], [-1]):
        with pytest.raises(ValueError, match="atoms must be among the 2"):
            diffusion(short, atoms)
    with pytest.raises(ValueError, match="lags must be 1 to 100"):
        mean_square_displacement(short.pos, 101)
    with pytest.raises(ValueError, match="shape"):
        mean_square_displacement(short.pos[0])
    assert np.isnan(diffusion(short, [0], blocks=1).error)


def test_arrhenius_finds_the_barrier():
    T = np.array([500.0, 600, 800, 1000])
    D = 4.0 * np.exp(-0.23 / (units.kB * T))
    line = arrhenius(T, D, 0.1 * D)
    assert line.barrier == pytest.approx(0.23, rel=1e-12) and line.prefactor == pytest.approx(4.0, rel=1e-10)
    np.testing.assert_allclose(line(T), D, rtol=1e-10)


def test_arrhenius_error_is_that_of_noisy_lines():
    T, rng = np.array([500.0, 600, 800, 1000]), np.random.default_rng(0)
    D, error = np.exp(-0.23 / (units.kB * T)), np.array([0.3, 0.2, 0.05, 0.05])
    found = [D * np.exp(rng.normal(0, error)) for _ in range(2000)]
    lines = [arrhenius(T, d, d * error) for d in found]
    assert np.std([x.barrier for x in lines]) == pytest.approx(lines[0].error, rel=0.06)
    assert np.mean([x.barrier for x in lines]) == pytest.approx(0.23, abs=4 * lines[0].error / np.sqrt(2000))


@pytest.mark.parametrize(
    ("T", "D", "error", "words"),
    [
        ([500, 500], [1, 1], [0.1, 0.1], "two temperatures or more"),
        ([500, 600], [1, -1], [0.1, 0.1], "must be positive"),
        ([500, 600], [1, 1], [0.1, float("nan")], "must be positive"),
    ],
)
def test_arrhenius_says_what_it_needs(T, D, error, words):
    with pytest.raises(ValueError, match=words):
        arrhenius(T, D, error)


def test_pictures_are_drawn(tmp_path):
    found = diffusion(motion(brownian(1.0, 500, 1)), [0])
    T, D, error = [500, 700], [0.1, 0.5], [0.02, 0.05]
    panels = [msd_panel(found, label="walk"), arrhenius_panel(T, D, error, arrhenius(T, D, error), label="line")]
    save_figure(tmp_path / "two.png", panels)
    assert (tmp_path / "two.png").stat().st_size > 10_000
