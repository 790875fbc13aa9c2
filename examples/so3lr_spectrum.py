"""Vibrational spectrum of a molecule with SO3LR: relax, harmonic frequencies, dynamics, `pyff spectrum`, a picture.

    python examples/so3lr_spectrum.py so3lr.safetensors --molecule CH3CH2OH --time 5 --runs 6 --out ethanol

Runs `pyff relax`, `pyff md` (constant energy after a warm-up, several times: at constant energy a mode keeps for long
what it starts with) and `pyff spectrum`, and prints the commands. The molecule is a name of ASE's collection (CH3CH2OH,
H2O, C6H6, ...) or a structure file. Prints, for every peak of the power spectrum, the harmonic frequency of the same
model that is closest to it; draws both into `OUT/compared.png`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.io import read, write
from ase.vibrations import Vibrations

import pyff
from pyff.cli import run
from pyff.train import save_figure


def command(*words: object) -> None:
    """Run a pyff command as in a shell."""
    words = [str(word) for word in words]
    print("$ pyff " + " ".join(words), flush=True)
    if code := run(words):
        raise SystemExit(code)


def harmonic_frequencies(atoms: Atoms) -> np.ndarray:
    """Frequencies in cm^-1 of the vibrations, from differences of forces."""
    with tempfile.TemporaryDirectory() as folder:
        vibrations = Vibrations(atoms, name=folder, delta=0.005)
        vibrations.run()
        frequencies = vibrations.get_frequencies()
    return np.sort(frequencies.real)[6 if len(atoms) > 2 else 5 :]


def read_spectrum(path: Path) -> tuple[np.ndarray, np.ndarray]:
    frequency, intensity, _ = np.loadtxt(path, delimiter=",", skiprows=1).T
    return frequency, intensity


def peaks(frequency: np.ndarray, intensity: np.ndarray, part: float = 0.03) -> np.ndarray:
    """Positions of the maxima that stand out by a part of the highest one."""
    from scipy.signal import find_peaks

    return frequency[find_peaks(intensity, prominence=part * intensity.max())[0]]


def panel(frequency: np.ndarray, intensity: np.ndarray, harmonic: np.ndarray, title: str):
    """What `save_figure` draws: the power spectrum above the harmonic frequencies."""

    def draw(axes) -> None:
        axes.plot(frequency, intensity, linewidth=1.1, label="velocities of the simulation")
        bottom = -0.12 * intensity.max()
        axes.vlines(harmonic, bottom, 0, color="#c0392b", linewidth=1.2, label="harmonic, same model")
        axes.axhline(0, color="black", linewidth=0.5)
        axes.set(xlim=(0, 1.1 * harmonic.max()), ylim=(bottom, None), title=title)
        axes.set(xlabel="frequency (cm$^{-1}$)", ylabel="modes per cm$^{-1}$")
        axes.legend(loc="upper center")

    return draw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--molecule", default="CH3CH2OH", help="a name of ase.build.molecule, or a file")
    parser.add_argument("--time", type=float, default=5, help="ps at constant energy")
    parser.add_argument("--runs", type=int, default=6, help="simulations, with seeds 0, 1, ...")
    parser.add_argument("--equilibrate", type=float, default=1, help="ps of Langevin dynamics before")
    parser.add_argument("--temperature", type=float, default=300)
    parser.add_argument("--out", type=Path, default=Path("so3lr-spectrum"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    start, relaxed = args.out / "start.xyz", args.out / "relaxed.xyz"
    write(start, read(args.molecule) if Path(args.molecule).is_file() else molecule(args.molecule))
    command("relax", args.model, start, "--fmax", 1e-4, "--out", relaxed, "--overwrite")
    atoms = read(relaxed)
    atoms.calc = pyff.Calculator(args.model, dtype="float64")
    harmonic = harmonic_frequencies(atoms)

    trajectories = [args.out / f"nve{k}.xyz" for k in range(args.runs)]
    for seed, path in enumerate(trajectories):
        command("md", args.model, relaxed, "--ensemble", "nve", "--temperature", args.temperature, "--equilibrate",
                args.equilibrate, "--time", args.time, "--timestep", 0.5, "--every", 4, "--seed", seed, "--out", path,
                "--overwrite")  # fmt: skip
    table = args.out / "spectrum.csv"
    command("spectrum", *trajectories, "--out", table, "--overwrite")
    frequency, intensity = read_spectrum(table)
    print("peak    harmonic  shift (cm^-1)")
    for peak in peaks(frequency, intensity):
        nearest = harmonic[np.abs(harmonic - peak).argmin()]
        print(f"{peak:7.1f}  {nearest:7.1f}  {peak - nearest:+7.1f}")
    print("harmonic frequencies: " + ", ".join(f"{f:.0f}" for f in harmonic))
    title = f"{atoms.get_chemical_formula()}, {args.model.stem}, {args.temperature:g} K"
    save_figure(args.out / "compared.png", [panel(frequency, intensity, harmonic, title)], aspect=2.3)
    print(f"picture in {args.out / 'compared.png'}")


if __name__ == "__main__":
    main()
