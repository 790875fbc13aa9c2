"""How well a simulation conserves its total energy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["EnergyDrift", "energy_drift"]


@dataclass(frozen=True)
class EnergyDrift:
    """slope: of the total energy in meV/atom/ps (least squares); fluctuation: standard deviation of the total energy
    around that line in meV/atom; relative: that deviation over the one of the kinetic energy, NaN where not given."""

    slope: float
    fluctuation: float
    relative: float


def energy_drift(
    times: ArrayLike, energies: ArrayLike, *, n_atoms: int = 1, kinetic: ArrayLike | None = None
) -> EnergyDrift:
    """Drift and fluctuation of the total energy along a trajectory.

    Args:
        times: [T] in fs.
        energies: [T] total energies in eV.
        n_atoms: 1 gives results per system.
        kinetic: [T] kinetic energies in eV, the yardstick of the relative fluctuation.

    Raises:
        ValueError: fewer than three points, different lengths, or numbers that are not finite.
    """
    t, e = np.asarray(times, float), np.asarray(energies, float)
    if t.ndim != 1 or t.shape != e.shape or len(t) < 3:
        raise ValueError(
            f"times and energies must be two lists of the same length >= 3; received {t.shape} and {e.shape}"
        )
    if not (np.isfinite(t).all() and np.isfinite(e).all()) or np.ptp(t) == 0:
        raise ValueError("times and energies must be finite, and times must differ")
    # centred: a total energy of -1e5 eV must not cost the digits of a drift of 1e-6
    t, e = (t - t.mean()) * 1e-3, e - e[0]
    e = e - e.mean()
    slope = float((t * e).sum() / (t * t).sum())
    residual = float(np.std(e - slope * t))
    spread = float(np.std(np.asarray(kinetic, float))) if kinetic is not None else 0.0
    return EnergyDrift(
        slope=slope * 1e3 / n_atoms,
        fluctuation=residual * 1e3 / n_atoms,
        relative=residual / spread if spread > 0 else float("nan"),
    )
