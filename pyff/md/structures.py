"""Reading a starting structure, with the format named by the file's ending."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
from ase import Atoms

from pyff.errors import DataError

__all__ = ["FORMATS", "read_structure"]

# ASE's own guessing also tries formats that unpickle; these do not
FORMATS = {
    ".xyz": "extxyz",
    ".extxyz": "extxyz",
    ".cif": "cif",
    ".pdb": "proteindatabank",
    ".vasp": "vasp",
    ".poscar": "vasp",
    ".gen": "gen",
    ".mol": "mol",
    ".sdf": "sdf",
    ".traj": "traj",
}
_BARE_NAMES = {"poscar": "vasp", "contcar": "vasp"}


def read_structure(
    path: str | os.PathLike, index: int = -1, *, charge: float | None = None, spin: float | None = None
) -> Atoms:
    """One structure of a file, the last one unless told otherwise, with velocities where the file has them.

    Args:
        charge: total charge (e) instead of the file's own; most formats have none, which counts as 0.
        spin: number of unpaired electrons, likewise.

    Raises:
        FileNotFoundError: no such file.
        DataError: unknown ending, nothing readable, or no structure in the file.
        ValueError: charge or spin is not finite, or spin is negative.
    """
    from ase.io import read

    if charge is not None and not math.isfinite(charge):
        raise ValueError(f"charge must be a finite number of e; received {charge}")
    if spin is not None and not 0 <= spin < math.inf:
        raise ValueError(f"spin must be a number of unpaired electrons, 0 or more; received {spin}")
    path = Path(path)
    kind = FORMATS.get(path.suffix.lower()) or _BARE_NAMES.get(path.name.lower())
    if kind is None:
        raise DataError(
            f"{path}: the ending must be one of {', '.join(FORMATS)}; received {path.suffix or path.name!r}"
        )
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        atoms = read(path, index=index, format=kind)
    except StopIteration:
        raise DataError(f"{path}: the file is empty; it must hold a structure") from None
    except Exception as error:  # ASE's readers raise anything; the user needs the file's name
        raise DataError(f"{path}: not readable as {kind} ({type(error).__name__}: {error})") from None
    if not len(atoms):
        raise DataError(f"{path}: the structure has no atoms")
    if not np.isfinite(atoms.positions).all():
        bad = np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1))
        raise DataError(
            f"{path}: positions must be finite; received NaN or infinity for atom {bad[0]}. Repair the file"
        )
    atoms.calc = None
    atoms.info.update({name: value for name, value in (("charge", charge), ("spin", spin)) if value is not None})
    return atoms
