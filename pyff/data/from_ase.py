"""System from ase.Atoms: geometry, total charge and spin; no labels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

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
    """Total charge in e: atoms.info["charge"]; else the sum of the initial charges; else 0.

    Raises:
        ValueError: not a finite number.
    """
    needs = "must be the total charge in e, a finite number"
    if "charge" in atoms.info:
        return _number(atoms.info["charge"], f"atoms.info['charge'] {needs}", "set it, or remove it for a neutral one")
    if not atoms.has("initial_charges"):
        return 0.0
    # rounded, so that rounding errors of partial charges do not make a charged system
    total = round(float(atoms.get_initial_charges().sum()), 6)
    return _number(total, f"the sum of the initial charges {needs}", "set atoms.info['charge'] instead")


def unpaired_electrons(atoms: Atoms) -> float:
    """Number of unpaired electrons: atoms.info["spin"]; else |sum of the initial magnetic moments|; else 0.

    Raises:
        ValueError: negative, or not a finite number.
    """
    needs = "must be the number of unpaired electrons, finite and not negative"
    if "spin" in atoms.info:
        fix = "spin is the number of unpaired electrons, not the multiplicity 2S+1: 0 for a singlet, 1 for a doublet"
        return _number(atoms.info["spin"], f"atoms.info['spin'] {needs}", fix, lowest=0.0)
    if not atoms.has("initial_magmoms"):
        return 0.0
    moments = atoms.get_initial_magnetic_moments()
    total = moments.sum() if moments.ndim == 1 else np.linalg.norm(moments.sum(axis=0))
    total = round(abs(float(total)), 6)
    return _number(total, f"the sum of the initial magnetic moments {needs}", "set atoms.info['spin'] instead")


def _number(value: Any, requirement: str, fix: str, lowest: float = -math.inf) -> float:
    try:
        number = float(value) if np.ndim(value) == 0 else math.nan
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number) or number < lowest:
        raise ValueError(f"{requirement}; received {value!r:.60}; {fix}")
    return number
