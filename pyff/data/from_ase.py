"""System from ase.Atoms: geometry, total charge and spin; no labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyff.batch import System

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["from_ase", "total_charge", "unpaired_electrons"]


def from_ase(atoms: Atoms) -> System:
    """System of ase.Atoms (copies; the atoms are not changed). Charge and spin by the rule below."""
    return System(
        Z=np.array(atoms.numbers),
        pos=np.array(atoms.positions),
        cell=np.array(atoms.cell),
        pbc=np.array(atoms.pbc),
        charge=total_charge(atoms),
        spin=unpaired_electrons(atoms),
    )


def total_charge(atoms: Atoms) -> float:
    """Total charge in e: atoms.info["charge"]; else the sum of the initial charges; else 0."""
    if "charge" in atoms.info:
        return float(atoms.info["charge"])
    # rounded, so that rounding errors of partial charges do not make a charged system
    return round(float(atoms.get_initial_charges().sum()), 6) if atoms.has("initial_charges") else 0.0


def unpaired_electrons(atoms: Atoms) -> float:
    """Number of unpaired electrons: atoms.info["spin"]; else |sum of the initial magnetic moments|; else 0."""
    if "spin" in atoms.info:
        return float(atoms.info["spin"])
    if not atoms.has("initial_magmoms"):
        return 0.0
    moments = atoms.get_initial_magnetic_moments()
    total = moments.sum() if moments.ndim == 1 else np.linalg.norm(moments.sum(axis=0))
    return round(abs(float(total)), 6)
