"""Frames of npz archives: sGDML data sets (R, z, E, F, r_unit, e_unit) and files like them."""

from __future__ import annotations

from pathlib import Path
from zipfile import is_zipfile

import numpy as np

from pyff.data.arrays import array_frames
from pyff.data.frames import DeclaredUnits, Frame
from pyff.errors import DataError

__all__ = ["read_npz"]

_NUMBERS = ("z", "Z", "atomic_numbers", "nuclear_charges", "numbers", "atNUM")
_POSITIONS = ("R", "pos", "positions", "coordinates", "coords", "atXYZ")
_CELL = ("cell", "unit_cell", "lattice")
_UNITS = {"energy": "e_unit", "length": "r_unit", "force": "f_unit", "stress": "s_unit", "dipole": "d_unit"}


def read_npz(path: Path) -> tuple[list[Frame], DeclaredUnits]:
    """Frames and units of an npz archive. Arrays of Python objects (pickles) are never loaded."""
    try:
        archive = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        why = str(error) if is_zipfile(path) else "it is no archive of numpy.savez"  # numpy advises to unpickle it
        raise DataError(f"{path.name} cannot be read as npz: {why}") from error
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise DataError(f"{path.name} must be an npz archive; received a single array")
    with archive:
        arrays = _loadable(archive)
    kind = {"m": "model", "t": "task"}.get(_text(arrays.get("type")) or "")
    if kind:
        raise DataError(f"{path.name} is an sGDML {kind}, not a data set")
    numbers = _take(arrays, _NUMBERS, "atomic numbers", path.name)
    positions = _take(arrays, _POSITIONS, "positions", path.name)
    declared = DeclaredUnits(**{what: _text(arrays.pop(key, None)) for what, key in _UNITS.items()})
    cell = next((_cell(arrays.pop(k), k) for k in _CELL if k in arrays), None)
    pbc = arrays.pop("pbc", None)
    if "Q" in arrays and "charge" not in arrays:
        arrays["charge"] = arrays.pop("Q")
    m = len(positions) if positions.ndim == 3 else 1
    values = {k: v for k, v in arrays.items() if v.dtype.kind in "fiu" and v.ndim and v.shape[0] == m}
    return array_frames(numbers, positions, values, cell, pbc, path.name), declared


def _loadable(archive) -> dict[str, np.ndarray]:
    arrays = {}
    for key in archive.files:
        try:
            arrays[key] = archive[key]
        except ValueError:  # an array of objects: would need unpickling
            continue
    return arrays


def _take(arrays: dict, names: tuple[str, ...], what: str, source: str) -> np.ndarray:
    for name in names:
        if name in arrays:
            return arrays.pop(name)
    raise DataError(f"{source} has no {what} ({', '.join(names)}); arrays that exist: {', '.join(sorted(arrays))}")


def _cell(value: np.ndarray, key: str) -> np.ndarray:
    # sGDML keeps lattice vectors as columns under "lattice"; everyone else as rows
    return np.swapaxes(value, -1, -2) if key == "lattice" else value


def _text(value) -> str | None:
    if value is None or np.size(value) != 1:
        return None
    item = np.asarray(value).reshape(())[()]
    text = item.decode() if isinstance(item, bytes) else str(item)
    return text or None
