"""SO3LR of pyff against So3krates-torch as ASE calculators, interleaved in one process, with the error against float64.

    pip install --no-deps so3krates-torch     # and what it asks for when imported
    python benchmarks/compare_so3lr.py so3lr.safetensors --threads 1 --json benchmarks/results/MACHINE/so3lr.json

Energy and forces, float32, neighbor lists included; local cutoff 4.5 A, long-range cutoff 10 A, the published weights
on both sides. Between two calls every atom moves as it would in 0.5 fs at 300 K.
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from pathlib import Path

import numpy as np
import torch
from _results import write_results
from _systems import molecule, water
from _timing import interleaved
from ase import Atoms, units
from ase.build import nanotube
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution

import pyff

LONG_RANGE = 10.0


def tubes() -> Atoms:
    """A double-walled carbon nanotube, open, 360 atoms."""
    tube = nanotube(5, 5, length=6) + nanotube(10, 10, length=6)
    return Atoms(tube.numbers, positions=tube.positions)


def structures() -> dict[str, Atoms]:
    return {"aspirin, 21": molecule(), "nanotubes, 360": tubes(), "water, 999": water(999)}


def frames(atoms: Atoms, count: int = 64) -> list[np.ndarray]:
    """Positions after steps of 0.5 fs with the velocities of 300 K, back and forth so that they stay near the start."""
    moving = atoms.copy()
    MaxwellBoltzmannDistribution(moving, temperature_K=300, rng=np.random.default_rng(0))
    step = moving.get_velocities() * 0.5 * units.fs
    return [atoms.positions + (k if k < count // 2 else count - k) * step for k in range(count)]


def stepper(atoms: Atoms, calculator):
    moving, positions = atoms.copy(), itertools.cycle(frames(atoms))
    moving.info["charge"] = 0
    moving.calc = calculator

    def call():
        moving.set_positions(next(positions))
        return moving.get_potential_energy(), moving.get_forces()

    return call


def rival():
    from so3krates_torch.calculator.so3 import SO3LRCalculator

    return SO3LRCalculator(r_max_lr=LONG_RANGE, dispersion_energy_cutoff_lr_damping=2.0, default_dtype="float32")


def ours(model: str, dtype: str) -> pyff.Calculator:
    return pyff.Calculator(model, dtype=dtype, long_range_cutoff=LONG_RANGE)


def errors(atoms: Atoms, calculators: dict) -> dict[str, dict[str, float]]:
    """Forces (largest difference, eV/A) and energy (eV) of each calculator against pyff in float64."""
    exact = stepper(atoms, calculators["float64"])()
    out = {}
    for name in ("so3krates-torch", "pyff"):
        energy, forces = stepper(atoms, calculators[name])()
        # So3krates-torch adds a constant per atom to the energies: only forces compare
        out[name] = {"force_eV_per_A": float(np.abs(forces - exact[1]).max())}
        if name == "pyff":
            out[name]["energy_eV"] = abs(energy - exact[0])
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="the published weights: pyff convert params.pkl so3lr.safetensors")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    warnings.filterwarnings("ignore", module="so3krates_torch|torch")
    rows = []
    for title, atoms in structures().items():
        calculators = {"so3krates-torch": rival(), "pyff": ours(args.model, "float32"),
                       "float64": ours(args.model, "float64")}  # fmt: skip
        calls = {name: stepper(atoms, calculators[name]) for name in ("so3krates-torch", "pyff")}
        times = interleaved(calls, args.rounds)
        ratio = times["so3krates-torch"]["median_ms"] / times["pyff"]["median_ms"]
        rows.append({"case": title, "ratio": ratio, **times, "errors": errors(atoms, calculators),
                     "info": calculators["pyff"].info})  # fmt: skip
        print(f"{title:16s} so3krates-torch {times['so3krates-torch']['median_ms']:8.1f} ms   "
              f"pyff {times['pyff']['median_ms']:7.2f} ms   ratio {ratio:5.1f}   {rows[-1]['errors']}")  # fmt: skip
    if args.json:
        packages = ("torch", "numpy", "ase", "so3krates-torch")
        write_results(args.json, rows, threads=args.threads, packages=packages)


if __name__ == "__main__":
    main()
