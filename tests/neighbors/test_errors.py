"""Bad input is a ValueError that names the argument."""

from __future__ import annotations

import numpy as np
import pytest

from pyff import neighbor_list

POS = np.array([[0.0, 0, 0], [1.0, 0, 0]])
CELL = np.eye(3) * 4


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("pbc", [False, True])
def test_position_not_finite_or_out_of_range(bad, pbc):
    pos = POS.copy()
    pos[1, 2] = bad
    with pytest.raises(ValueError, match=r"positions must .* atom 1"):
        neighbor_list("i", positions=pos, cell=CELL, pbc=pbc, cutoff=2.0)


@pytest.mark.parametrize("cutoff", [np.nan, np.inf, -1.0, -1, None, [[1.0]], [1.0], [1.0, 2.0, 3.0], "x"])
def test_cutoff_not_usable(cutoff):
    with pytest.raises(ValueError, match="cutoff must"):
        neighbor_list("i", positions=POS, cutoff=cutoff)


@pytest.mark.parametrize("radii", [[1.0, -1.0], [np.nan, 1.0], [1.0, np.inf]])
def test_radius_not_usable(radii):
    with pytest.raises(ValueError, match="cutoff must hold finite radii"):
        neighbor_list("i", positions=POS, cutoff=radii)


@pytest.mark.parametrize(
    "cutoff", [{("H", "H"): -1.0}, {("H", "H"): np.nan}, {("Xx", "H"): 1.0}, {"HH": 1.0}, {("H",): 1.0}]
)
def test_element_cutoff_not_usable(cutoff):
    with pytest.raises(ValueError, match="cutoff must"):
        neighbor_list("i", positions=POS, numbers=[1, 1], cutoff=cutoff)


def test_element_cutoff_without_numbers():
    with pytest.raises(ValueError, match="numbers must"):
        neighbor_list("i", positions=POS, cutoff={("H", "H"): 1.0})
    with pytest.raises(ValueError, match="numbers must"):
        neighbor_list("i", positions=POS, numbers=[1], cutoff={("H", "H"): 1.0})


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_cell_not_finite(bad):
    cell = CELL.copy()
    cell[2, 2] = bad
    for pbc in (True, (False, False, True)):
        with pytest.raises(ValueError, match="cell must be finite"):
            neighbor_list("i", positions=POS, cell=cell, pbc=pbc, cutoff=2.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
@pytest.mark.parametrize("pbc", [False, (True, True, False), (True, False, True)])
def test_cell_rows_of_open_axes_are_not_read(bad, pbc):
    pos = np.random.default_rng(0).random((300, 3)) * 4
    arrays = [neighbor_list("ijSD", positions=pos, cell=CELL, pbc=pbc, cutoff=1.0)]
    cell = CELL.copy()
    cell[~np.broadcast_to(pbc, 3)] = bad
    arrays.append(neighbor_list("ijSD", positions=pos, cell=cell, pbc=pbc, cutoff=1.0))
    assert len(arrays[0][0]) > 1000
    for want, got in zip(*arrays):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    ("cell", "pbc"),
    [
        (np.zeros((3, 3)), True),
        (np.diag([4.0, 4, 0]), True),
        (np.diag([4.0, 4, 0]), (False, False, True)),
        (np.array([[4.0, 0, 0], [4.0, 0, 0], [0, 0, 4]]), True),
        (np.array([[4.0, 0, 0], [8.0, 0, 0], [0, 0, 4]]), (True, True, False)),
        (np.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]), True),
    ],
)
def test_cell_singular_along_periodic_axes(cell, pbc):
    with pytest.raises(ValueError, match="cell must have linearly independent"):
        neighbor_list("i", positions=POS, cell=cell, pbc=pbc, cutoff=2.0)


def test_cell_missing():
    with pytest.raises(ValueError, match="cell must be given"):
        neighbor_list("i", positions=POS, pbc=True, cutoff=2.0)


@pytest.mark.parametrize("pos", [np.zeros(3), np.zeros((2, 2)), np.zeros((1, 2, 3)), np.zeros((3, 4))])
def test_positions_of_the_wrong_shape(pos):
    with pytest.raises(ValueError, match=r"positions must have shape \(N, 3\)"):
        neighbor_list("i", positions=pos, cutoff=2.0)


@pytest.mark.parametrize("pos", ["abc", [[0, 0, 0], [1, 1]], [["x", 0, 0]]])
def test_positions_that_are_no_numbers(pos):
    with pytest.raises(ValueError, match="positions must be numbers"):
        neighbor_list("i", positions=pos, cutoff=2.0)


@pytest.mark.parametrize("cell", [np.zeros(3), np.zeros((2, 3)), np.zeros((3, 2)), np.zeros(9), [4.0, 4.0, 4.0]])
def test_cell_of_the_wrong_shape(cell):
    with pytest.raises(ValueError, match=r"cell must have shape \(3, 3\)"):
        neighbor_list("i", positions=POS, cell=cell, pbc=True, cutoff=2.0)


def test_pbc_of_the_wrong_shape():
    with pytest.raises(ValueError, match="pbc must"):
        neighbor_list("i", positions=POS, cell=CELL, pbc=[True, False], cutoff=2.0)
    with pytest.raises(ValueError, match="pbc must"):
        neighbor_list("i", positions=POS, cell=CELL, pbc=np.array([True, False]), cutoff=2.0)


@pytest.mark.parametrize("quantities", ["", "x", "ijx", "iji j"])
def test_quantities_unknown(quantities):
    with pytest.raises(ValueError, match="quantities must"):
        neighbor_list(quantities, positions=POS, cutoff=2.0)


def test_arguments_missing_or_given_twice():
    from ase import Atoms

    with pytest.raises(ValueError, match="atoms or positions must be given"):
        neighbor_list("i", cutoff=2.0)
    with pytest.raises(ValueError, match="must not be given together with atoms"):
        neighbor_list("i", Atoms("H"), 2.0, positions=POS)


@pytest.mark.parametrize("cutoff", [1e3, 1e6, 1e12])
def test_images_that_cannot_fit_in_memory(cutoff):
    # 1e9 images and more, refused before anything is allocated
    with pytest.raises(ValueError, match="cutoff must be small enough for the periodic images"):
        neighbor_list("i", positions=POS, cell=np.eye(3), pbc=True, cutoff=cutoff)


def test_atom_too_many_cells_away():
    pos = POS.copy()
    pos[0, 0] = 1e14
    with pytest.raises(ValueError, match="positions must lie within 1e9 cells"):
        neighbor_list("i", positions=pos, cell=np.eye(3), pbc=True, cutoff=1.0)
