"""Data: labelled structures from files and arrays, splits, reference energies, collation."""

from __future__ import annotations

from pyff.data.arrays import from_arrays
from pyff.data.dataset import Dataset, concatenate
from pyff.data.from_ase import from_ase
from pyff.data.read import read
from pyff.data.reference import ReferenceEnergies, reference_energies
from pyff.data.split import Split, split

__all__ = [
    "Dataset",
    "ReferenceEnergies",
    "Split",
    "concatenate",
    "from_arrays",
    "from_ase",
    "read",
    "reference_energies",
    "split",
]
