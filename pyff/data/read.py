"""Read labelled structures from files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pyff.data.dataset import Dataset, concatenate
from pyff.data.frames import DeclaredUnits, Frame, Keys, assemble
from pyff.errors import DataError
from pyff.units import Units

__all__ = ["FORMATS", "read"]

_SUFFIXES = {
    ".xyz": "extxyz", ".extxyz": "extxyz", ".xyz.gz": "extxyz", ".extxyz.gz": "extxyz", ".db": "db", ".npz": "npz",
}  # fmt: skip
FORMATS = ("extxyz", "db", "npz")


def read(
    path: str | Path | Sequence[str | Path],
    *,
    format: str | None = None,
    units: Units | str | None = None,
    energy_key: str | None = None,
    forces_key: str | None = None,
    stress_key: str | None = None,
    charge_key: str | None = None,
    spin_key: str | None = None,
    dipole_key: str | None = None,
    charges_key: str | None = None,
    hirshfeld_key: str | None = None,
    target_key: str | None = None,
    bad: str = "error",
) -> Dataset:
    """Read one file, or several into one data set. Everything is converted to eV and A, once, here.

    Args:
        path: extxyz (also .gz), ASE db (sqlite), or npz (sGDML and similar); or a sequence of such files.
        format: "extxyz", "db" or "npz"; from the suffix where None.
        units: "energy,length[,force[,stress[,dipole]]]", for example "kcal/mol,Angstrom"; needed where the file states
            none.
        energy_key, forces_key, stress_key, charge_key, spin_key: None searches the known names; "" reads nothing;
            else the key. A stress key with "virial" in its name holds -stress times volume.
        dipole_key, charges_key, hirshfeld_key: likewise, for dipole moments, atomic charges (e) and ratios of Hirshfeld
            volumes. target_key: key of any other number per structure, in whatever unit; never searched.
        bad: "error" refuses frames with non-finite numbers, coincident atoms (< 0.2 A), forces beyond 1e3 eV/A or
            wrong shapes, and names them; "skip" leaves them out and notes how many.

    Returns:
        Dataset. Frames of one atom (in open space, or marked config_type=IsolatedAtom) become `isolated_atoms`.

    Raises:
        DataError: unknown format, missing or contradicting units, keys not found (those that exist are listed), bad
            frames. FileNotFoundError: no such file.
    """
    keys = Keys(
        energy_key, forces_key, stress_key, charge_key, spin_key, dipole_key, charges_key, hirshfeld_key, target_key
    )
    if not isinstance(path, (str, Path)):
        return concatenate([_read_one(Path(p), format, units, keys, bad) for p in path])
    return _read_one(Path(path), format, units, keys, bad)


def _read_one(path: Path, format: str | None, units, keys: Keys, bad: str) -> Dataset:
    if not path.is_file():
        what = "a data file is needed; received the folder" if path.is_dir() else "no data file at"
        raise FileNotFoundError(f"{what} {path}")
    frames, declared = _reader(path, format)(path)
    return assemble(frames, path.name, declared=declared, units=units, keys=keys, bad=bad)


def _reader(path: Path, format: str | None) -> Callable[[Path], tuple[list[Frame], DeclaredUnits]]:
    if format is None:
        name = path.name.lower()
        format = next((f for suffix, f in _SUFFIXES.items() if name.endswith(suffix)), None)
        if format is None:
            raise DataError(
                f"the suffix of {path.name} names no known format: data end in {', '.join(_SUFFIXES)} "
                f"(in Python, format=, one of {', '.join(FORMATS)}, says what a file is)"
            )
    if format == "extxyz":
        from pyff.data.extxyz import read_extxyz

        return read_extxyz
    if format == "db":
        from pyff.data.ase_db import read_db

        return read_db
    if format == "npz":
        from pyff.data.npz import read_npz

        return read_npz
    raise DataError(f"format must be one of {', '.join(FORMATS)}; received {format!r}")
