from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from pyff.md import bonded_pairs, fragments


def test_bonds_of_ethanol_are_those_of_a_chemist():
    atoms = molecule("CH3CH2OH")
    bonds = bonded_pairs(atoms)
    kinds = sorted("".join(sorted(atoms.symbols[[i, j]])) for i, j in bonds.pairs())
    assert kinds == ["CC", *["CH"] * 5, "CO", "HO"] and (bonds.idx_i < bonds.idx_j).all()
    assert bonds.deviations(atoms).max() < 1e-12 and fragments(atoms) == 1


def test_bonds_across_a_periodic_boundary_keep_their_image():
    atoms = Atoms("OH", [[0.1, 2, 2], [3.95, 2, 2]], cell=[4.8, 6, 6], pbc=True)  # 0.95 A through the boundary
    bonds = bonded_pairs(atoms)
    assert bonds.length == pytest.approx([0.95]) and bonds.pairs() == {(0, 1)}
    atoms.positions[1, 0] -= 0.3
    assert bonds.deviations(atoms) == pytest.approx([0.3])
    assert bonds.label(atoms, 0) == "O0-H1"


def test_deviation_counts_stretching_and_compression():
    atoms = molecule("H2O")
    bonds = bonded_pairs(atoms)
    direction = (atoms.positions[1] - atoms.positions[0]) / bonds.length[0]
    for change in (0.2, -0.2):
        moved = atoms.copy()
        moved.positions[1] += change * direction
        assert np.sort(bonds.deviations(moved)) == pytest.approx([0, 0.2], abs=1e-9)


def test_fragments_counts_parts():
    assert fragments(molecule("H2O") + Atoms("He", [[9, 9, 9]])) == 2
    assert fragments(bulk("Cu", cubic=True)) == 1
    assert fragments(Atoms("Ar4", np.eye(4, 3) * 9)) == 4
