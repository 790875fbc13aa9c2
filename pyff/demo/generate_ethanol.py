"""Generate ethanol_pbe.extxyz.gz, the data set that ships with pyff.

Geometries: GFN2-xTB Langevin dynamics of ethanol at 500 K (0.5 fs steps, a frame every 50 fs after 1 ps).
Labels: PBE/def2-SVP with density fitting, energies and forces of every frame; isolated atoms from
unrestricted PBE in the same basis, marked config_type=IsolatedAtom.

    pip install ase==3.29.0 tblite==0.8.0 pyscf==2.14.0
    python generate_ethanol.py ethanol_pbe.extxyz.gz --frames 250

The run takes about half an hour on one core; if it is interrupted, finished frames are kept in OUTPUT.part.
"""

from __future__ import annotations

import argparse
import gzip
import os
from importlib.metadata import version
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution

XC, BASIS = "PBE", "def2-svp"
GROUND_STATE_SPIN = {"H": 1, "C": 2, "O": 2}  # unpaired electrons of the free atom


def sample_geometries(n_frames: int, temperature: float = 500.0, seed: int = 7) -> list[Atoms]:
    """Frames of GFN2-xTB Langevin dynamics, 50 fs apart."""
    from tblite.ase import TBLite

    rng = np.random.default_rng(seed)
    atoms = molecule("CH3CH2OH")
    atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)
    MaxwellBoltzmannDistribution(atoms, temperature_K=temperature, rng=rng)
    dynamics = Langevin(atoms, 0.5 * units.fs, temperature_K=temperature, friction=0.02 / units.fs, rng=rng)
    dynamics.run(2000)
    frames = []
    for _ in range(n_frames):
        dynamics.run(100)
        frame = Atoms(atoms.numbers, positions=atoms.positions - atoms.get_center_of_mass())
        frames.append(frame)
    return frames


def label(atoms: Atoms, guess=None, spin: int = 0):
    """Energy (eV), forces (eV/A) and density matrix of one structure."""
    from pyscf import dft, gto

    mol = gto.M(atom=[(s, p) for s, p in zip(atoms.symbols, atoms.positions)], basis=BASIS, spin=spin, verbose=0)
    method = (dft.UKS if spin else dft.RKS)(mol, xc=XC).density_fit()
    method.grids.level = 4
    method.conv_tol = 1e-10
    energy = method.kernel(dm0=guess)
    if not method.converged:
        raise RuntimeError(f"the SCF of {atoms.symbols} did not converge")
    gradient = method.nuc_grad_method()
    gradient.grid_response = True  # without it the forces are not the gradient of the energy on a finite grid
    forces = -gradient.kernel() * units.Hartree / units.Bohr if len(atoms) > 1 else np.zeros((1, 3))
    return energy * units.Hartree, forces, method.make_rdm1()


def labelled(atoms: Atoms, config_type: str, guess=None, spin: int = 0):
    energy, forces, density = label(atoms, guess, spin)
    atoms = atoms.copy()
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
    atoms.info.update(config_type=config_type, energy_unit="eV", length_unit="Angstrom")
    return atoms, density


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--frames", type=int, default=250)
    args = parser.parse_args()

    part = args.output.with_name(args.output.name + ".part")
    done = read(part, ":", format="extxyz") if part.exists() else []
    geometries = sample_geometries(args.frames)
    todo = [(Atoms(s, positions=np.zeros((1, 3))), "IsolatedAtom", n) for s, n in GROUND_STATE_SPIN.items()]
    todo += [(g, "md_500K", 0) for g in geometries]
    guess = None
    for k, (atoms, config_type, spin) in enumerate(todo):
        if k < len(done):
            continue
        frame, density = labelled(atoms, config_type, guess if not spin else None, spin)
        guess = density if not spin else None
        frame.info["origin"] = (
            f"{XC}/{BASIS} pyscf {version('pyscf')}, GFN2-xTB tblite {version('tblite')}, ase {version('ase')}"
        )
        write(part, frame, format="extxyz", append=True)
        print(f"{k + 1}/{len(todo)}  {frame.get_potential_energy():.6f} eV", flush=True)
    with gzip.GzipFile(args.output, "wb", compresslevel=9, mtime=0) as out:  # no time stamp: same data, same bytes
        out.write(part.read_bytes())
    os.remove(part)


if __name__ == "__main__":
    main()
