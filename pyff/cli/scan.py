"""`pyff scan`: energy of a model along the dilation of a structure or one of its bonds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from pyff._atomic import atomic_write
from pyff._figure import save_figure
from pyff.analysis.scan import dilated, path_energies, scan_panel, stretched
from pyff.cli.console import Console
from pyff.cli.output import require_output
from pyff.cli.start import Start, described
from pyff.errors import PyffError
from pyff.md import write_frames

__all__ = ["ScanOptions", "run_scan"]


@dataclass(frozen=True)
class ScanOptions:
    """Options of the command; bond and range as typed."""

    bond: str | None
    range: str | None
    points: int
    out: Path
    overwrite: bool


def run_scan(console: Console, model: Path, start: Start, options: ScanOptions) -> int:
    """Write the curve (.csv), the structures (.xyz) and a picture; the exit code."""
    picture, structures = options.out.with_suffix(".png"), options.out.with_suffix(".xyz")
    require_output(
        options.out, (".csv",), beside=(picture, structures), inputs=(start.path,), overwrite=options.overwrite
    )
    atoms = start.atoms()
    x, path, label, own = _path(atoms, options)
    calculator = start.calculator(console, model, atoms, needs_forces=False)
    energies = path_energies(path, calculator)
    _write(options.out, structures, x, path, energies, label)
    title = f"{atoms.get_chemical_formula()}, {model.name}"
    save_figure(picture, [scan_panel(x, energies, label, own, title)], size=4.6)
    low = int(energies.argmin())
    console.say(f"{described(atoms)}, {len(x)} points of {label}")
    console.facts([("lowest energy", f"{energies[low]:.6f} eV at {x[low]:.4f}")])
    console.say(f"curve in {options.out}, structures in {structures}, picture in {picture}")
    console.result(label=label, x=x.tolist(), energy=energies.tolist(), out=options.out)
    return 0


def _path(atoms: Atoms, options: ScanOptions) -> tuple[np.ndarray, list[Atoms], str, float]:
    """(coordinate, structures, its name, its value in the structure given)"""
    if options.bond is None:
        x = _values(options.range or "0.7,1.5", options.points)
        return x, [dilated(atoms, factor) for factor in x], "dilation", 1.0
    i, j = _bond(options.bond, len(atoms))
    length = float(np.linalg.norm(atoms.positions[i] - atoms.positions[j]))
    x = _values(options.range or f"{0.7 * length},{2 * length}", options.points)
    names = [f"{chemical_symbols[atoms.numbers[k]]}{k}" for k in (i, j)]
    return x, [stretched(atoms, i, j, b) for b in x], f"bond {'-'.join(names)} (A)", length


def _values(text: str, points: int) -> np.ndarray:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low = high = np.nan
    if not 0 < low < high < np.inf:
        raise PyffError(f"--range must be two positive numbers, low,high; received {text!r}")
    return np.linspace(low, high, points)


def _bond(text: str, n: int) -> tuple[int, int]:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 2 or not all(part.isdigit() for part in parts):
        raise PyffError(f"--bond must be two atoms, counted from 0, such as 0,1; received {text!r}")
    i, j = map(int, parts)
    if i == j or max(i, j) >= n:
        raise PyffError(f"--bond must name two of the atoms 0..{n - 1}; received {text!r}")
    return i, j


def _write(out: Path, structures: Path, x: np.ndarray, path: list[Atoms], energies: np.ndarray, label: str) -> None:
    rows = [f"{a:.10g},{e:.10g}" for a, e in zip(x, energies)]
    atomic_write(out, "\n".join([f"{label},energy (eV)", *rows]) + "\n")
    for atoms, energy in zip(path, energies):
        atoms.info["energy"] = energy
    write_frames(structures, path)
