"""Labels beyond energy, forces and stress: dipole moments, atomic charges, Hirshfeld ratios, a named target.

Nobody has to know that a file holds them. So a key that is only found by its name is read where it makes sense and
passed over with a note where it does not; a key the caller names must hold what was said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyff.batch import LABELS
from pyff.data.keys import choose_key
from pyff.errors import PyffError
from pyff.units import Units

if TYPE_CHECKING:
    from pyff.data.frames import DeclaredUnits, Frame, Keys

__all__ = ["PROPERTIES", "choose_properties", "property_labels"]

PROPERTIES = ("dipole", "charges", "hirshfeld", "target")


def choose_properties(
    keys: Keys, frames: Sequence[Frame], source: str, declared: DeclaredUnits
) -> tuple[dict[str, str], list[str]]:
    """(role -> key, notes on keys that were passed over). Raises DataError where a key asked for is in no frame."""
    values = [f.values for f in frames]
    chosen, notes = {}, []
    for role in PROPERTIES:
        wanted = getattr(keys, role)
        if wanted is None and role == "target":
            continue  # what to learn is never guessed
        try:
            key = choose_key(role, values, wanted, source, f"{role}_key")
        except PyffError as error:
            if wanted is not None:
                raise
            notes.append(f"{role} not read: {error}")
            continue
        reason = _unfit(role, key, frames, declared) if key and wanted is None else ""
        if reason:
            notes.append(f"{role} not read from {key!r}: {reason}")
        elif key:
            chosen[role] = key
    return chosen, notes


def _unfit(role: str, key: str, frames: Sequence[Frame], declared: DeclaredUnits) -> str:
    """Why a key that was found by its name does not hold the label, or ""."""
    labelled = [f for f in frames if key in f.values]
    sizes = {np.size(f.values[key]) == _size(role, f) for f in labelled}
    if sizes != {True}:
        return f"expected {' x '.join(map(str, LABELS[role][0]))} numbers per frame"
    if role == "charges" and all(np.array_equal(np.ravel(f.values[key]), f.Z) for f in labelled):
        return "these are the atomic numbers"
    if role == "dipole" and (unit := declared.dipole or declared.by_key.get(key)):
        try:
            Units(dipole=unit)
        except PyffError as error:
            return str(error)
    return ""


def property_labels(frame: Frame, found: Mapping[str, object], units: Units) -> dict[str, np.ndarray]:
    """Labels of a frame in e A, e, 1. A value of another size keeps its shape, for the check to refuse.

    The dipole moment of a periodic structure has no meaning and is left out.
    """
    labels = {}
    for role in PROPERTIES:
        if role not in found or (role == "dipole" and np.any(frame.pbc)):
            continue
        value = np.asarray(found[role], dtype=np.float64)
        shape = tuple(len(frame.Z) if s == "N" else s for s in LABELS[role][0])
        labels[role] = value.reshape(shape) if value.size == _size(role, frame) else value
    if "dipole" in labels:
        labels["dipole"] = labels["dipole"] * units.dipole_factor
    return labels


def _size(role: str, frame: Frame) -> int:
    return int(np.prod([len(frame.Z) if s == "N" else s for s in LABELS[role][0]]))
