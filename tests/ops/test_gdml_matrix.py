"""Kernel matrices of GDML: the twin, finite differences, sgdml's numbers, slices, memory of the caller, hard cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _data import shared_data
from _gdml import random_positions, rotations

from pyff import ops
from pyff.ops import reference

MATERN = ops.GdmlKernel(2.0)
RBF = ops.GdmlKernel(0.7, "rbf")


def problem(m: int = 5, n: int = 5, p: int = 3, seed: int = 1) -> tuple:
    """Descriptors, gradients and permutations of m geometries of n atoms."""
    return *ops.inverse_distances(random_positions(m, n, seed)), ops.descriptor_permutations(rotations(n, p))


def assert_equal(got: torch.Tensor, want: torch.Tensor, tolerance: float = 1e-12) -> None:
    assert got.shape == want.shape
    torch.testing.assert_close(got, want, rtol=0, atol=tolerance * float(want.abs().max()) if want.numel() else 0)


def upper(k: torch.Tensor) -> torch.Tensor:
    return torch.triu(k)


@pytest.mark.parametrize("kernel", [MATERN, RBF])
@pytest.mark.parametrize("energies", [False, True])
@pytest.mark.parametrize(("n", "p"), [(2, 2), (3, 1), (5, 3), (9, 6), (17, 2)])
def test_matrix_equals_the_twin(n, p, energies, kernel):
    x1, g1, perms = problem(3, n, p, 1)
    x2, g2, _ = problem(4, n, p, 2)
    want = reference.gdml_matrix(x1, g1, x2, g2, perms, kernel, energies)
    assert_equal(ops.gdml_matrix(x1, g1, x2, g2, perms, kernel, energies), want)


def test_matrix_of_many_permutations_is_summed_in_parts():
    x, g, perms = problem(2, 12, 11)  # more than stay in cache at the same time
    perms = perms.repeat(12, 1)
    want = reference.gdml_matrix(x, g, x, g, perms, MATERN, True)
    assert_equal(ops.gdml_matrix(x, g, x, g, perms, MATERN, True), want)
    assert_equal(upper(ops.gdml_gram(x, g, perms, MATERN, True)), upper(want))
    columns = torch.arange(len(want))
    assert_equal(ops.gdml_columns(x, g, x, g, perms, MATERN, columns, True), want)


@pytest.mark.parametrize("energies", [False, True])
def test_matrix_holds_derivatives_of_the_energies_covariance(energies):
    """FF = d2 EE / dr_i dr_j and FE = -d EE / dr_i by central differences."""
    perms, step = ops.descriptor_permutations(rotations(4, 3)), 1e-3
    one, two = (random_positions(1, 4, seed) for seed in (3, 4))

    def moved(pos, k, sign):
        shift = torch.zeros(12, dtype=torch.float64)
        shift[k] = sign * step
        return ops.inverse_distances(pos + shift.reshape(1, 4, 3))

    block = ops.gdml_matrix(*ops.inverse_distances(one), *ops.inverse_distances(two), perms, MATERN, True)
    every = [torch.cat(part) for part in zip(*(moved(one, k, s) for s in (1, -1) for k in range(12)))]
    others = [torch.cat(part) for part in zip(*(moved(two, k, s) for s in (1, -1) for k in range(12)))]
    if energies:
        value = ops.gdml_matrix(*every, *ops.inverse_distances(two), perms, MATERN, True)[-24:, -1]
        want = -(value[:12] - value[12:]) / (2 * step)
        torch.testing.assert_close(block[:12, 12], want, rtol=0, atol=3e-6 * float(want.abs().max()))
        return
    value = ops.gdml_matrix(*every, *others, perms, MATERN, True)[-24:, -24:]
    want = (value[:12, :12] - value[12:, :12] - value[:12, 12:] + value[12:, 12:]) / (4 * step**2)
    torch.testing.assert_close(block[:12, :12], want, rtol=0, atol=3e-6 * float(want.abs().max()))


@pytest.mark.parametrize("energies", [False, True])
@pytest.mark.parametrize("kernel", [MATERN, RBF])
def test_matrix_is_symmetric_and_positive_semidefinite(energies, kernel):
    x, g, perms = problem(6, 6, 4)
    k = ops.gdml_matrix(x, g, x, g, perms, kernel, energies)
    # sums over the group run in another order below the diagonal
    torch.testing.assert_close(k, k.T, rtol=0, atol=1e-15 * float(k.abs().max()))
    values = torch.linalg.eigvalsh(k)
    assert values[0] > -1e-14 * values[-1]
    # forces neither translate nor turn a molecule: six zeros for each geometry
    assert int((values > 1e-12 * values[-1]).sum()) == 6 * (3 * 6 - 6 + energies)


@pytest.mark.parametrize("energies", [False, True])
@pytest.mark.parametrize("m", [1, 2, 7])
def test_gram_is_the_upper_triangle(m, energies):
    x, g, perms = problem(m, 5, 3)
    want = ops.gdml_matrix(x, g, x, g, perms, MATERN, energies)
    assert_equal(upper(ops.gdml_gram(x, g, perms, MATERN, energies)), upper(want), 1e-15)


def test_gram_factorizes_in_place():
    x, g, perms = problem(4, 5, 3)
    k = ops.gdml_gram(x, g, perms, MATERN)
    full = upper(k) + torch.triu(k, 1).T
    k.diagonal().add_(1e-6)
    torch.linalg.cholesky_ex(k.T, out=(k.T, torch.empty((), dtype=torch.int32)))
    factor = upper(k)
    assert_equal(factor.T @ factor - 1e-6 * torch.eye(len(k), dtype=k.dtype), full)


def test_matrix_writes_into_a_part_of_the_callers_array():
    x, g, perms = problem(4, 5, 3)
    want = ops.gdml_matrix(x, g, x, g, perms, MATERN)
    array = torch.full((70, 80), 7.0, dtype=torch.float64)
    part = array[2:62, 5:35]
    got = ops.gdml_matrix(x, g, x[1:3], g[1:3], perms, MATERN, out=part)
    assert got is part
    assert_equal(part, want[:, 15:45], 0)
    part.fill_(7.0)
    assert bool((array == 7.0).all())


def test_gram_leaves_the_blocks_below_the_diagonal_alone():
    x, g, perms = problem(3, 4, 3)
    out = torch.full((39, 39), torch.nan, dtype=torch.float64)
    ops.gdml_gram(x, g, perms, MATERN, True, out=out)
    assert not bool(upper(out).isnan().any())
    assert bool(out[12:24, :12].isnan().all()) and bool(out[36:, :36].isnan().all())


@pytest.mark.parametrize("energies", [False, True])
@pytest.mark.parametrize("kernel", [MATERN, RBF])
@pytest.mark.parametrize(("n", "p"), [(2, 2), (5, 3), (9, 6), (17, 2)])
def test_columns_are_slices_of_the_matrix(n, p, energies, kernel):
    x1, g1, perms = problem(3, n, p, 1)
    x2, g2, _ = problem(4, n, p, 2)
    want = ops.gdml_matrix(x1, g1, x2, g2, perms, kernel, energies)
    columns = torch.randint(want.shape[1], (want.shape[1] // 2,), generator=torch.Generator().manual_seed(3))
    columns = torch.cat([columns, columns[:2], torch.tensor([want.shape[1] - 1])])  # some of them twice
    assert_equal(ops.gdml_columns(x1, g1, x2, g2, perms, kernel, columns, energies), want[:, columns], 1e-15)


@pytest.mark.parametrize("energies", [False, True])
def test_diagonal_is_that_of_the_matrix(energies):
    x, g, perms = problem(4, 5, 3)
    want = ops.gdml_matrix(x, g, x, g, perms, MATERN, energies).diagonal()
    assert_equal(ops.gdml_diagonal(x, g, perms, MATERN, energies), want, 1e-15)


@pytest.mark.parametrize("energies", [False, True])
def test_product_with_the_matrix_is_the_product_without_it(energies):
    x, g, perms = problem(6, 6, 4)
    k = ops.gdml_matrix(x, g, x, g, perms, MATERN, energies)
    v = torch.randn(len(k), generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    assert_equal(ops.GdmlCovariance(x, g, perms, MATERN, energies=energies)(v), k @ v)


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_results_do_not_depend_on_the_number_of_threads(threads):
    x, g, perms = problem(9, 9, 6)
    columns = torch.arange(3, 9 * 27, 5)
    before = torch.get_num_threads()
    results = []
    try:
        for n in (1, threads):
            torch.set_num_threads(n)
            full, gram = ops.gdml_matrix(x, g, x, g, perms, MATERN, True), ops.gdml_gram(x, g, perms, MATERN, True)
            results.append((full, upper(gram), ops.gdml_columns(x, g, x, g, perms, MATERN, columns, True)))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_atoms_and_no_geometries(n):
    x, g, perms = problem(2, n, 1)
    assert_equal(
        ops.gdml_matrix(x, g, x, g, perms, MATERN, True), reference.gdml_matrix(x, g, x, g, perms, MATERN, True)
    )
    assert ops.gdml_matrix(x[:0], g[:0], x, g, perms, MATERN).shape == (0, 6 * n)
    assert ops.gdml_matrix(x, g, x[:0], g[:0], perms, MATERN).shape == (6 * n, 0)
    none = torch.zeros(0, dtype=torch.int64)
    assert ops.gdml_columns(x, g, x, g, perms, MATERN, none, True).shape == (6 * n + 2, 0)
    assert ops.gdml_diagonal(x[:0], g[:0], perms, MATERN).shape == (0,)


def test_arguments_that_are_not_contiguous():
    x, g, perms = problem(4, 5, 3)
    strided = (torch.stack([x, x], 1)[:, 1], torch.stack([g, g], -1)[..., 0])
    assert_equal(ops.gdml_matrix(*strided, x, g, perms, MATERN), ops.gdml_matrix(x, g, x, g, perms, MATERN), 0)


# [sgdml 1.0.3, sigma 42] on five frames of mbGDML's training set: -K[0, 0], -K[0, 22], -K[13, 27], -K[44, 7], |K|
SGDML = (
    0.001372349476538227,
    0.0008022670172475191,
    -0.0007439472289842174,
    -8.483966120286006e-06,
    0.0216893516612027,
)


def test_matrix_equals_that_of_sgdml_on_water():
    folder = shared_data("data_mbgdml_water") / "1h2o"
    idx = np.load(folder / "train_idxs.npy")
    with np.load(next(folder.glob("*dset.npz"))) as data:
        pos = torch.as_tensor(data["R"][idx])
    x, g = ops.inverse_distances(pos)
    np.testing.assert_allclose(x.numpy().T, np.load(folder / "R_desc.npy"), rtol=1e-13)
    perms = ops.descriptor_permutations(torch.tensor([[0, 1, 2], [0, 2, 1]]))
    linear = np.load(folder / "tril_perms_lin.npy")
    np.testing.assert_array_equal(perms.numpy(), linear.reshape(3, 2).T - 3 * np.arange(2)[:, None])
    k = ops.gdml_matrix(x[:5], g[:5], x[:5], g[:5], perms, ops.GdmlKernel(42.0))
    got = [k[0, 0], k[0, 22], k[13, 27], k[44, 7], k.norm()]
    np.testing.assert_allclose(got, SGDML, rtol=1e-13)


def test_water_forces_from_fifty_points():
    """Closed-form training on mbGDML's 50 points: 0.107 kcal/mol/A on frames of forces up to 200."""
    folder = shared_data("data_mbgdml_water") / "1h2o"
    idx = np.load(folder / "train_idxs.npy")
    with np.load(next(folder.glob("*dset.npz"))) as data:
        pos, forces = torch.as_tensor(data["R"]), torch.as_tensor(data["F"])
    perms, kernel = ops.descriptor_permutations(torch.tensor([[0, 1, 2], [0, 2, 1]])), ops.GdmlKernel(42.0)
    x, g = ops.inverse_distances(pos[idx])
    k = ops.gdml_gram(x, g, perms, kernel)
    k.diagonal().add_(1e-12)
    factor, info = torch.linalg.cholesky_ex(k.mT)
    assert not info
    coef = torch.cholesky_solve(forces[idx].reshape(-1, 1), factor)
    others = np.setdiff1d(np.arange(len(pos)), idx)[::40]
    predicted = ops.gdml_matrix(*ops.inverse_distances(pos[others]), x, g, perms, kernel) @ coef
    error = (predicted.reshape(-1, 3, 3) - forces[others]).abs().mean()
    assert error < 0.12


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"x1": torch.zeros(2, 4, dtype=torch.float64)}, ValueError, "one per pair of atoms; received 4"),
        ({"x1": torch.zeros(2, 10)}, TypeError, "x1 must be float64"),
        ({"g2": torch.zeros(5, 10, 2, dtype=torch.float64)}, ValueError, "g2 must have shape"),
        ({"perms": torch.full((1, 10), 10)}, ValueError, r"perms must lie in 0 \.\. 9"),
        ({"perms": torch.arange(10).roll(1)[None]}, ValueError, "use descriptor_permutations"),
        ({"perms": torch.zeros(1, 10, dtype=torch.int64)}, ValueError, "use descriptor_permutations"),
        ({"perms": torch.zeros(0, 10, dtype=torch.int64)}, ValueError, "at least the identity"),
        ({"out": torch.zeros(75, 74, dtype=torch.float64)}, ValueError, "out must have shape"),
        ({"out": torch.zeros(75, 75, dtype=torch.float64).T}, ValueError, "out must be contiguous along its rows"),
    ],
)
def test_errors_name_the_argument(change, error, text):
    x, g, perms = problem(5, 5, 3)
    arguments = {"x1": x, "g1": g, "x2": x, "g2": g, "perms": perms, "kernel": MATERN} | change
    with pytest.raises(error, match=text):
        ops.gdml_matrix(**arguments)


def test_columns_out_of_range_are_refused():
    x, g, perms = problem(2, 4, 3)
    with pytest.raises(ValueError, match=r"columns must lie in 0 \.\. 23; received 3 \.\. 24"):
        ops.gdml_columns(x, g, x, g, perms, MATERN, torch.tensor([3, 24]))
