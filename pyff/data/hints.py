"""What the magnitudes suggest about units that nobody declared. Only ever shown, never used."""

from __future__ import annotations

import numpy as np

from pyff.units import ENERGY, LENGTH

__all__ = ["energy_hint", "length_hint"]


def _free_atom_energy(Z: np.ndarray) -> float:
    """Sum of neutral-atom energies in eV; E = -(0.7687 Z^7/3 - 0.5 Z^2 + 0.2699 Z^5/3) Hartree.

    Source: Schwinger, Phys. Rev. A 24, 2353 (1981); within 10 % of all-electron energies for every element.
    """
    z = Z.astype(float)
    return -ENERGY["Hartree"] * float(np.sum(0.7687 * z ** (7 / 3) - 0.5 * z**2 + 0.2699 * z ** (5 / 3)))


def energy_hint(structures: list[tuple[np.ndarray, float]]) -> str:
    """structures: (Z, energy as read). A sentence, empty where the energies fit no unit."""
    ratios = [energy / _free_atom_energy(Z) for Z, energy in structures if len(Z)]
    if not ratios:
        return ""
    ratio = float(np.median(ratios))
    for name, factor in ENERGY.items():
        if name != "meV" and abs(ratio * factor - 1) < 0.12:
            return f"the energies have the size of all-electron total energies in {name}"
    return "the energies are no all-electron total energies, so their size does not tell the unit"


def length_hint(structures: list[tuple[np.ndarray, np.ndarray]]) -> str:
    """structures: (Z, pos as read). A sentence, empty where the distances fit no unit."""
    from ase.data import covalent_radii
    from scipy.spatial import cKDTree

    ratios = []
    for Z, pos in structures:
        if len(Z) > 1 and np.isfinite(pos).all():
            distance, index = cKDTree(pos).query(pos, k=2)
            ratios.extend(distance[:, 1] / (covalent_radii[Z] + covalent_radii[Z[index[:, 1]]]))
    if not ratios:
        return ""
    ratio = float(np.median(ratios))
    best = min(LENGTH, key=lambda name: abs(np.log(max(ratio, 1e-9) * LENGTH[name])))
    return f"the shortest distances have the size of bonds in {best}"
