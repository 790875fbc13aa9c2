"""`pyff spectrum`: the vibrational power spectrum of trajectories."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pyff._atomic import atomic_write
from pyff._figure import save_figure
from pyff.analysis import Motion, Spectrum, average_spectra, power_spectrum, read_motion, spectrum_panel
from pyff.cli.console import Console
from pyff.cli.output import require_output

__all__ = ["SpectrumOptions", "run_spectrum"]

_FASTEST = {True: 4400.0, False: 2500.0}  # cm^-1: vibrations with and without hydrogen lie below


@dataclass(frozen=True)
class SpectrumOptions:
    """Options of the command; spacing in fs, window and skip in ps, maximum in cm^-1."""

    spacing: float | None
    window: float | None
    blocks: int | None
    skip: float
    source: str
    mass_weighted: bool
    maximum: float
    out: Path
    overwrite: bool


def run_spectrum(console: Console, files: Sequence[Path], options: SpectrumOptions) -> int:
    """Read, transform, write; the exit code."""
    picture = options.out.with_suffix(".png")
    require_output(options.out, (".csv", ".npz"), beside=(picture,), overwrite=options.overwrite)
    spectra = []
    for path in files:
        motion = _read(console, path, options)
        spectra.append(
            power_spectrum(
                motion, window=options.window, blocks=options.blocks, mass_weighted=options.mass_weighted,
                source=options.source,
            )
        )  # fmt: skip
    spectrum = average_spectra(spectra)
    write_spectrum(options.out, spectrum)
    save_figure(picture, [spectrum_panel(spectrum, maximum=options.maximum)], size=4.0, aspect=2.0)
    _show(console, spectrum, options)
    console.result(
        spectrum=options.out,
        picture=picture,
        peaks=[vars(peak) for peak in spectrum.peaks()],
        resolution_cm1=spectrum.resolution,
        modes=spectrum.modes,
        temperature_K=spectrum.temperature,
        blocks=spectrum.n_blocks,
    )
    console.say(f"spectrum in {options.out}, picture in {picture}")
    return 0


def _read(console: Console, path: Path, options: SpectrumOptions) -> Motion:
    with console.progress(_frames(path), "frame") as show:
        motion = read_motion(path, spacing=options.spacing, on_frame=lambda n: show(n, str(path)))
    if motion.note:
        console.say(f"{path}: {motion.note}")
    source = "velocities" if motion.velocity is not None and options.source != "positions" else "positions"
    console.say(
        f"{path}: {len(motion)} frames of {len(motion.Z)} atoms, every {motion.spacing:g} fs, from {source}; "
        f"frequencies up to {motion.nyquist:.0f} cm^-1"
    )
    fastest = _FASTEST[bool((motion.Z == 1).any())]
    if motion.nyquist < fastest:
        console.warn(
            f"frames every {motion.spacing:g} fs show vibrations above {motion.nyquist:.0f} cm^-1 at false, lower "
            f"frequencies; write them every {motion.spacing * motion.nyquist / fastest:.1f} fs or less "
            "(`pyff md --every`)"
        )
    return motion.after(options.skip) if options.skip else motion


def _frames(path: Path) -> int:
    """About how many frames a text trajectory has, for the progress bar; at least 1."""
    if path.suffix not in (".xyz", ".extxyz") or not path.is_file():
        return 1
    with open(path, "rb") as file:
        first = file.readline().strip()
        lines = 1 + sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    return max(1, lines // (int(first) + 2)) if first.isdigit() else 1


def write_spectrum(path: Path, spectrum: Spectrum) -> None:
    """csv with a head line, or npz; columns frequency (cm^-1), intensity and error (modes per cm^-1)."""
    if path.suffix == ".npz":
        content = io.BytesIO()
        np.savez(
            content, frequency=spectrum.frequency, intensity=spectrum.intensity, error=spectrum.error,
            modes=spectrum.modes, resolution=spectrum.resolution, temperature=spectrum.temperature,
        )  # fmt: skip
        atomic_write(path, content.getvalue())
        return
    text = io.StringIO()
    text.write("frequency_cm-1,intensity_modes_per_cm-1,error_modes_per_cm-1\n")
    np.savetxt(text, np.column_stack([spectrum.frequency, spectrum.intensity, spectrum.error]), "%.9g", ",")
    atomic_write(path, text.getvalue())


def _show(console: Console, spectrum: Spectrum, options: SpectrumOptions) -> None:
    peaks = [peak for peak in spectrum.peaks() if peak.frequency <= options.maximum]
    rows = [(f"{peak.frequency:.1f}", peak.intensity) for peak in peaks]
    console.table(("peak (cm^-1)", "modes per cm^-1"), rows)
    console.facts(
        [
            (
                "resolution",
                f"{spectrum.resolution:.1f} cm^-1, {spectrum.n_blocks} block{'s' * (spectrum.n_blocks > 1)}",
            ),
            ("temperature", f"{spectrum.temperature:.0f} K over {spectrum.modes} vibrational degrees of freedom"),
        ]
    )
