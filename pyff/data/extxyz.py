"""Frames of extended xyz files, through ase.io with the format named."""

from __future__ import annotations

import gzip
import io
import warnings
from pathlib import Path

import numpy as np

from pyff.data.frames import DeclaredUnits, Frame
from pyff.data.from_ase import total_charge, unpaired_electrons
from pyff.errors import DataError

__all__ = ["atoms_frame", "read_extxyz"]

_GEOMETRY = ("numbers", "positions")
_UNIT_KEYS = {
    "energy": "energy_unit",
    "length": "length_unit",
    "force": "force_unit",
    "stress": "stress_unit",
    "dipole": "dipole_unit",
}


def read_extxyz(path: Path) -> tuple[list[Frame], DeclaredUnits]:
    """Frames and units of an extxyz file, gzipped or not. Raises DataError where ASE cannot parse it."""
    import ase.io

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ASE warns about keys it renames; both places are read
            images = ase.io.read(io.StringIO(_text(path)), index=":", format="extxyz")
    except Exception as error:  # ASE raises many kinds; all mean the same to the user
        raise DataError(f"{path.name} cannot be read as extxyz: {error}") from error
    frames = [atoms_frame(atoms, f"{path.name}[{k}]") for k, atoms in enumerate(images)]
    return frames, _declared([f.values for f in frames], path.name)


def _text(path: Path) -> str:
    """Content of the file. Read at once: ASE seeks, which in a gzip stream means decompressing again and again."""
    raw = path.read_bytes()
    return (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode()


def atoms_frame(atoms, name: str, extra: dict | None = None) -> Frame:
    """Frame of ase.Atoms. Results of an attached calculator are read as stored: constraints do not zero forces."""
    values = {k: v for k, v in atoms.arrays.items() if k not in _GEOMETRY}
    values.update(atoms.info)
    values.update({k: v for k, v in (atoms.calc.results if atoms.calc else {}).items() if v is not None})
    values.update(extra or {})
    try:
        charge, spin = total_charge(atoms), unpaired_electrons(atoms)
    except ValueError as error:
        raise DataError(f"{name}: {error}") from None
    return Frame(
        name=name,
        Z=atoms.numbers,
        pos=atoms.positions,
        cell=np.array(atoms.cell),
        pbc=np.array(atoms.pbc),
        values=values,
        charge=charge,
        spin=spin,
        config_type=str(atoms.info.get("config_type", "")),
    )


def _declared(frames: list[dict], source: str) -> DeclaredUnits:
    found = {}
    for what, key in _UNIT_KEYS.items():
        names = {str(f[key]) for f in frames if key in f}
        if len(names) > 1:
            raise DataError(f"frames of {source} declare different {key}: {', '.join(sorted(names))}")
        found[what] = names.pop() if names else None
    return DeclaredUnits(**found)
