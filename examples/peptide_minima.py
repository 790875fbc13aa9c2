"""The conformers of a peptide with SO3LR: where minima that `pyff minima` found lie on the Ramachandran map.

    pyff convert params.pkl so3lr.safetensors
    pyff minima so3lr.safetensors alanine_dipeptide.xyz --mirror distinct --escapes 80 --out minima.xyz
    python examples/peptide_minima.py minima.xyz --out ramachandran.png

Prints each minimum with its energy above the lowest and its (phi, psi), and which of the conformers that alanine
dipeptide is known to have in the gas phase were found: C7eq, C5, C7ax, by their approximate angles.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read
from ase.neighborlist import build_neighbor_list

from pyff.analysis.free_energy import dihedral_angles
from pyff.train import save_figure
from pyff.units import ENERGY

KNOWN = {"C7eq": (-85, 75), "C5": (-157, 160), "C7ax": (75, -60)}  # degrees
WITHIN = 30  # degrees: angles of one conformer differ by as much between methods


def backbone(atoms: Atoms) -> tuple[list[int], list[int]]:
    """Atoms of phi (C-N-CA-C) and psi (N-CA-C-N) of the first residue that has both."""
    neighbors = build_neighbor_list(atoms, self_interaction=False, bothways=True).get_connectivity_matrix().toarray()
    bonded = [set(np.flatnonzero(row)) for row in neighbors]
    symbol = atoms.get_chemical_symbols()
    carbonyl = [k for k in range(len(atoms))
                if symbol[k] == "C" and any(symbol[j] == "O" and len(bonded[j]) == 1 for j in bonded[k])]  # fmt: skip
    for alpha in range(len(atoms)):
        if symbol[alpha] != "C" or alpha in carbonyl:
            continue
        for n in (j for j in bonded[alpha] if symbol[j] == "N"):
            for c in (j for j in bonded[alpha] if j in carbonyl):
                before = [j for j in bonded[n] if j in carbonyl]
                after = [j for j in bonded[c] if symbol[j] == "N"]
                if before and after:
                    return [before[0], n, alpha, c], [n, alpha, c, after[0]]
    raise SystemExit("no residue with a peptide bond on both sides was found")


def closest(angles: list[float]) -> str:
    """Name of the known conformer within WITHIN degrees in both angles, or nothing."""
    for name, known in KNOWN.items():
        if all(abs((a - b + 180) % 360 - 180) <= WITHIN for a, b in zip(angles, known)):
            return name
    return ""


def panel(rows: list[tuple[float, float, float]]):
    """What `save_figure` draws: the minima (energy, phi, psi) on the map."""
    energy, phi, psi = np.array(rows).T

    def draw(axes) -> None:
        points = axes.scatter(phi, psi, c=energy, cmap="viridis_r", zorder=3)
        axes.figure.colorbar(points, ax=axes, label="energy above the lowest minimum (kcal/mol)")
        for name, (x, y) in KNOWN.items():
            axes.plot(x, y, "k+", markersize=14, zorder=2)
            axes.annotate(name, (x, y), textcoords="offset points", xytext=(8, 8))
        axes.set(xlim=(-180, 180), ylim=(-180, 180), xlabel="phi (degrees)", ylabel="psi (degrees)",
                 title="minima found; + known conformers")  # fmt: skip
        axes.set_xticks(range(-180, 181, 60))
        axes.set_yticks(range(-180, 181, 60))

    return draw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("minima", type=Path, help="the .xyz that `pyff minima` wrote")
    parser.add_argument("--out", type=Path, default=Path("ramachandran.png"))
    args = parser.parse_args()
    minima = read(args.minima, index=":")
    angles = backbone(minima[0])
    lowest = min(m.get_potential_energy() for m in minima)
    rows, found = [], set()
    for k, atoms in enumerate(minima, 1):
        above = (atoms.get_potential_energy() - lowest) / ENERGY["kcal/mol"]
        phi, psi = np.degrees(dihedral_angles(atoms.positions, angles))
        name = closest([phi, psi])
        found.add(name)
        rows.append((above, phi, psi))
        print(f"{k:3d}  {above:7.2f} kcal/mol   phi {phi:7.1f}   psi {psi:7.1f}   {name}")
    print("known conformers found: " + (", ".join(n for n in KNOWN if n in found) or "none"))
    save_figure(args.out, [panel(rows)])
    print(f"picture in {args.out}")


if __name__ == "__main__":
    main()
