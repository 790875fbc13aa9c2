"""Diffusion of hydrogen in palladium with a BIGDML model: training, dynamics, Arrhenius plot.

    python examples/hydrogen_in_palladium.py --out pd-h

Labels come from ASE's effective medium theory (EMT), for 32 Pd and one H in a periodic box. EMT's hydrogen is a toy:
with ASE's parameters it has to climb 1.4 eV from one octahedral site to the next (experiment: 0.23 eV), and never does.
Here its cohesion E0 is -0.4 eV instead of -3.21 eV, which makes that 0.3 eV.

1. Frames: EMT's metal moves at 1000 K while H is led to and fro between an octahedral and a tetrahedral site.
2. The model learns from `--train` of them with the 1536 permutations that the space group of the supercell makes.
3. Model and EMT simulate H at several temperatures; its mean-square displacement relative to the metal gives D.
4. Energies along the way between two sites, the metal relaxed, are compared with the activation energy.

About an hour on one core; `--time 20` shows the way in ten minutes, with too few jumps for an activation energy.
Writes model.safetensors, one file of positions per simulation (they are used again), and `arrhenius.png`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators import emt
from ase.calculators.calculator import Calculator
from ase.constraints import FixAtoms, FixSubsetCom
from ase.optimize import BFGS

import pyff
from pyff._figure import save_figure
from pyff.analysis import Diffusion, Motion, arrhenius, arrhenius_panel, diffusion, msd_panel
from pyff.cli.threads import threads_for
from pyff.md import MDSettings, run_md, start_velocities
from pyff.models.gdml.symmetry import supercell_group
from pyff.train.gdml import GdmlData, fit

LATTICE = 3.879  # A, EMT's
H = 32
OCTAHEDRAL, TETRAHEDRAL = np.array([0.5, 0, 0]), np.array([0.25, 0.25, 0.25])
TIMESTEP, EVERY = 2.0, 10  # fs, steps between positions


def reference() -> Calculator:
    """EMT with the hydrogen described above."""
    emt.parameters["H"] = (-0.4, *emt.parameters["H"][1:])
    return emt.EMT()


def crystal(way: float = 0.0) -> Atoms:
    """The ideal crystal with H at a fraction of the way from an octahedral to a tetrahedral site."""
    place = LATTICE * (OCTAHEDRAL + way * (TETRAHEDRAL - OCTAHEDRAL))
    return bulk("Pd", "fcc", a=LATTICE, cubic=True) * 2 + Atoms("H", [place])


def simulate(calculator: Calculator, temperature: float, picoseconds: float, seed: int) -> np.ndarray:
    """Positions [T, 33, 3] every 20 fs of Langevin dynamics, after 2 ps of warm-up."""
    atoms, frames = crystal(), []
    atoms.calc = calculator
    start_velocities(atoms, temperature, seed)
    common = {"temperature": temperature, "timestep": TIMESTEP, "log_interval": EVERY}
    warm = MDSettings(steps=1000, friction=5, seed=seed + 1, **common)
    main = MDSettings(steps=round(1000 * picoseconds / TIMESTEP), friction=0.5, seed=seed + 2, **common)
    for settings, keep in ((warm, None), (main, lambda row: frames.append(atoms.positions.copy()))):
        with threads_for(len(atoms)):
            report = run_md(atoms, settings, on_log=keep)
        if report.stopped:
            raise SystemExit(f"the simulation at {temperature:g} K ended early: {report.stopped}")
    print(f"{temperature:6.0f} K  {report.steps / report.seconds:6.0f} steps/s", flush=True)
    return np.array(frames)


def positions(file: Path, *args) -> np.ndarray:
    """Of an earlier run, or of a new one."""
    if not file.exists():
        np.save(file, simulate(*args))
    return np.load(file)


def hopping(pos: np.ndarray, blocks: int) -> Diffusion:
    """D of hydrogen; the fit begins where vibrations no longer count, and ends before windows become few."""
    atoms = crystal()
    motion = Motion(pos, None, atoms.get_masses(), atoms.numbers, TIMESTEP * EVERY, atoms.cell.array, atoms.pbc)
    return diffusion(motion, [H], fit=(1, 5), blocks=blocks)


def sample(n: int, temperature: float = 1000) -> np.ndarray:
    """Positions [n, 33, 3]: H goes to and fro between two sites, the metal at `temperature` around it."""
    rng, atoms, frames = np.random.default_rng(0), crystal(), []
    atoms.calc = reference()
    start_velocities(atoms, temperature, 0)
    for k in range(n):
        drift = (atoms.positions[:H] - crystal().positions[:H]).mean(0)
        held = crystal(0.5 - 0.5 * np.cos(np.pi * k / 25)).positions[H] + drift
        atoms.positions[H], atoms.constraints = held, FixAtoms([H])
        run_md(atoms, MDSettings(steps=15, temperature=temperature, timestep=4, friction=10, seed=k))
        frames.append(atoms.positions.copy())
        frames[-1][H] += rng.normal(0, 0.1, 3)
    return np.array(frames)


def train(pos: np.ndarray, n_train: int, out: Path) -> Path:
    """A BIGDML model of EMT's energies and forces at some of the positions, tested on the others."""
    calculator, atoms = reference(), crystal()
    atoms.calc = calculator
    energy, forces = [], []
    for atoms.positions in pos:
        energy.append(atoms.get_potential_energy())
        forces.append(atoms.get_forces())
    data = GdmlData(
        Z=atoms.numbers, pos=pos, forces=np.array(forces), energy=np.array(energy), cell=atoms.cell.array,
        name="H in Pd", theory="EMT", energy_unit="eV", length_unit="Angstrom",
    )  # fmt: skip
    perms = supercell_group(crystal(), adsorbate=[H]).perms
    model, report = fit(data, n_train, 20, sigma=(8, 16, 32, 64), perms=np.asarray(perms))
    print(f"{len(perms)} permutations\n{report.text()}")
    pyff.save(model, out / "model.safetensors")
    return out / "model.safetensors"


def barrier(calculator: Calculator, n: int = 11) -> float:
    """Largest energy (eV) on the straight way between the sites, the metal relaxed around H."""
    energies = []
    for way in np.linspace(0, 1, n):
        atoms = crystal(way)
        atoms.calc = calculator
        atoms.set_constraint([FixAtoms([H]), FixSubsetCom(range(32))])
        BFGS(atoms, logfile=None).run(fmax=0.02, steps=100)
        energies.append(atoms.get_potential_energy())
    return max(energies) - energies[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=int, default=100, help="training frames")
    parser.add_argument("--temperatures", type=float, nargs="+", default=[700, 800, 900, 1000])
    parser.add_argument("--time", type=float, default=200, help="ps per simulation")
    parser.add_argument("--blocks", type=int, default=10, help="pieces of each, for the error")
    parser.add_argument("--only", choices=["EMT", "BIGDML"], help="simulate with one of the two")
    parser.add_argument("--out", type=Path, default=Path("pd-h"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    path = args.out / "model.safetensors"
    if not path.exists():
        file = args.out / "frames.npy"
        if not file.exists():
            np.save(file, sample(args.train + 100))
        train(np.load(file), args.train, args.out)
    calculators = {"EMT": reference(), "BIGDML": pyff.Calculator(path)}
    panels, lines = [], []
    for name, calculator in calculators.items():
        print(f"{name}: highest energy between two sites {barrier(calculator):.3f} eV", flush=True)
        if args.only not in (None, name):
            continue
        found = []
        for k, T in enumerate(args.temperatures):
            file = args.out / f"{name}-{T:g}K.npy"
            found.append(hopping(positions(file, calculator, T, args.time, 10 * k), args.blocks))
            print(f"{T:6.0f} K  D = {found[-1].D:.4f} +- {found[-1].error:.4f} A^2/ps", flush=True)
        D, error = [f.D for f in found], [f.error for f in found]
        line = arrhenius(args.temperatures, D, error)
        print(f"{name}: activation energy {line.barrier:.3f} +- {line.error:.3f} eV, D0 {line.prefactor:.1f} A^2/ps")
        panels.append(msd_panel(found[-1], label=f"{name}, {args.temperatures[-1]:g} K"))
        lines.append(arrhenius_panel(args.temperatures, D, error, line, label=name))
    save_figure(args.out / "arrhenius.png", [lambda axes: [draw(axes) for draw in lines], *panels], columns=3)
    print(f"picture in {args.out / 'arrhenius.png'}")


if __name__ == "__main__":
    main()
