"""sgdml.utils.io: fingerprints of data sets, geometries, names of files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

import numpy as np
from ase.cell import Cell
from ase.data import atomic_numbers, chemical_symbols
from ase.io import read

from pyff._atomic import atomic_write
from pyff.interfaces.sgdml import dataset_md5 as _md5
from pyff.models.gdml.sgdml_file import text_of

__all__ = [
    "dataset_md5",
    "generate_xyz_str",
    "lattice_vec_to_par",
    "model_file_name",
    "read_xyz",
    "task_file_name",
    "write_geometry",
    "z_str_to_z",
    "z_to_z_str",
]


def dataset_md5(dataset: Mapping) -> bytes:
    """MD5 fingerprint of a data set, 32 hexadecimal digits as bytes."""
    return _md5(dataset).encode()


def read_xyz(file_path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """Positions [M, 3N] and atomic numbers [N] of the frames of an xyz file, which have the same atoms."""
    frames = read(file_path, ":", format="xyz")
    return np.array([atoms.positions.ravel() for atoms in frames]), frames[0].numbers


def z_str_to_z(z_str: Iterable[str]) -> np.ndarray:
    """Atomic numbers of symbols."""
    return np.array([atomic_numbers[symbol] for symbol in z_str])


def z_to_z_str(z: Iterable[int]) -> list[str]:
    """Symbols of atomic numbers."""
    return [chemical_symbols[int(number)] for number in z]


def write_geometry(filename: str | os.PathLike, r: np.ndarray, z: Iterable[int], comment_str: str = "") -> None:
    """An xyz file of positions [N, 3]."""
    rows = (f"{symbol}\t" + "\t".join(map(str, xyz)) for symbol, xyz in zip(z_to_z_str(z), np.squeeze(r)))
    atomic_write(filename, "\n".join([str(len(np.squeeze(r))), comment_str, *rows]))


def generate_xyz_str(
    r: np.ndarray, z: Iterable[int], e: float | None = None, f: np.ndarray | None = None,
    lattice: np.ndarray | None = None,
) -> str:  # fmt: skip
    """A frame of an extended xyz file: positions [N, 3], forces [N, 3]; lattice: lattice vectors as columns."""
    comment = "" if lattice is None else f'Lattice="{" ".join(f"{x:.12g}" for x in np.ravel(np.transpose(lattice)))}" '
    comment += "" if e is None else f"Energy={float(e):.12g} "
    comment += "Properties=species:S:1:pos:R:3" + ("" if f is None else ":forces:R:3")
    numbers = r if f is None else np.concatenate([r, f], axis=1)
    rows = (" ".join([symbol, *(f"{x: .8g}" for x in row)]) for symbol, row in zip(z_to_z_str(z), numbers))
    return "\n".join([str(len(r)), comment, *rows])


def lattice_vec_to_par(lat: np.ndarray) -> tuple[list[float], list[float]]:
    """Lengths a, b, c and angles alpha, beta, gamma (degrees) of lattice vectors, which are columns."""
    parameters = Cell(np.transpose(lat)).cellpar().tolist()
    return parameters[:3], parameters[3:]


def task_file_name(task: Mapping) -> str:
    """task-train200-sym6-sig0010.npz"""
    return f"task-{_sizes(task)}-sig{np.squeeze(task['sig']):04g}.npz"


def model_file_name(task_or_model: Mapping, is_extended: bool = False) -> str:
    """model-train200-sym6-sig0010.npz, or with is_extended name-theory-train200-sym6.npz"""
    if not is_extended:
        return f"model-{_sizes(task_or_model)}-sig{np.squeeze(task_or_model['sig']):04g}.npz"
    name, theory = text_of(task_or_model["dataset_name"]), text_of(task_or_model["dataset_theory"])
    return f"{name}-{re.sub('[.][.]', '.', re.sub(r'[^-.0-9A-Za-z_]', '.', theory))}-{_sizes(task_or_model)}.npz"


def _sizes(arrays: Mapping) -> str:
    return f"train{len(arrays['idxs_train'])}-sym{len(arrays['perms'])}"
