"""Paths through structures, and the energy along them."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.lj import LennardJones

from pyff.analysis.scan import dilated, path_energies, stretched


def test_dilation_scales_all_distances_and_the_cell():
    ethanol, copper = molecule("CH3CH2OH"), bulk("Cu")
    assert np.allclose(dilated(ethanol, 1.3).get_all_distances(), 1.3 * ethanol.get_all_distances())
    assert dilated(copper, 1.1).get_volume() == pytest.approx(1.1**3 * copper.get_volume())
    with pytest.raises(ValueError, match="factor must be positive; received 0"):
        dilated(ethanol, 0)


def test_a_stretched_bond_moves_one_side_rigidly():
    ethanol = molecule("CH3CH2OH")
    c, o = 0, int(np.flatnonzero(ethanol.numbers == 8)[0])
    c = int(np.argsort(ethanol.get_distances(o, np.flatnonzero(ethanol.numbers == 6)))[0])
    moved = stretched(ethanol, c, o, 2.5)
    assert moved.get_distance(c, o) == pytest.approx(2.5)
    hydroxyl = [o, int(np.argsort(ethanol.get_distances(o, range(9)))[1])]
    rest = [k for k in range(9) if k not in hydroxyl]
    before, after = ethanol.get_all_distances(), moved.get_all_distances()
    for part in (hydroxyl, rest):
        assert np.allclose(after[np.ix_(part, part)], before[np.ix_(part, part)])
    assert np.allclose(moved.positions[rest], ethanol.positions[rest])


def test_bonds_that_cannot_be_stretched_are_named():
    benzene = molecule("C6H6")
    with pytest.raises(ValueError, match="C0 and C1 lie in a ring"):
        stretched(benzene, 0, 1, 2.0)
    with pytest.raises(ValueError, match="C0 and C2 are not bonded; bonds: C0-C1, C0-C5, C0-H6, C1-C2, C2-C3, C2-H8"):
        stretched(benzene, 0, 2, 2.0)
    with pytest.raises(ValueError, match=r"two of the atoms 0..11; received 3 and 12"):
        stretched(benzene, 3, 12, 2.0)
    with pytest.raises(ValueError, match="periodic structure"):
        stretched(bulk("NaCl", "rocksalt", 5.6), 0, 1, 2.0)


def test_energies_along_a_path_are_those_of_the_calculator():
    pair = Atoms("Ar2", [[0, 0, 0], [1.0, 0, 0]])
    x = np.linspace(1.0, 2.0, 11)
    got = path_energies([dilated(pair, f) for f in x], LennardJones(rc=10.0, smooth=False))
    shift = 4 * (0.1**12 - 0.1**6)
    assert np.allclose(got, 4 * (x**-12 - x**-6) - shift)
