"""Frames of ASE databases (sqlite), with the metadata that SchNetPack writes."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np

from pyff.data.extxyz import atoms_frame
from pyff.data.frames import DeclaredUnits, Frame
from pyff.errors import DataError

__all__ = ["read_db"]


def read_db(path: Path) -> tuple[list[Frame], DeclaredUnits]:
    """Frames and units of an ASE sqlite database; units from `_property_unit_dict` and `_distance_unit`."""
    import ase.db

    try:
        with ase.db.connect(path, type="db") as connection:
            metadata = dict(connection.metadata)
            frames = [_row_frame(row, f"{path.name}[{k}]") for k, row in enumerate(connection.select())]
    except DataError:
        raise
    except Exception as error:  # sqlite and ASE raise many kinds; all mean the same to the user
        raise DataError(f"{path.name} cannot be read as an ASE database: {error}") from error
    by_key = {k: v for k, v in metadata.get("_property_unit_dict", {}).items() if isinstance(v, str) and v}
    return frames, DeclaredUnits(
        energy=metadata.get("energy_unit"),
        length=metadata.get("_distance_unit") or metadata.get("length_unit"),
        by_key=by_key,
    )


def _row_frame(row, name: str) -> Frame:
    extra = {**row.key_value_pairs, **_decoded(row.data)}
    # SchNetPack stores a leading axis of one
    flat = {k: v[0] if np.ndim(v) > 1 and np.shape(v)[0] == 1 else v for k, v in extra.items()}
    return atoms_frame(row.toatoms(), name, flat)


def _decoded(data: dict) -> dict:
    """Values of a row; SchNetPack < 0.3 stored arrays as base64 text beside _shape_KEY and _dtype_KEY."""
    values = {}
    for key, value in data.items():
        if key.startswith(("_shape_", "_dtype_")):
            continue
        if f"_dtype_{key}" in data:
            dtype = np.dtype(data[f"_dtype_{key}"])
            if dtype.hasobject:
                raise DataError(f"{key} must be numbers; received dtype {dtype}")
            value = np.frombuffer(base64.b64decode(value), dtype=dtype).reshape(data[f"_shape_{key}"])
        values[key] = np.asarray(value) if isinstance(value, list) else value
    return values
