"""Vibrational power spectra: the Fourier transform of the velocity autocorrelation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from ase import units

from pyff.analysis.motion import Motion, vibrational_velocities
from pyff.errors import PyffError
from pyff.units import WAVENUMBER

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Peak", "Spectrum", "average_spectra", "power_spectrum", "spectrum_panel"]

_WINDOW = 5.0  # ps
_POINTS_PER_RESOLUTION = 8


@dataclass(frozen=True)
class Peak:
    """A local maximum: frequency in cm^-1, intensity in modes per cm^-1."""

    frequency: float
    intensity: float


@dataclass(frozen=True)
class Spectrum:
    """frequency [K] in cm^-1, ascending from 0; intensity [K] in modes per cm^-1, and its standard error over blocks
    (NaN for one block). The integral of the intensity is `modes`, the number of vibrational degrees of freedom.

    resolution in cm^-1: width at half height of an infinitely sharp line; temperature in K, from the velocities;
    n_blocks: number of averaged pieces.
    """

    frequency: np.ndarray
    intensity: np.ndarray
    error: np.ndarray
    modes: int
    resolution: float
    temperature: float
    n_blocks: int

    def peaks(self, *, prominence: float = 0.06) -> list[Peak]:
        """Maxima that stand out by `prominence` of the highest one, refined by a parabola; ascending frequency.

        Beside a sharp line the window leaves ripples of 3 % of its height: a smaller prominence lists them too.
        """
        from scipy.signal import find_peaks

        y = self.intensity
        found, _ = find_peaks(y, prominence=prominence * y.max())
        left, mid, right = y[found - 1], y[found], y[found + 1]
        offset = 0.5 * (left - right) / (left - 2 * mid + right)
        frequency = self.frequency[found] + offset * (self.frequency[1] - self.frequency[0])
        return [Peak(float(f), float(h)) for f, h in zip(frequency, mid - 0.25 * (left - right) * offset)]


def power_spectrum(
    motion: Motion,
    *,
    window: float | None = None,
    blocks: int | None = None,
    mass_weighted: bool = True,
    source: str = "auto",
) -> Spectrum:
    """P(f) = 4 int_0^W h(t) C(t) cos(2 pi f t) dt with C(t) = sum_i w_i <v_i(0) v_i(t)> and h = cos^2(pi t / 2W).

    C comes from FFTs of the zero-padded velocities (Wiener-Khinchin), each lag divided by its number of frames. w_i is
    the mass, so that at equilibrium every mode has the same area, or 1. P is scaled so that its integral over f is the
    number of vibrational degrees of freedom. Translation and rotation are taken out first (`vibrational_velocities`).
    Spectra from positions are corrected for the finite difference: P (x / sin x)^2 with x = pi f spacing.

    The integrator's time step shifts frequencies too: velocity Verlet by +(pi f dt)^2/6, at 3000 cm^-1 and 0.5 fs by
    +0.4 %.

    Args:
        window: W in ps, the half width of the Hann window; the resolution is 1/W. None: 5 ps, at most half a block.
        blocks: pieces the trajectory is cut into, for the error bars; None: as many as four windows fit, at most 10.
        source: "auto", "stored" (velocities) or "positions".

    Raises:
        PyffError: a window longer than a block, too few frames, or atoms that do not move.
    """
    velocity, modes, differences = vibrational_velocities(motion, source=source)
    length = len(velocity) * motion.spacing / 1000
    window = window or min(_WINDOW, length / (2 * (blocks or 1)))
    blocks = blocks or int(np.clip(length / (4 * window), 1, 10))
    lags, size = round(1000 * window / motion.spacing), len(velocity) // max(1, blocks)
    if blocks < 1 or not 2 <= lags < size:
        raise PyffError(
            f"the window must be at least two frames and shorter than a block; received {window:g} ps, {blocks} "
            f"block(s) of {size * motion.spacing / 1000:g} ps, frames every {motion.spacing:g} fs"
        )
    pieces = [velocity[k * size : (k + 1) * size] for k in range(blocks)]
    parts = [_spectrum(piece, motion.masses, lags, motion.spacing, differences) for piece in pieces]
    frequency = parts[0][0]
    # twice the kinetic energy in amu A^2/fs^2
    twice_kinetic = float(np.mean([_area(*part) for part in parts]))
    if not twice_kinetic > 0:
        raise PyffError("the atoms do not move: there is no spectrum")
    if not mass_weighted:
        ones = np.ones(len(motion.masses))
        parts = [_spectrum(piece, ones, lags, motion.spacing, differences) for piece in pieces]
    intensity = np.array([modes * y / _area(x, y) for x, y in parts])
    return Spectrum(
        frequency=frequency,
        intensity=intensity.mean(0),
        error=_standard_error(intensity),
        modes=modes,
        resolution=WAVENUMBER / (1000 * window),
        temperature=twice_kinetic / units.fs**2 / (modes * units.kB),
        n_blocks=blocks,
    )


def _spectrum(velocity: np.ndarray, weights: np.ndarray, lags: int, spacing: float, differences: bool):
    return _transform(_autocorrelation(velocity, weights, lags), spacing, differences)


def _area(frequency: np.ndarray, intensity: np.ndarray) -> float:
    from scipy.integrate import trapezoid

    return float(trapezoid(intensity, frequency))


def _autocorrelation(velocity: np.ndarray, weights: np.ndarray, lags: int) -> np.ndarray:
    """sum_i w_i <v_i(0) v_i(t)> for 0 <= t < lags, one atom at a time to keep the memory small."""
    from scipy.fft import irfft, next_fast_len, rfft

    length = len(velocity)
    padded = next_fast_len(length + lags, real=True)
    power = np.zeros(padded // 2 + 1)
    for atom, weight in enumerate(weights):
        power += weight * (np.abs(rfft(velocity[:, atom], padded, axis=0)) ** 2).sum(1)
    return irfft(power, padded)[:lags] / (length - np.arange(lags))


def _transform(correlation: np.ndarray, spacing: float, differences: bool) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies in cm^-1 and the windowed cosine transform, whose area is the correlation at t = 0."""
    from scipy.fft import next_fast_len, rfft

    lags = len(correlation)
    windowed = correlation * np.cos(0.5 * np.pi * np.arange(lags) / lags) ** 2
    windowed[0] *= 0.5  # t = 0 stands once in the even extension, every other lag twice
    padded = 2 * next_fast_len(_POINTS_PER_RESOLUTION * lags // 2, real=True)
    intensity = 4 * spacing / WAVENUMBER * rfft(windowed, padded).real
    cycles = np.arange(len(intensity)) / padded
    if differences:
        intensity = intensity / np.sinc(cycles) ** 2
    return cycles / spacing * WAVENUMBER, intensity


def _standard_error(values: np.ndarray) -> np.ndarray:
    if len(values) < 2:
        return np.full(values.shape[1], np.nan)
    return values.std(0, ddof=1) / np.sqrt(len(values))


def average_spectra(spectra: Sequence[Spectrum]) -> Spectrum:
    """Mean of the spectra of several trajectories of one system, with the error from their scatter.

    Raises PyffError if their frequencies (spacing, window) differ.
    """
    if not spectra:
        raise PyffError("there are no spectra to average")
    first = spectra[0]
    if len(spectra) == 1:
        return first
    for other in spectra[1:]:
        same = other.modes == first.modes and other.frequency.shape == first.frequency.shape
        if not same or not np.allclose(other.frequency, first.frequency):
            raise PyffError("spectra to average must be of one system with equal window and time between frames")
    values = np.array([s.intensity for s in spectra])
    return replace(
        first,
        intensity=values.mean(0),
        error=_standard_error(values),
        temperature=float(np.mean([s.temperature for s in spectra])),
        n_blocks=sum(s.n_blocks for s in spectra),
    )


def spectrum_panel(spectrum: Spectrum, *, maximum: float = 4000.0) -> Callable[[Axes], None]:
    """Panel of the intensity with its error band, the strongest peaks labelled."""

    def draw(axes: Axes) -> None:
        x, y = spectrum.frequency, spectrum.intensity
        color = "#1f5fa8"
        if np.isfinite(spectrum.error).all():
            axes.fill_between(x, y - spectrum.error, y + spectrum.error, color=color, alpha=0.25, linewidth=0)
        axes.plot(x, y, color=color, linewidth=1.1)
        shown = x <= maximum
        top = float(y[shown].max())
        for peak in _labelled(spectrum.peaks(), min(maximum, x[-1]), 0.05 * top):
            axes.annotate(
                f"{peak.frequency:.0f}", (peak.frequency, peak.intensity), (0, 4), textcoords="offset points",
                rotation=90, ha="center", va="bottom", fontsize="small",
            )  # fmt: skip
        axes.set(
            xlim=(0, min(maximum, x[-1])),
            ylim=(0, 1.22 * top),
            xlabel="frequency (cm$^{-1}$)",
            ylabel="power (modes per cm$^{-1}$)",
        )
        title = (
            f"velocity power spectrum at {spectrum.temperature:.0f} K, resolution {spectrum.resolution:.1f} cm$^{{-1}}$"
        )
        axes.set_title(title, fontsize="medium")

    return draw


def _labelled(peaks: list[Peak], maximum: float, least: float) -> list[Peak]:
    """The highest peaks that leave room for each other's labels."""
    chosen: list[Peak] = []
    for peak in sorted(peaks, key=lambda p: -p.intensity):
        apart = all(abs(peak.frequency - other.frequency) > 0.02 * maximum for other in chosen)
        if apart and peak.frequency <= maximum and peak.intensity >= least:
            chosen.append(peak)
    return chosen[:20]
