"""What the symmetry of a crystal is worth: errors of GDML models against the number of training frames.

    python examples/bigdml_learning_curve.py --emt Cu --sizes 2 5 10 20 --out copper
    python examples/bigdml_learning_curve.py frames.extxyz --adsorbate 32 --sizes 5 10 20 50 --out hydrogen
    python examples/bigdml_learning_curve.py Mo/training.json.gz --select "AIMD.* at (300|3000) K" --sizes 5 10 20

Each size is learned without symmetry (GDML), with the translations of the supercell, and with its whole space group
(BIGDML), with the same training frames; errors are those on the frames left over, averaged over `--repeats` draws.
Frames are read by ASE (eV, A), from the JSON of the mlearn sets, or made here by Langevin dynamics of an fcc metal of
ASE's effective medium theory. Prints a table and draws `learning_curve.png`.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read
from ase.md.langevin import Langevin

from pyff.md import start_velocities
from pyff.models.gdml.symmetry import frames_group
from pyff.train import save_figure
from pyff.train.gdml import GdmlData, fit


def emt_frames(metal: str, temperature: float, n: int) -> list[Atoms]:
    """32 atoms of an fcc metal (2 x 2 x 2 cubic cells), a frame every 50 fs."""
    atoms = bulk(metal, "fcc", cubic=True) * 2
    atoms.calc = EMT()
    rng = np.random.default_rng(0)
    start_velocities(atoms, 2 * temperature, seed=0)  # half of it goes into the springs
    dynamics = Langevin(atoms, 5 * units.fs, temperature_K=temperature, friction=0.02 / units.fs, rng=rng, fixcm=False)
    dynamics.run(100)
    frames = []
    for _ in range(n):
        dynamics.run(10)
        frames.append(_labelled(atoms, atoms.get_potential_energy(), atoms.get_forces()))
    return frames


def mlearn_frames(file: Path, select: str) -> Iterator[Atoms]:
    """Frames of a training.json of the mlearn sets whose group and description match a regular expression."""
    open_file = gzip.open if file.suffix == ".gz" else open
    with open_file(file, "rt", encoding="utf-8") as stream:
        entries = json.load(stream)
    for entry in entries:
        if re.search(select, f"{entry['group']} {entry['description']}"):
            structure, outputs = entry["structure"], entry["outputs"]
            pos = [site["xyz"] for site in structure["sites"]]
            atoms = Atoms([entry["element"]] * len(pos), pos, cell=structure["lattice"]["matrix"], pbc=True)
            yield _labelled(atoms, outputs["energy"], outputs["forces"])


def _labelled(atoms: Atoms, energy: float, forces: np.ndarray) -> Atoms:
    frame = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
    frame.calc = SinglePointCalculator(frame, energy=energy, forces=np.asarray(forces, dtype=float))
    return frame


def gdml_data(frames: list[Atoms]) -> GdmlData:
    """Frames with the cell of most of them, for which there is one model."""
    cells = np.array([f.cell[:] for f in frames])
    same = np.abs(cells[:, None] - cells).max((2, 3)) < 1e-3
    frames = [frames[k] for k in np.flatnonzero(same[same.sum(1).argmax()])]
    return GdmlData(
        Z=frames[0].numbers, pos=np.stack([f.positions for f in frames]),
        forces=np.stack([f.get_forces() for f in frames]), energy=np.array([f.get_potential_energy() for f in frames]),
        cell=frames[0].cell[:], energy_unit="eV", length_unit="Angstrom",
    )  # fmt: skip


def errors(data: GdmlData, perms: np.ndarray, size: int, repeats: int, sigmas: list[float]) -> tuple[float, float]:
    """Mean absolute errors of forces (meV/A) and energies (meV/atom) on the frames that are left over."""
    n_valid = max(2, min(20, (len(data) - size) // 3))
    found = []
    for seed in range(repeats):
        _, report = fit(data, size, n_valid, sigma=sigmas, refined=False, perms=perms, seed=seed, quiet=True)
        found.append((1e3 * report.test.forces.mae, 1e3 * report.test.energy.mae / len(data.Z)))
    return tuple(np.mean(found, axis=0))


def panel(sizes: list[int], curves: dict[str, list[tuple[float, float]]], k: int, title: str):
    """What `save_figure` draws: error k of the curves by name."""

    def draw(axes) -> None:
        for name, curve in curves.items():
            axes.loglog(sizes, [point[k] for point in curve], "o-", label=name)
        axes.set(xlabel="training frames", ylabel=("force error (meV/A)", "energy error (meV/atom)")[k], title=title)
        axes.set_xticks(sizes, [str(size) for size in sizes], minor=False)
        axes.minorticks_off()
        axes.legend()

    return draw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, help="frames: any format of ASE, or JSON of the mlearn sets")
    parser.add_argument("--emt", metavar="METAL", help="make frames of this metal instead: Al Ni Cu Pd Ag Pt Au")
    parser.add_argument("--temperature", type=float, default=600, help="of the frames made, K")
    parser.add_argument("--select", default="", help="regular expression for group and description of mlearn frames")
    parser.add_argument("--adsorbate", type=int, nargs="*", default=[], help="atoms that do not sit on lattice sites")
    parser.add_argument("--sizes", type=int, nargs="+", default=[2, 5, 10, 20])
    parser.add_argument("--sigmas", type=float, nargs="+", default=[2, 4, 8, 16, 32], help="length scales")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("bigdml"))
    args = parser.parse_args()
    if (args.file is None) == (args.emt is None):
        parser.error("give either a file of frames or --emt METAL")

    if args.emt:
        frames = emt_frames(args.emt, args.temperature, max(args.sizes) + 60)
    elif ".json" in args.file.suffixes:
        frames = list(mlearn_frames(args.file, args.select))
    else:
        frames = read(args.file, ":")
    data = gdml_data(frames)
    group = frames_group(data.Z, data.pos, data.cell, args.adsorbate)
    print(f"{len(data)} frames of {len(data.Z)} atoms, {len(group)} permutations")
    print("mean absolute errors of forces (meV/A) and energies (meV/atom)")
    groups = {"no symmetry": group.perms[:1], "translations": group.translations, "space group": group.perms}
    curves = {name: [] for name in groups}
    print(f"{'frames':>8}" + "".join(f"{name:>20}" for name in groups))
    for size in args.sizes:
        for name, perms in groups.items():
            curves[name].append(errors(data, perms.numpy(), size, args.repeats, args.sigmas))
        row = "".join(f"{curve[-1][0]:>12.2f}{curve[-1][1]:>8.3f}" for curve in curves.values())
        print(f"{size:>8}{row}", flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    title = f"{frames[0].get_chemical_formula()}, {len(group)} permutations"
    panels = [panel(args.sizes, curves, k, title) for k in range(2)]
    save_figure(args.out / "learning_curve.png", panels)


if __name__ == "__main__":
    main()
