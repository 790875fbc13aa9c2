from __future__ import annotations

import numpy as np
import pytest

from pyff.md import energy_drift

T = np.arange(0.0, 5000.0, 5.0)  # fs


def test_energy_drift_recovers_a_known_slope_on_a_large_total():
    rng = np.random.default_rng(0)
    noise = 1e-4 * rng.normal(size=len(T))
    energy = -97208.0 + 9 * 2e-3 * 1e-3 * T + noise  # 2 meV/atom/ps for 9 atoms
    kinetic = 0.35 + 0.05 * np.sin(T / 20)
    drift = energy_drift(T, energy, n_atoms=9, kinetic=kinetic)
    assert drift.slope == pytest.approx(2.0, abs=0.01)
    assert drift.fluctuation == pytest.approx(np.std(noise) * 1e3 / 9, rel=0.02)
    assert drift.relative == pytest.approx(np.std(noise) / np.std(kinetic), rel=0.02)


def test_energy_drift_of_a_constant_is_zero():
    drift = energy_drift(T, np.full(len(T), -4209.123456))
    assert drift.slope == 0.0 and drift.fluctuation == 0.0 and np.isnan(drift.relative)


@pytest.mark.parametrize(
    ("times", "energies"),
    [([0, 1], [0, 1]), ([0, 1, 2], [0, 1]), ([0, 1, 2], [0, 1, np.nan]), ([1, 1, 1], [0, 1, 2])],
)
def test_energy_drift_refuses_what_has_no_slope(times, energies):
    with pytest.raises(ValueError, match="times"):
        energy_drift(times, energies)
