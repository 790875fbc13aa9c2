from __future__ import annotations

import numpy as np
import pytest

from pyff.data import from_arrays
from pyff.data.checks import closest_pair
from pyff.errors import DataError

RNG = np.random.default_rng(0)
POS = np.array([[0, 0, 0], [1.0, 0, 0], [0, 1.0, 0]]) + 0.02 * RNG.normal(size=(6, 3, 3))
ENERGY, FORCES = RNG.normal(size=6), RNG.normal(size=(6, 3, 3))


def spoiled(what: str):
    pos, energy, forces = POS.copy(), ENERGY.copy(), FORCES.copy()
    if what == "energy":
        energy[2] = np.nan
    elif what == "forces":
        forces[2, 1, 0] = np.inf
    elif what == "large":
        forces[2, 1, 0] = 2e3
    elif what == "positions":
        pos[2, 0, 0] = np.nan
    else:
        pos[2, 1] = pos[2, 0] + 0.05
    return pos, energy, forces


CASES = {
    "energy": "energy not finite", "forces": "forces not finite", "large": "a force of 2e.03 eV/A",
    "positions": "positions not finite", "coincident": "atoms 0 and 1 are 0.087 A apart",
}  # fmt: skip


@pytest.mark.parametrize("what", CASES)
def test_bad_frame_is_refused_by_name(what):
    with pytest.raises(DataError, match=rf"1 frame of arrays: arrays\[2\]: {CASES[what]}"):
        from_arrays([8, 1, 1], *spoiled(what), units="eV,Angstrom")


def test_frames_that_are_bad_for_one_reason_are_named_once():
    words = r"4 frames of arrays: arrays\[0\] and 3 more: periodic axes without a cell vector\. .*--bad skip"
    with pytest.raises(DataError, match=words):
        from_arrays([1], np.zeros((4, 1, 3)), np.zeros(4), cell=np.zeros((4, 3, 3)), pbc=True, units="eV,Angstrom")


@pytest.mark.parametrize("what", CASES)
def test_bad_frame_is_skipped_and_counted_on_request(what):
    d = from_arrays([8, 1, 1], *spoiled(what), units="eV,Angstrom", bad="skip")
    assert len(d) == 5 and "arrays[2]" not in d.names
    assert any(note.startswith("skipped 1 frame of arrays") for note in d.notes)


def test_force_limit_is_in_ev_per_angstrom_whatever_the_unit():
    forces = FORCES.copy()
    forces[0, 0, 0] = 2e3
    assert len(from_arrays([8, 1, 1], POS, ENERGY, forces, units="kcal/mol,Angstrom")) == len(POS)
    with pytest.raises(DataError, match="a force of 2e\\+03 eV/A"):
        from_arrays([8, 1, 1], POS, ENERGY, forces, units="eV,Angstrom")


def test_asymmetric_stress_is_refused():
    stress = np.tile(np.array([[1.0, 0.5, 0], [-0.5, 1, 0], [0, 0, 1]]), (6, 1, 1))
    with pytest.raises(DataError, match="stress not symmetric"):
        from_arrays([8, 1, 1], POS, ENERGY, None, stress, cell=5 * np.eye(3), units="eV,Angstrom")


@pytest.mark.parametrize("seed", range(20))
def test_closest_pair_in_skewed_cells_equals_brute_force(seed):
    rng = np.random.default_rng(seed)
    cell = rng.normal(size=(3, 3)) + 2 * np.eye(3)
    pbc = rng.random(3) < 0.6
    pos = 6 * rng.normal(size=(6, 3))
    images = np.array(np.meshgrid(*[range(-14, 15) if p else [0] for p in pbc])).reshape(3, -1).T @ cell
    i, j = np.triu_indices(6, 1)
    best = np.linalg.norm((pos[j] - pos[i])[:, None] + images, axis=2).min()
    for limit in (best * 1.01, best * 0.99):
        own = min(np.linalg.norm(images, axis=1)[np.linalg.norm(images, axis=1) > 0], default=np.inf)
        if limit > 0.5 * own:  # the check is for distances far below the cell
            continue
        found = closest_pair(pos, cell, pbc, limit)
        assert (found is not None) == (limit > best)
        assert found is None or found[2] == pytest.approx(best)


def test_coincident_atoms_across_the_cell_face_are_found():
    pos = np.array([[[0.01, 2, 2], [4.95, 2, 2], [2, 2, 2]]])
    with pytest.raises(DataError, match=r"atoms 0 and 1 are 0.060 A apart"):
        from_arrays([8, 1, 1], pos, [0.0], cell=5 * np.eye(3), units="eV,Angstrom")
