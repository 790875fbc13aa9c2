"""PanelCholesky against dense LAPACK, its memory, and what it says of matrices that have no factor."""

from __future__ import annotations

import pytest
import torch

from pyff.solvers.panel_cholesky import NotPositiveDefiniteError, PanelCholesky


def positive_matrix(n: int, seed: int = 0) -> torch.Tensor:
    a = torch.randn(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return a @ a.T + torch.eye(n, dtype=torch.float64)


def filled(a: torch.Tensor, sizes: list[int]) -> PanelCholesky:
    """Tiles of a, with NaN where nothing may be read."""
    cholesky = PanelCholesky(sizes)
    edges = cholesky.starts
    for i in range(cholesky.n_panels):
        for j in range(i, cholesky.n_panels):
            cholesky.tile(i, j).copy_(a[edges[i] : edges[i + 1], edges[j] : edges[j + 1]])
        cholesky.tile(i, i).masked_fill_(torch.ones(sizes[i], sizes[i], dtype=torch.bool).tril(-1), torch.nan)
    return cholesky


@pytest.mark.parametrize("sizes", [[9], [3, 4, 2], [1] * 9, [8, 1]], ids=str)
@pytest.mark.parametrize("columns", [None, 1, 4])
def test_solution_is_that_of_the_dense_matrix(sizes, columns):
    a, ridge = positive_matrix(9), 0.3
    b = torch.randn(*([9] if columns is None else [9, columns]), dtype=torch.float64)
    before = b.clone()
    cholesky = filled(a, sizes)
    assert list(cholesky.factor(ridge)) == list(range(1, len(sizes) + 1))
    x = cholesky.solve(b)
    assert torch.equal(b, before)
    assert x.shape == b.shape
    torch.testing.assert_close((a + ridge * torch.eye(9, dtype=torch.float64)) @ x, b, rtol=1e-12, atol=1e-12)


def test_half_solution_has_the_length_of_the_quadratic_form():
    a, b = positive_matrix(7), torch.arange(7.0, dtype=torch.float64)
    cholesky = filled(a, [4, 3])
    for _ in cholesky.factor():
        pass
    torch.testing.assert_close(cholesky.half_solve(b).square().sum(), b @ torch.linalg.solve(a, b))


def test_memory_is_that_of_a_triangle():
    cholesky = PanelCholesky([10] * 20)
    held = sum(cholesky.tile(i, j).numel() for i in range(20) for j in range(i, 20))
    assert held == 10 * 10 * 20 * 21 // 2  # half of 200 x 200, and half of the diagonal tiles


def test_factor_overwrites_the_tiles():
    cholesky = filled(positive_matrix(5), [5])
    address = cholesky.tile(0, 0).data_ptr()
    for _ in cholesky.factor():
        pass
    assert cholesky.tile(0, 0).data_ptr() == address
    expected = torch.linalg.cholesky(positive_matrix(5)).T
    torch.testing.assert_close(cholesky.tile(0, 0), expected, rtol=1e-13, atol=1e-13)


def test_indefinite_matrix_is_named():
    a = positive_matrix(6)
    a[4, 4] = -1.0
    with pytest.raises(NotPositiveDefiniteError, match="leading minor of order 5 is not"):
        for _ in filled(a, [3, 3]).factor():
            pass


@pytest.mark.parametrize("sizes", [[], [3, 0]])
def test_wrong_sizes(sizes):
    with pytest.raises(ValueError, match="sizes must be positive"):
        PanelCholesky(sizes)


def test_wrong_right_hand_side():
    with pytest.raises(ValueError, match="b must have 3 rows"):
        PanelCholesky([3]).solve(torch.zeros(4, dtype=torch.float64))
