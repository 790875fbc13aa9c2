"""Diffusion from trajectories: mean-square displacement, Einstein's relation, Arrhenius plots."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase import units

from pyff.analysis.motion import Motion
from pyff.errors import PyffError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "Arrhenius",
    "Diffusion",
    "arrhenius",
    "arrhenius_panel",
    "diffusion",
    "mean_square_displacement",
    "msd_panel",
]

_log = logging.getLogger("pyff")

CM2_PER_S = 1e-4  # cm^2/s per A^2/ps
JUMP, FEW_JUMPS = 2.5, 10  # A, between neighboring sites of many crystals; a number with an error of a third


@dataclass(frozen=True)
class Diffusion:
    """D and its standard error in A^2/ps (1e-4 cm^2/s); time [K] in ps and msd [K] in A^2 of the whole trajectory.

    fitted: first and last time (ps) of the fit; blocks [B]: D of each piece.
    """

    D: float
    error: float
    time: np.ndarray
    msd: np.ndarray
    fitted: tuple[float, float]
    blocks: np.ndarray


@dataclass(frozen=True)
class Arrhenius:
    """D = D0 exp(-Ea/kT): activation energy Ea and its standard error in eV, prefactor D0 in A^2/ps."""

    barrier: float
    error: float
    prefactor: float

    def __call__(self, temperature):
        return self.prefactor * np.exp(-self.barrier / (units.kB * np.asarray(temperature, float)))


def mean_square_displacement(pos: np.ndarray, lags: int | None = None) -> np.ndarray:
    """<|r(t + m) - r(t)|^2> [lags] over all t and atoms, for m = 0, 1, ..., lags - 1.

    In O(T log T) by sum_t r(t)^2 + r(t+m)^2 - 2 r(t) r(t+m), the last term from an FFT of the padded positions
    (Calandrini et al. 2011, nMoldyn).

    Args:
        pos: unwrapped positions [T, N, 3] in A.
        lags: None: T.
    """
    from scipy.fft import irfft, next_fast_len, rfft

    pos = np.asarray(pos, float)
    if pos.ndim != 3 or not pos.size:
        raise ValueError(f"pos must have the shape [frames, atoms, 3]; received {list(pos.shape)}")
    length = len(pos)
    lags = length if lags is None else lags
    if not 1 <= lags <= length:
        raise ValueError(f"lags must be 1 to {length}, the number of frames; received {lags}")
    r = (pos - pos.mean(0)).reshape(length, -1)  # centred, for the differences of large squares
    padded = next_fast_len(2 * length, real=True)
    products = irfft((np.abs(rfft(r, padded, axis=0)) ** 2).sum(1), padded)[:lags]
    summed = np.concatenate([[0.0], np.cumsum((r**2).sum(1))])
    m = np.arange(lags)
    # of r(t)^2 those with t < T - m, of r(t + m)^2 those with t >= m
    squares = summed[length - m] + summed[length] - summed[m]
    return np.maximum(squares - 2 * products, 0) / ((length - m) * pos.shape[1])


def diffusion(
    motion: Motion, atoms: Sequence[int] | np.ndarray, *, fit: tuple[float, float] | None = None, blocks: int = 5
) -> Diffusion:
    """Einstein's relation, MSD(t) = 6 D t + c, fitted over a window of t where the motion is diffusive.

    Displacements are relative to the centre of mass of the other atoms, where there are some. The error is the scatter
    of D over pieces of the trajectory, each fitted alone: it means little, and a warning is logged, where the atoms
    made fewer than about ten jumps in all.

    Args:
        motion: unwrapped positions of evenly spaced frames (`read_motion`).
        atoms: indices of the atoms that diffuse.
        fit: first and last t in ps; None: 10 % to 50 % of a piece.
        blocks: number of pieces.

    Raises:
        PyffError: no atoms, or a window that does not fit into a piece.
    """
    chosen = np.unique(np.asarray(atoms, int))
    if not len(chosen) or chosen[0] < 0 or chosen[-1] >= len(motion.masses):
        raise PyffError(f"atoms must be among the {len(motion.masses)} of the trajectory; received {list(atoms)[:10]}")
    pos, spacing = _relative(motion, chosen), motion.spacing / 1000
    size = len(pos) // blocks if blocks > 0 else 0
    first, last = fit or (0.1 * size * spacing, 0.5 * size * spacing)
    window = slice(round(first / spacing), round(last / spacing) + 1)
    if not (0 <= window.start < window.stop - 1 < size):
        raise PyffError(
            f"the fit must have two times or more, within a piece of {size * spacing:g} ps ({blocks} pieces); received "
            f"{first:g} to {last:g} ps, frames every {spacing:g} ps"
        )
    time = np.arange(window.stop) * spacing
    slope = lambda msd: float(np.polyfit(time[window], msd[window], 1)[0]) / 6  # noqa: E731
    msd = mean_square_displacement(pos, window.stop)
    parts = [slope(mean_square_displacement(pos[k * size : (k + 1) * size], window.stop)) for k in range(blocks)]
    error = float(np.std(parts, ddof=1) / np.sqrt(blocks)) if blocks > 1 else float("nan")
    found = slope(msd)
    _warn_of_few_jumps(found, len(pos) * spacing, len(chosen))
    return Diffusion(found, error, time, msd, (float(time[window.start]), float(time[-1])), np.array(parts))


def _warn_of_few_jumps(D: float, picoseconds: float, n_atoms: int) -> None:
    jumps = 6 * D * picoseconds * n_atoms / JUMP**2
    if jumps < FEW_JUMPS:
        _log.warning(
            "D = %.2g A^2/ps and its error are not reliable: in %.3g ps %d atoms made about %d jumps of %g A in all. "
            "Simulate longer, or at a higher temperature", D, picoseconds, n_atoms, max(0, round(jumps)), JUMP,
        )  # fmt: skip


def _relative(motion: Motion, chosen: np.ndarray) -> np.ndarray:
    """Positions [T, n, 3] of the chosen atoms relative to the centre of mass of the others."""
    if len(chosen) == len(motion.masses):
        return motion.pos
    weight = motion.masses.copy()
    weight[chosen] = 0
    centre = np.einsum("tnk,n->tk", motion.pos, weight / weight.sum())
    return motion.pos[:, chosen] - centre[:, None]


def arrhenius(temperature: Sequence[float], D: Sequence[float], error: Sequence[float]) -> Arrhenius:
    """ln D against 1/T, a line by least squares weighted with the errors of ln D.

    Args:
        temperature [n] in K; D [n] and its standard error [n] in A^2/ps.

    Raises:
        PyffError: fewer than two different temperatures, or a D or an error that is not positive.
    """
    T, D, error = (np.asarray(x, float) for x in (temperature, D, error))
    if len(np.unique(T)) < 2:
        raise PyffError(f"an Arrhenius plot needs two temperatures or more; received {T.tolist()}")
    if not ((D > 0).all() and (error > 0).all()):
        raise PyffError(
            f"every D and its error must be positive; received {D.tolist()} and {error.tolist()} A^2/ps. Simulate "
            "longer, or leave out temperatures where nothing moves"
        )
    x = 1 / (units.kB * T)
    weight = (D / error) ** 2
    mean = np.average(x, weights=weight), np.average(np.log(D), weights=weight)
    spread = float((weight * (x - mean[0]) ** 2).sum())
    slope = float((weight * (x - mean[0]) * (np.log(D) - mean[1])).sum()) / spread
    return Arrhenius(-slope, spread**-0.5, float(np.exp(mean[1] - slope * mean[0])))


def msd_panel(found: Diffusion, *, label: str = "") -> Callable[[Axes], None]:
    """Panel of the mean-square displacement with the fitted line."""

    def draw(axes: Axes) -> None:
        axes.plot(found.time, found.msd, label=label or None)
        x = np.array(found.fitted)
        inside = found.time >= x[0]
        offset = float((found.msd - 6 * found.D * found.time)[inside].mean())
        axes.plot(
            x, 6 * found.D * x + offset, "k--", linewidth=1, label=f"D = {found.D:.3g} ± {found.error:.1g} Å$^2$/ps"
        )
        axes.set(xlabel="time (ps)", ylabel="mean-square displacement (Å$^2$)", xlim=(0, None), ylim=(0, None))
        axes.legend(fontsize="small")

    return draw


def arrhenius_panel(
    temperature: Sequence[float], D: Sequence[float], error: Sequence[float], line: Arrhenius, *, label: str = ""
) -> Callable[[Axes], None]:
    """Panel of D (cm^2/s, logarithmic) against 1000/T with the fitted line; several may share one Axes."""

    def draw(axes: Axes) -> None:
        x = 1000 / np.asarray(temperature, float)
        name = f"{label + ': ' if label else ''}{line.barrier:.3f} ± {line.error:.3f} eV"
        points = axes.errorbar(
            x, np.asarray(D) * CM2_PER_S, np.asarray(error) * CM2_PER_S, fmt="o", capsize=3, markersize=4
        )
        ends = np.linspace(x.min() - 0.05, x.max() + 0.05, 50)
        axes.plot(ends, line(1000 / ends) * CM2_PER_S, color=points[0].get_color(), linewidth=1, label=name)
        axes.set(yscale="log", xlabel="1000 K / T", ylabel="D (cm$^2$/s)")
        axes.legend(fontsize="small")

    return draw
