"""Hydrogen in palladium: a BIGDML model of 32 metal atoms and H from labels of ASE's effective medium theory.

    python examples/train_pd_h.py --out pd_h

H is moved along the way from an octahedral to a tetrahedral site and back while the metal vibrates at the temperature
asked for; the frames go to `frames.extxyz`. The model learns from `--train` of them with the 1536 permutations of the
supercell, is tested on the rest, and is saved as `model.safetensors` for `pyff.Calculator`. Prints the errors and the
energy along the way by the model and by EMT; draws them as `path.png`.

EMT is a toy here: its barrier for H is 1.39 eV in Pd (experiment: 0.23 eV) and 0.41 eV in Al (`--metal Al
--lattice 4`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.io import read, write
from ase.md.langevin import Langevin
from ase.optimize import BFGS

import pyff
from pyff.md import start_velocities
from pyff.models.gdml.symmetry import supercell_group
from pyff.train.gdml import GdmlData, fit

H = 32  # index of the hydrogen
SITES = np.array([[0.5, 0.5, 0.5], [0.25, 0.25, 0.25]])  # octahedral, tetrahedral; in lattice constants


def crystal(metal: str, lattice: float, way: float = 0.0) -> Atoms:
    """The ideal crystal with H at a fraction of the way from the octahedral to the tetrahedral site."""
    return bulk(metal, "fcc", a=lattice, cubic=True) * 2 + Atoms(
        "H", [lattice * (SITES[0] + way * (SITES[1] - SITES[0]))]
    )


def labelled(atoms: Atoms) -> Atoms:
    frame = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
    frame.calc = EMT()
    energy, forces = frame.get_potential_energy(), frame.get_forces()
    frame.calc = SinglePointCalculator(frame, energy=energy, forces=forces)
    return frame


def sample(metal: str, lattice: float, temperature: float, n: int, rng: np.random.Generator) -> list[Atoms]:
    """Labelled frames: H goes to and fro between the sites, the metal at `temperature` around it."""
    atoms = crystal(metal, lattice)
    atoms.calc = EMT()
    atoms.set_constraint(FixAtoms([H]))
    start_velocities(atoms, temperature, seed=0)
    dynamics = Langevin(atoms, 4 * units.fs, temperature_K=temperature, friction=0.01 / units.fs, rng=rng, fixcm=False)
    frames = []
    for k in range(n):
        for way in np.linspace(k, k + 1, 5)[1:] / 25:  # a hop takes 25 frames
            # in the frame of the metal, which H pushes along
            drift = (atoms.positions[:H] - crystal(metal, lattice).positions[:H]).mean(0)
            target = crystal(metal, lattice, 0.5 - 0.5 * np.cos(np.pi * way)).positions[H] + drift
            atoms.set_constraint()
            atoms.positions[H] = target
            atoms.set_constraint(FixAtoms([H]))
            dynamics.run(5)
        shaken = atoms.copy()
        shaken.positions[H] += rng.normal(scale=0.05 * np.sqrt(temperature / 1000), size=3)
        frames.append(labelled(shaken))
    return frames


def relaxed_path(metal: str, lattice: float, n: int = 7) -> list[Atoms]:
    """H at places between the sites, the metal relaxed around it with EMT."""
    path = []
    for way in np.linspace(0, 1, n):
        atoms = crystal(metal, lattice, way)
        atoms.set_constraint(FixAtoms([H, 31]))  # 31 is far away and keeps the metal in place
        atoms.calc = EMT()
        BFGS(atoms, logfile=None).run(fmax=0.05, steps=100)
        path.append(labelled(atoms))
    return path


def train(frames: list[Atoms], n_train: int, ideal: Atoms) -> pyff.models.gdml.GDML:
    group = supercell_group(ideal, adsorbate=[H])
    data = GdmlData(
        Z=ideal.numbers, pos=np.stack([f.positions for f in frames]), forces=np.stack([f.get_forces() for f in frames]),
        energy=np.array([f.get_potential_energy() for f in frames]), cell=np.asarray(ideal.cell), name="H in metal",
        energy_unit="eV", length_unit="Angstrom",
    )  # fmt: skip
    n_valid = min(50, (len(frames) - n_train) // 2)
    model, report = fit(data, n_train, n_valid, sigma=(8, 16, 32), refined=False, perms=group.perms.numpy())
    print(f"{len(group)} permutations, {len(group.translations)} of them translations")
    print(report.text())
    return model


def draw(path: Path, curves: dict[str, np.ndarray], title: str) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5, 3.5), layout="constrained")
    axes = FigureCanvasAgg(figure).figure.add_subplot(
        xlabel="octahedral to tetrahedral site", ylabel="energy (eV)", title=title
    )
    for (name, curve), style in zip(curves.items(), ("o", "-")):
        axes.plot(np.linspace(0, 1, len(curve)), curve, style, label=name)
    axes.legend()
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--metal", default="Pd", help="any fcc metal of EMT: Al Ni Cu Pd Ag Pt Au")
    parser.add_argument("--lattice", type=float, default=3.88, help="lattice constant, A")
    parser.add_argument("--temperature", type=float, default=900, help="of the metal in the training frames, K")
    parser.add_argument("--train", type=int, default=60, help="training frames")
    parser.add_argument("--frames", type=int, default=300, help="frames altogether")
    parser.add_argument("--out", type=Path, default=Path("pd_h"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    file = args.out / "frames.extxyz"
    if not file.exists():
        rng = np.random.default_rng(0)
        write(file, sample(args.metal, args.lattice, args.temperature, args.frames, rng))
    model = train(read(file, ":"), args.train, crystal(args.metal, args.lattice))
    pyff.save(model, args.out / "model.safetensors")

    path = relaxed_path(args.metal, args.lattice)
    reference = np.array([p.get_potential_energy() for p in path])
    predicted = []
    for atoms in path:
        atoms.calc = pyff.Calculator(model)
        predicted.append(atoms.get_potential_energy())
    curves = {"EMT": reference - reference[0], "model": np.array(predicted) - predicted[0]}
    for name, curve in curves.items():
        print(f"{name:>5} along the way (eV): " + " ".join(f"{e:.3f}" for e in curve))

    draw(args.out / "path.png", curves, f"H in {args.metal}, EMT")


if __name__ == "__main__":
    main()
