"""Labelled geometries of one molecule or one cell, in the units of their source."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from pyff.data import Dataset
from pyff.errors import DataError

__all__ = ["GdmlData", "fingerprint", "require_finite"]

_SHORT = {"Angstrom": "Ang", "Bohr": "bohr"}  # sGDML's names of units; some readers of its files know no others


@dataclass(frozen=True)
class GdmlData:
    """What GDML models learn from.

    Args:
        Z: atomic numbers [N], the same atoms in the same order in every frame.
        pos: positions [M, N, 3].
        forces: -dE/dpos [M, N, 3].
        energy: [M], or None.
        cell: lattice vectors as rows [3, 3], or None for open structures.
        perms: permutations of the atoms [P, N] that the source states, or None.
        name, theory: of the data set.
        energy_unit, length_unit: of all numbers; None where the source states none.
        md5: fingerprint of the frames; computed where not given.

    Raises:
        DataError: shapes that do not fit each other, numbers that are not finite, or a singular cell.
    """

    Z: np.ndarray
    pos: np.ndarray
    forces: np.ndarray
    energy: np.ndarray | None = None
    cell: np.ndarray | None = None
    perms: np.ndarray | None = None
    name: str = "unknown"
    theory: str = "unknown"
    energy_unit: str | None = None
    length_unit: str | None = None
    md5: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        n = len(self.Z)
        for key in ("pos", "forces"):
            shape = np.shape(getattr(self, key))
            if len(shape) != 3 or shape[1:] != (n, 3) or len(self.pos) != shape[0]:
                raise DataError(f"{key} must have shape [{len(self.pos)}, {n}, 3]; received {list(shape)}")
        if self.energy is not None and np.shape(self.energy) != (len(self.pos),):
            raise DataError(f"energy must have shape [{len(self.pos)}]; received {list(np.shape(self.energy))}")
        if self.cell is not None and not abs(np.linalg.det(self.cell)) > 0:
            raise DataError("cell must have three independent lattice vectors; its determinant is 0")
        require_finite({"pos": self.pos, "forces": self.forces, "energy": self.energy})
        if not self.md5:
            object.__setattr__(self, "md5", fingerprint(self.Z, self.pos, self.energy, self.forces))

    def __len__(self) -> int:
        return len(self.pos)

    @classmethod
    def from_dataset(cls, data: Dataset, name: str = "unknown") -> GdmlData:
        """Frames of one composition and one cell, in the units of their source."""
        first, units = data[0], data.units
        for s, frame in zip(data, data.names):
            if not np.array_equal(s.Z, first.Z):
                raise DataError(
                    f"frames must have the same atoms in the same order; {frame} has not those of the first"
                )
            if not np.array_equal(s.pbc, first.pbc) or (first.pbc.any() and not np.allclose(s.cell, first.cell)):
                raise DataError(f"frames must have the same cell; {frame} has not that of the first")
        if data.count("forces") < len(data):
            raise DataError(f"all frames must have forces; {len(data) - data.count('forces')} have none")
        has_energy = data.count("energy") == len(data)
        energy, length = units.energy_factor, units.length_factor
        return cls(
            Z=first.Z,
            pos=np.stack([s.pos for s in data]) / length,
            forces=np.stack([s.labels["forces"] for s in data]) * (length / energy),
            energy=np.array([float(s.labels["energy"]) for s in data]) / energy if has_energy else None,
            cell=np.asarray(first.cell) / length if first.pbc.any() else None,
            name=name,
            energy_unit=units.energy,
            length_unit=_SHORT.get(units.length, units.length),
        )


def require_finite(arrays: Mapping[str, np.ndarray | None]) -> None:
    """Raise DataError, naming the first frame, where one of the arrays [M, ...] has NaN or infinity."""
    for name, array in arrays.items():
        if array is None:
            continue
        bad = ~np.isfinite(array).reshape(len(array), -1).all(axis=1)
        if bad.any():
            raise DataError(
                f"{name} must be finite; {bad.sum()} of {len(bad)} frames have NaN or infinity, the first is frame "
                f"{bad.argmax()}. Remove them"
            )


def fingerprint(Z: np.ndarray, pos: np.ndarray, energy: np.ndarray | None, forces: np.ndarray) -> str:
    """sGDML's: MD5 over the MD5 digests of the arrays' bytes, whatever their dtype."""
    digest = hashlib.md5(usedforsecurity=False)
    for array in (Z, pos, energy, forces):
        if array is not None:
            flat = np.ascontiguousarray(array).ravel()
            digest.update(hashlib.md5(flat.tobytes(), usedforsecurity=False).digest())
    return digest.hexdigest()
