"""sgdml.utils.io: fingerprints of data sets, geometries."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from ase.io import read

from pyff.interfaces.sgdml import dataset_md5 as _md5

__all__ = ["dataset_md5", "read_xyz", "z_str_to_z", "z_to_z_str"]


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
