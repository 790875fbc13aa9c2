"""The npz files of sGDML 1.0.3 as dicts of arrays, every one with its dtype and layout.

Source of the layout: Chmiela et al., Comput. Phys. Commun. 240, 38 (2019), and the files themselves.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pyff._npz import read_npz, write_npz
from pyff.errors import PyffError
from pyff.models.gdml.sgdml_file import CODE_VERSION, text_of

__all__ = [
    "CODE_VERSION",
    "SgdmlFileError",
    "dataset_arrays",
    "dataset_md5",
    "fingerprint",
    "kind_of",
    "read_sgdml",
    "write_sgdml",
]

_KINDS = {"d": "data set", "t": "task", "m": "model"}
# what tells the kinds apart in files without a type
_MARKS = {"m": ("R_desc", "Rt_desc", "trainPts_D"), "t": ("R_train",), "d": ("R", "F")}
_REQUIRED = {
    "d": ("z", "R", "F"),
    "t": ("z", "R_train", "F_train", "sig", "perms"),
    "m": ("z", "c", "sig"),
}


_FRAMES = (".xyz", ".extxyz", ".gz", ".db")


class SgdmlFileError(PyffError):
    """An npz file that is not the kind of sGDML file that is needed."""


def read_sgdml(path: str | os.PathLike, kinds: str = "dtm") -> dict[str, np.ndarray]:
    """All arrays of a data set ("d"), task ("t") or model ("m"); kinds: those that are allowed.

    Nothing in the file is executed.

    Raises:
        FileNotFoundError: no such file.
        SgdmlFileError: another kind of file, or arrays that are missing or do not fit.
    """
    name = Path(path).name
    if Path(path).suffix in _FRAMES and "d" in kinds:
        raise SgdmlFileError(
            f"{name} must be a data set of sGDML (.npz): `pyff gdml convert {path} NAME.npz` makes one"
        )
    arrays = read_npz(path)
    kind = kind_of(arrays)
    if kind is None or kind not in kinds:
        wanted = " or ".join(f"a {_KINDS[k]}" for k in kinds)
        received = f"a {_KINDS[kind]}" if kind else f"arrays {', '.join(sorted(arrays)) or 'none'}"
        raise SgdmlFileError(f"{name} must be {wanted} of sGDML; received {received}")
    missing = [k for k in _REQUIRED[kind] if k not in arrays]
    if missing:
        raise SgdmlFileError(f"{name}, a {_KINDS[kind]}, must hold {', '.join(_REQUIRED[kind])}; missing {missing}")
    if kind == "d":
        _require_frames(arrays, name)
    return arrays


def write_sgdml(path: str | os.PathLike, arrays: Mapping[str, Any]) -> None:
    """Write a data set, task or model; the file is complete under its name or not there.

    Raises:
        SgdmlFileError: arrays of none of the three kinds.
    """
    if text_of(arrays.get("type")) not in _KINDS:
        raise SgdmlFileError(f"type must be d, t or m; received {arrays.get('type')!r}")
    write_npz(path, arrays)


def kind_of(arrays: Mapping[str, Any]) -> str | None:
    """ "d", "t" or "m", by the file's type, in old files by their arrays; None for anything else."""
    kind = text_of(arrays.get("type"))
    if kind in _KINDS:
        return kind
    return next((k for k, marks in _MARKS.items() if any(m in arrays for m in marks)), None)


def dataset_md5(dataset: Mapping[str, Any]) -> str:
    """sGDML's fingerprint: MD5 over the MD5 digests of z, R, E (where there) and F, each in its own dtype."""
    digest = hashlib.md5(usedforsecurity=False)
    for name in ("z", "R", "E", "F"):
        if name in dataset:
            flat = np.ascontiguousarray(dataset[name]).tobytes()
            digest.update(hashlib.md5(flat, usedforsecurity=False).digest())
    return digest.hexdigest()


def fingerprint(dataset: Mapping[str, Any]) -> str:
    """The fingerprint that a data set states, else `dataset_md5`."""
    return text_of(dataset.get("md5")) or dataset_md5(dataset)


def dataset_arrays(
    z: np.ndarray, R: np.ndarray, F: np.ndarray, E: np.ndarray | None = None, *, name: str, theory: str = "unknown",
    cell: np.ndarray | None = None, perms: np.ndarray | None = None, e_unit: str | None = None,
    r_unit: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The arrays of a data set file.

    Args:
        z: atomic numbers [N]. R, F: positions and forces [M, N, 3]. E: energies [M].
        cell: lattice vectors as rows [3, 3]. perms: permutations of the atoms [P, N], counted from 0.
    """
    arrays: dict[str, Any] = {"type": "d", "code_version": CODE_VERSION, "name": name, "theory": theory}
    arrays |= {"z": np.asarray(z, np.uint8), "R": np.asarray(R, float), "F": np.asarray(F, float)}
    if E is not None:
        arrays["E"] = np.asarray(E, float).reshape(-1)
    if cell is not None:
        arrays["lattice"] = np.asarray(cell, float).T
    if perms is not None:
        arrays["perms"] = np.asarray(perms)
    arrays |= {k: v for k, v in (("r_unit", r_unit), ("e_unit", e_unit)) if v is not None}
    for label in ("E", "F"):
        if label in arrays:
            values = arrays[label]
            arrays |= {f"{label}_min": values.min(), f"{label}_max": values.max()}
            arrays |= {f"{label}_mean": values.mean(), f"{label}_var": values.var()}
    arrays["md5"] = dataset_md5(arrays).encode()
    _require_frames(arrays, name)
    return arrays


def _require_frames(arrays: Mapping[str, Any], name: str) -> None:
    n, shape = np.size(arrays["z"]), np.shape(arrays["R"])
    if len(shape) != 3 or shape[1:] != (n, 3) or np.shape(arrays["F"]) != shape:
        raise SgdmlFileError(
            f"{name}: R and F must have shape [M, {n}, 3]; received {list(shape)} and {list(np.shape(arrays['F']))}"
        )
    if "E" in arrays and np.size(arrays["E"]) != shape[0]:
        raise SgdmlFileError(f"{name}: E must hold {shape[0]} energies; received {np.size(arrays['E'])}")
    if "lattice" in arrays and np.shape(arrays["lattice"]) != (3, 3):
        raise SgdmlFileError(f"{name}: lattice must have shape [3, 3]; received {list(np.shape(arrays['lattice']))}")
