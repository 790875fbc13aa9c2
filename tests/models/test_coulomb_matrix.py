"""Coulomb matrices and their sorted forms: closed forms, invariances, the reference numbers of qmllib."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _data import shared_data

from pyff.data import read
from pyff.models.coulomb_matrix import coulomb_matrices, eigenvalues, norm_sorted, randomly_sorted
from pyff.units import LENGTH

# first eigenvalues of molecules 101 to 103 of QM7, distances in A, from qmllib's test assets (MIT licence)
QMLLIB = [
    [125.0726879, 45.40938889, 16.98020351, 14.31822726, 3.906495595],
    [115.1615868, 48.81885871, 23.95834183, 12.87122167, 9.394697151],
    [118.9056060, 51.03243144, 23.01273537, 8.614411823, 3.808768061],
]


def molecules(n=6, size=9, seed=0):
    """Random molecules of 3 to size atoms, padded, no two rows of a matrix alike."""
    rng = np.random.default_rng(seed)
    Z, pos = torch.zeros(n, size, dtype=torch.int64), torch.zeros(n, size, 3, dtype=torch.float64)
    for k in range(n):
        atoms = rng.integers(3, size + 1)
        Z[k, :atoms] = torch.from_numpy(rng.choice([1, 6, 7, 8], atoms))
        pos[k, :atoms] = torch.from_numpy(rng.uniform(-3, 3, (atoms, 3)))
    return Z, pos


def test_elements_are_those_of_the_definition():
    Z = torch.tensor([[8, 1, 0]])
    pos = torch.tensor([[[0.0, 0, 0], [0, 0, 0.96], [0, 0, 0]]], dtype=torch.float64)
    pair = 8 / (0.96 / LENGTH["Bohr"])
    want = [[0.5 * 8**2.4, pair, 0], [pair, 0.5, 0], [0, 0, 0]]
    torch.testing.assert_close(coulomb_matrices(Z, pos)[0], torch.tensor(want, dtype=torch.float64), rtol=1e-14, atol=0)


def test_matrices_of_qm7_are_those_of_qmllib():
    """Its references have distances in A."""
    data = read(
        shared_data("qm7_xyz") / "qm7_first5000.extxyz.gz", units="kcal/mol,Angstrom", energy_key="dft_kcal_mol"
    ).subset(range(99, 109))
    Z, pos = torch.zeros(10, 17, dtype=torch.int64), torch.zeros(10, 17, 3, dtype=torch.float64)
    for k, system in enumerate(data):
        Z[k, : len(system)], pos[k, : len(system)] = torch.from_numpy(system.Z), torch.from_numpy(system.pos)
    C = coulomb_matrices(Z, pos * LENGTH["Bohr"])
    rows = np.loadtxt(shared_data("qmllib_refs") / "coulomb_matrix_representation_unsorted.txt")
    want = _full(rows)
    assert np.abs(C.numpy() - want).max() < 1e-8  # the precision of the file
    assert np.allclose(eigenvalues(C)[:3, :5], QMLLIB, atol=1e-6)
    for k, matrix in enumerate(want):
        order = np.argsort(-np.linalg.norm(matrix, axis=1))
        got = _full(norm_sorted(C[k : k + 1]).numpy())[0]
        # equivalent atoms may change places
        assert np.allclose(np.linalg.norm(got, axis=1), np.linalg.norm(matrix, axis=1)[order], atol=1e-7)
        assert np.allclose(np.linalg.eigvalsh(got), np.linalg.eigvalsh(matrix), atol=1e-6)


def _full(rows):
    n = 17
    out = np.zeros((len(rows), n, n))
    i, j = np.tril_indices(n)
    out[:, i, j] = out[:, j, i] = rows
    return out


def shuffled(Z, pos, seed=0):
    """The same molecules, atoms in another order (padding among them), rotated and moved."""
    rng = np.random.default_rng(seed)
    order = torch.from_numpy(np.stack([rng.permutation(Z.shape[1]) for _ in Z]))
    turn = torch.linalg.qr(torch.from_numpy(rng.normal(size=(3, 3)))).Q
    moved = pos.take_along_dim(order[:, :, None], 1) @ turn + torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    return Z.take_along_dim(order, 1), moved


@pytest.mark.parametrize("describe", [eigenvalues, norm_sorted, lambda C: randomly_sorted(C, noise(C))])
def test_descriptors_do_not_depend_on_order_and_orientation(describe):
    Z, pos = molecules()
    first, second = describe(coulomb_matrices(Z, pos)), describe(coulomb_matrices(*shuffled(Z, pos)))
    torch.testing.assert_close(second, first, rtol=1e-10, atol=1e-10)


def noise(C, realizations=5):
    return torch.randn(1, realizations, C.shape[1], generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def test_padding_changes_nothing_but_zeros():
    Z, pos = molecules()
    wide = torch.nn.functional.pad(Z, (0, 4)), torch.nn.functional.pad(pos, (0, 0, 0, 4))
    narrow, padded = (eigenvalues(coulomb_matrices(*x)) for x in ((Z, pos), wide))
    torch.testing.assert_close(padded[:, :9], narrow, rtol=1e-10, atol=1e-10)
    assert float(padded[:, 9:].abs().max()) < 1e-10
    n = norm_sorted(coulomb_matrices(Z, pos)).shape[1]
    torch.testing.assert_close(norm_sorted(coulomb_matrices(*wide))[:, :n], norm_sorted(coulomb_matrices(Z, pos)))


def test_random_orders_are_permutations_of_the_sorted_matrix_that_noise_makes():
    C = coulomb_matrices(*molecules())
    got = randomly_sorted(C, noise(C))
    reference = norm_sorted(C)
    assert torch.equal(got.sort(2).values, reference[:, None].expand_as(got).sort(2).values)
    assert not torch.equal(got[:, 0], got[:, 1])
    assert torch.equal(randomly_sorted(C, 0 * noise(C))[:, 0], reference)
    size = C.shape[1]
    diagonal = got[..., [k * (k + 3) // 2 for k in range(size)]]
    atoms = (C.diagonal(dim1=1, dim2=2) > 0).sum(1)
    assert all(bool((diagonal[k, :, : atoms[k]] > 0).all()) for k in range(len(C)))  # missing atoms stay last


def test_mirror_images_are_alike_and_a_moved_atom_is_seen():
    Z, pos = molecules(2)
    mirrored, moved = pos * torch.tensor([-1.0, 1, 1], dtype=torch.float64), pos.clone()
    moved[:, 0, 0] += 0.1
    for describe in (eigenvalues, norm_sorted):
        here, image, other = (describe(coulomb_matrices(Z, x)) for x in (pos, mirrored, moved))
        torch.testing.assert_close(here, image, rtol=1e-10, atol=1e-10)
        assert float((other - here).abs().amax(1).min()) > 1e-3
