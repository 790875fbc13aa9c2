"""Permutations found in data: the published groups of molecules, sgdml's results, closure, checks of given ones."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from _data import shared_data
from ase.build import molecule
from ase.io import read

from pyff.models.gdml import permutations
from pyff.models.gdml.permutations import checked_permutations, find_permutations, permutation_group

POINTS = 150  # enough for most groups here


def loaded(*names: str) -> tuple[np.ndarray, np.ndarray]:
    path = shared_data(names[0])
    with np.load(next(path.glob(names[1]))) as data:
        return data["R"], data["z"]


def as_set(perms) -> set[tuple[int, ...]]:
    return set(map(tuple, np.asarray(perms).tolist()))


def found(pos, Z, seed: int = 0, points: int = POINTS, **settings) -> set[tuple[int, ...]]:
    return as_set(find_permutations(pos, Z, rng=np.random.default_rng(seed), max_points=points, **settings))


@pytest.mark.parametrize("name", ["ethanol", "malonaldehyde", "toluene", "uracil"])
def test_groups_are_those_of_the_published_models(name):
    """Chmiela et al. 2018: 6, 4, 12 and 1 permutations, stored with their models and with these data."""
    pos, Z = loaded("md17_sgdml_teacher", f"{name}_*.npz")
    with np.load(shared_data("md17_sgdml_teacher") / f"{name}_sgdml_teacher.npz") as data:
        want = as_set(data["perms"])
    assert len(want) == {"ethanol": 6, "malonaldehyde": 4, "toluene": 12, "uracil": 1}[name]
    for seed in range(3):
        assert found(pos, Z, seed, points=500) == want


def test_ethanol_of_coupled_cluster_has_six():
    pos, Z = loaded("md17_ethanol_ccsdt", "*.npz")
    assert len(found(pos, Z)) == 6


def test_a_trajectory_without_rotations_shows_two():
    """2000 contiguous frames in which the methyl group never turns: sgdml finds 2 as well. Give the six instead."""
    pos, Z = loaded("md17_ethanol_mlff", "*.npz")
    Z = Z[0] if Z.ndim > 1 else Z
    assert len(found(pos, Z)) == 2


def test_aspirin_has_six():
    frames = read(shared_data("md17_aspirin_rmd17") / "rmd17_aspirin_train.xyz.gz", index=":400")
    pos = np.stack([frame.positions for frame in frames])
    assert len(found(pos, frames[0].numbers, points=400)) == 6


def geometries_of(descriptors: np.ndarray) -> np.ndarray:
    """Positions [M, N, 3] (up to mirror images) of inverse distances [M, D], by classical scaling."""
    m, n = len(descriptors), (1 + round((1 + 8 * descriptors.shape[1]) ** 0.5)) // 2
    square = np.zeros((m, n, n))
    a, b = np.tril_indices(n, -1)
    square[:, a, b] = square[:, b, a] = descriptors**-2.0
    centred = np.eye(n) - 1 / n
    values, vectors = np.linalg.eigh(-0.5 * centred @ square @ centred)
    return vectors[:, :, -3:] * np.sqrt(np.maximum(values[:, None, -3:], 0))


def test_benzene_has_twelve():
    with np.load(shared_data("model_sgdml_benzene") / "sGDML_models" / "benzene.DFT.PBE-TS.npz") as model:
        want, Z, pos = as_set(model["perms"]), model["z"], geometries_of(model["R_desc"].T)
    assert len(want) == 12
    assert found(pos, Z) == want


def naphthalene() -> tuple[np.ndarray, np.ndarray]:
    bond, angles = 1.40, np.deg2rad(30 + 60 * np.arange(6))
    hexagon = np.stack([np.cos(angles), np.sin(angles)], 1)
    half = bond * np.sqrt(3) / 2
    left, right = bond * hexagon - [half, 0], bond * hexagon + [half, 0]
    inner = np.abs(left[:, 0]) < 1e-6  # the shared bond
    outer = np.abs(right[:, 0]) > 1e-6
    carbon = np.concatenate([left, right[outer]])
    hydrogen = np.concatenate([(left + 1.09 * hexagon)[~inner], (right + 1.09 * hexagon)[outer]])
    pos = np.concatenate([carbon, hydrogen])
    return np.pad(pos, ((0, 0), (0, 1))), np.array([6] * 10 + [1] * 8)


@pytest.mark.parametrize(("name", "order"), [("C6H6", 12), ("CH4", 24), ("H2O", 2), ("CH3CHO", 6), ("naphthalene", 4)])
def test_vibrations_show_the_symmetry_of_a_rigid_molecule(name, order):
    """The permutations of its point group; CH3CHO: 2 by its mirror and 6 once the methyl group turns."""
    if name == "naphthalene":
        pos, Z = naphthalene()
    else:
        atoms = molecule(name)
        pos, Z = atoms.positions, atoms.numbers
    rng = np.random.default_rng(1)
    frames = pos + 0.06 * rng.normal(size=(60, *pos.shape))
    if name == "CH3CHO":
        assert len(found(frames, Z)) == 2
        methyl = [k for k in range(len(Z)) if Z[k] == 1 and np.linalg.norm(pos[k] - pos[Z == 8], axis=1).min() > 2.2]
        for k in range(0, 60, 3):
            frames[k, methyl] = frames[k, np.roll(methyl, k // 3)]
    assert len(methyl) == 3 if name == "CH3CHO" else True
    assert len(found(frames, Z)) == order


def test_mirrored_rotated_and_shuffled_molecules_give_the_same_group():
    pos, Z = loaded("md17_sgdml_teacher", "malonaldehyde_*.npz")
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    order = np.random.default_rng(3).permutation(len(Z))
    want = found(pos, Z)
    assert found(-pos @ turn + 5.0, Z) == want
    back = np.argsort(order)
    assert {tuple(order[np.array(p)[back]]) for p in found(pos[:, order], Z[order])} == want


def test_periodic_images_do_not_hide_a_permutation():
    pos, Z = loaded("md17_ethanol_ccsdt", "*.npz")
    cell = np.diag([11.0, 12.0, 13.0])
    wrapped = (pos + np.random.default_rng(4).uniform(0, 11, size=(len(pos), 1, 3))) % np.diag(cell)
    assert found(wrapped, Z, cell=cell) == found(pos, Z)
    assert found(wrapped, Z) != found(pos, Z)  # torn molecules: the cell is needed


def test_equal_geometries_do_not_break_the_tree():
    """An edge of weight zero is an edge: without it the tree would fall apart."""
    weight = np.zeros((5, 5))
    weight[:2, 2:] = weight[2:, :2] = 1.0
    edges = permutations._spanning_tree(weight)
    assert len(edges) == 4 and len(np.unique(edges)) == 5
    assert sum(weight[i, j] for i, j in edges) == 1.0
    pos, Z = loaded("md17_ethanol_ccsdt", "*.npz")
    assert len(found(np.repeat(pos[:60], 3, axis=0), Z, points=180)) == 6


def test_spanning_tree_is_minimal():
    from scipy.sparse.csgraph import minimum_spanning_tree

    weight = np.random.default_rng(5).uniform(0.1, 1, size=(40, 40))
    weight += weight.T
    np.fill_diagonal(weight, 0)
    edges = permutations._spanning_tree(weight)
    assert (edges[:, 0] < edges[:, 1]).all()
    assert np.isclose(weight[edges[:, 0], edges[:, 1]].sum(), minimum_spanning_tree(weight).sum())


def test_one_geometry_and_one_atom_have_the_identity():
    assert found(np.random.default_rng(0).normal(size=(1, 4, 3)), np.ones(4)) == {(0, 1, 2, 3)}
    assert found(np.zeros((3, 1, 3)), np.ones(1)) == {(0,)}


def test_too_large_a_group_falls_back_to_what_agrees(monkeypatch, caplog):
    """Twelve swaps of neighbours generate 12!; without a longer cycle nothing agrees, and the identity is left."""
    swaps = np.arange(12).repeat(11).reshape(12, 11).T
    for k in range(11):
        swaps[k, [k, k + 1]] = [k + 1, k]
    monkeypatch.setattr(permutations, "_tree_permutations", lambda *_: swaps)
    pos = np.random.default_rng(0).normal(size=(4, 12, 3))
    with caplog.at_level(logging.WARNING, logger="pyff"):
        assert len(find_permutations(pos, np.ones(12))) == 1
    assert "Give the permutations" in caplog.text
    # a ring that turns, and swaps inside of it that contradict it: the ring stays, and the swap beside it
    ring = np.concatenate([np.roll(np.arange(10), 1), [10, 11]])
    aside = np.concatenate([np.arange(10), [11, 10]])
    monkeypatch.setattr(permutations, "_tree_permutations", lambda *_: np.stack([ring, aside, *swaps[:9]]))
    caplog.clear()
    assert len(find_permutations(pos, np.ones(12))) == 20
    assert not caplog.records


def test_group_of_generators_is_closed_and_sorted():
    group = permutation_group(np.array([[1, 2, 3, 0, 4], [1, 0, 2, 3, 4]]))
    assert len(group) == 24 and group[0].tolist() == [0, 1, 2, 3, 4]
    assert as_set(group[:, torch.as_tensor(group[7])]) == as_set(group)
    with pytest.raises(ValueError, match="fewer than 24 elements"):
        permutation_group(np.array([[1, 2, 3, 0], [1, 0, 2, 3]]), limit=24)


@pytest.mark.parametrize(
    ("perms", "text"),
    [
        ([[0, 1, 1]], r"permutations of 0 \.\. N - 1"),
        ([[0, 1]], "must permute the 3 atoms"),
        ([[0, 1, 2], [1, 0, 2]], "same element only"),
        ([[0, 2, 1]], "must be a group"),
        ([], r"permutations of 0 \.\. N - 1"),
    ],
)
def test_given_permutations_are_checked(perms, text):
    with pytest.raises(ValueError, match=text):
        checked_permutations(np.array(perms), np.array([8, 1, 1]))


def test_given_permutations_lose_doubles():
    got = checked_permutations([[0, 2, 1], [0, 1, 2], [0, 2, 1]], [8, 1, 1])
    assert got.tolist() == [[0, 1, 2], [0, 2, 1]]


@pytest.mark.parametrize(
    ("pos", "text"),
    [
        (np.zeros((2, 3, 2)), "pos must have shape"),
        (np.full((2, 3, 3), np.nan), "finite"),
        (np.zeros((0, 3, 3)), "M > 0"),
    ],
)
def test_bad_positions_are_refused(pos, text):
    with pytest.raises(ValueError, match=text):
        find_permutations(pos, np.array([8, 1, 1]))
