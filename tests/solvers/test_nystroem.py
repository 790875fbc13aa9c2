"""Low-rank factors and the preconditioners made of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _spectra import decaying, vector, with_spectrum

from pyff.solvers import (
    KINDS,
    ConjugateGradients,
    DenseOperator,
    NotPositiveDefiniteError,
    jittered_cholesky,
    nystroem,
    partial_cholesky,
)
from pyff.solvers.columns import greedy, in_blocks, randomly_pivoted, sampled
from pyff.solvers.nystroem import NystroemPreconditioner, orthonormalize_

N, BLOCK, RIDGE = 96, 6, 1e-8


@pytest.fixture(scope="module")
def operator() -> DenseOperator:
    return DenseOperator(with_spectrum(decaying(N)), BLOCK)


def _generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def _dense(preconditioner: NystroemPreconditioner) -> torch.Tensor:
    n = preconditioner.q.shape[0]
    return torch.stack([preconditioner(e) for e in torch.eye(n, dtype=torch.float64)], 1)


@pytest.mark.parametrize("kind", KINDS)
def test_preconditioner_is_symmetric_positive_definite(operator, kind):
    inverse = _dense(nystroem(operator, 24, RIDGE, kind, _generator(), shift=RIDGE))
    assert (inverse - inverse.T).abs().max() < 1e-15
    values = torch.linalg.eigvalsh(inverse)
    # least: ridge / (largest eigenvalue + ridge), seen through rounding
    assert values[0] > 0.9 * RIDGE and values[-1] < 1 + 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_preconditioner_is_the_inverse_with_all_columns(operator, kind):
    preconditioner = nystroem(operator, N, RIDGE, kind, _generator())
    shifted = operator.matrix + RIDGE * torch.eye(N, dtype=torch.float64)
    product = _dense(preconditioner) @ shifted / RIDGE
    # jitter of rounding size in the pivots and the ridge's condition number 1e8
    assert (product - torch.eye(N, dtype=torch.float64)).abs().max() < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_factor_is_never_larger_than_the_matrix(operator, kind):
    preconditioner = nystroem(operator, 24, RIDGE, kind, _generator(), shift=RIDGE)
    low_rank = RIDGE * torch.linalg.inv(_dense(preconditioner)) - RIDGE * torch.eye(N, dtype=torch.float64)
    assert torch.linalg.eigvalsh(operator.matrix - low_rank)[0] > -1e-7
    assert float(low_rank.diagonal().sum()) > 0.9 * float(operator.matrix.diagonal().sum())


@pytest.mark.parametrize("kind", KINDS)
def test_shift_is_a_fifth_of_the_mean_eigenvalue_left_out(operator, kind):
    preconditioner = nystroem(operator, 24, RIDGE, kind, _generator())
    fixed = nystroem(operator, 24, RIDGE, kind, _generator(), shift=RIDGE)
    low_rank = RIDGE * torch.linalg.inv(_dense(fixed)) - RIDGE * torch.eye(N, dtype=torch.float64)
    left = float((operator.matrix - low_rank).diagonal().sum()) / (N - 24)
    assert preconditioner.shift == pytest.approx(left / 5, rel=1e-3)
    # a matrix that is represented whole leaves the ridge
    assert nystroem(operator, N, RIDGE, kind, _generator()).shift == RIDGE


def test_shift_between_the_eigenvalues_left_out_takes_fewer_steps_than_the_ridge(operator):
    steps = {}
    for shift in (None, RIDGE):
        precondition = nystroem(operator, 24, RIDGE, "rpcholesky", _generator(), shift=shift)
        product = lambda v: operator(v) + RIDGE * v  # noqa: E731
        cg = ConjugateGradients.start(product, precondition, vector(N))
        while cg.norms[-1] > 1e-6 * cg.norms[0]:
            cg.step(product, precondition)
        steps[shift] = len(cg.norms) - 1
    assert steps[None] < steps[RIDGE]


def test_blocks_do_not_change_the_nystroem_approximation(operator):
    columns = torch.arange(0, N, 4)
    expected = operator.matrix[:, columns] @ torch.linalg.solve(operator.matrix[columns][:, columns],
                                                                operator.matrix[columns])  # fmt: skip
    for split in ([24], [5, 7, 12], [1] * 24):
        parts = iter(columns.split(split))
        factor = partial_cholesky(operator, 24, lambda d, room, parts=parts: next(parts))
        assert (factor.matrix @ factor.matrix.T - expected).abs().max() < 1e-12
        assert factor.blocks == tuple(split)


def test_pivoted_cholesky_takes_the_largest_residual_first():
    matrix = torch.diag(torch.tensor([1.0, 5.0, 3.0, 4.0], dtype=torch.float64))
    factor = partial_cholesky(DenseOperator(matrix), 3, greedy)
    assert factor.columns.tolist() == [1, 3, 2]


def test_incomplete_cholesky_stops_at_its_tolerance(operator):
    factor = partial_cholesky(operator, N, greedy, tolerance=1e-3)
    left = (operator.matrix - factor.matrix @ factor.matrix.T).diagonal().sum() / operator.matrix.diagonal().sum()
    assert left <= 1e-3
    assert len(factor.columns) < N / 2
    one_less = factor.matrix[:, :-1]
    assert (operator.matrix - one_less @ one_less.T).diagonal().sum() > 1e-3 * operator.matrix.diagonal().sum()


def test_random_pivots_are_drawn_in_proportion_to_the_residual():
    """2 x 2 blocks of ones: after one pivot of a block its other column is represented and never drawn."""
    matrix = torch.block_diag(*[w * torch.ones(2, 2, dtype=torch.float64) for w in (1.0, 2.0, 5.0)])
    generator, first, counts = _generator(), np.zeros(6), np.zeros(3)
    for _ in range(2000):
        pivots = partial_cholesky(DenseOperator(matrix), 2, randomly_pivoted(generator, 1)).columns.tolist()
        first[pivots[0]] += 1
        assert pivots[0] // 2 != pivots[1] // 2
        counts[pivots[1] // 2] += pivots[0] // 2 == 0
    assert np.abs(first / 2000 - np.array([1, 1, 2, 2, 5, 5]) / 16).max() < 0.03
    assert abs(counts[2] / counts.sum() - 5 / 7) < 0.1


def test_a_represented_matrix_needs_no_more_columns():
    low_rank = torch.randn(20, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    factor = partial_cholesky(DenseOperator(low_rank @ low_rank.T), 12, greedy, tolerance=1e-12)
    assert factor.blocks == (1,) * 4 and factor.matrix.shape == (20, 4)


def test_leverage_scores_of_a_known_matrix():
    values = torch.tensor([1e-3, 1.0, 1e-6], dtype=torch.float64)
    operator = DenseOperator(torch.diag(values))
    scores = nystroem(operator, 3, 1e-3, "random", _generator()).leverage_scores()
    assert torch.allclose(scores, values / (values + 1e-3), rtol=1e-9)


def test_leverage_scores_equal_their_definition(operator):
    scores = nystroem(operator, N, RIDGE, "cholesky", _generator()).leverage_scores()
    shifted = operator.matrix + RIDGE * torch.eye(N, dtype=torch.float64)
    assert torch.allclose(scores, (operator.matrix @ torch.linalg.inv(shifted)).diagonal(), atol=1e-6)


def test_weighted_columns_are_different_and_follow_the_weights():
    weights = torch.tensor([0.0, 1.0, 0.0, 3.0, 4.0])
    drawn = [sampled(weights, 2, _generator(seed)) for seed in range(200)]
    assert all(len(set(d.tolist())) == 2 and not {0, 2} & set(d.tolist()) for d in drawn)
    assert sum(1 in d for d in drawn) < sum(4 in d for d in drawn)


def test_whole_points_keep_their_columns_together(operator):
    columns = nystroem(operator, 3 * BLOCK - 1, RIDGE, "points", _generator()).columns.reshape(-1, BLOCK)
    assert len(columns) == 3
    assert torch.equal(columns, columns[:, :1] // BLOCK * BLOCK + torch.arange(BLOCK))


@pytest.mark.parametrize("ridge", [1e-4, 1e-10, 1e-15])
def test_columns_are_orthonormal_for_ridges_down_to_rounding(ridge):
    factor = with_spectrum(decaying(60, 8.0))[:, :30] @ with_spectrum(torch.ones(30, dtype=torch.float64), 3)
    rows = torch.cat([factor, torch.zeros(30, 30, dtype=torch.float64)])
    q = orthonormalize_(rows, 60, ridge)
    assert (rows.T @ rows - torch.eye(30, dtype=torch.float64)).abs().max() < 0.1 * ridge + 1e-14
    # in the eigenbasis of F F^T: ridge / (s^2 + ridge)
    u, s, _ = torch.linalg.svd(factor, full_matrices=False)
    kept = s**2 > 1e3 * ridge
    projected = u[:, kept] - q @ (q.T @ u[:, kept])
    assert projected.abs().max() < 1e-2


def test_singular_block_is_factored_with_jitter():
    """A column that is there twice: K[S, S] has no Cholesky factor."""
    matrix = with_spectrum(decaying(10))
    index = torch.tensor([0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    operator = DenseOperator(matrix[index][:, index].contiguous())
    factor = partial_cholesky(operator, 4, in_blocks(torch.tensor([0, 1, 2, 3])))
    difference = operator.matrix - factor.matrix @ factor.matrix.T
    assert difference[:4].abs().max() < 1e-12


@pytest.mark.parametrize("kind", ["rpcholesky", "random"])
def test_diagonal_elements_below_zero_by_rounding_are_zero(kind):
    matrix = torch.diag(torch.tensor([1.0, -1e-19, 2.0, 0.0, 3.0], dtype=torch.float64))
    preconditioner = nystroem(DenseOperator(matrix), 3, RIDGE, kind, _generator())
    assert torch.isfinite(preconditioner.q).all()


def test_jitter_grows_until_a_factor_exists():
    matrix = with_spectrum(torch.tensor([1.0, 1e-3, -1e-12], dtype=torch.float64))
    lower, jitter = jittered_cholesky(matrix)
    assert 1e-12 < jitter < 1e-10
    assert torch.allclose(lower @ lower.T, matrix + jitter * torch.eye(3, dtype=torch.float64), atol=1e-16)
    assert jittered_cholesky(with_spectrum(torch.tensor([1.0, 0.5], dtype=torch.float64)), first=0.0)[1] == 0.0
    with pytest.raises(NotPositiveDefiniteError, match="least eigenvalue"):
        jittered_cholesky(with_spectrum(torch.tensor([1.0, -0.5], dtype=torch.float64)))


def test_arguments_that_mean_nothing_are_named(operator):
    with pytest.raises(ValueError, match="kind must be one of rpcholesky"):
        nystroem(operator, 4, RIDGE, "svd", _generator())
    with pytest.raises(ValueError, match="ridge must be positive"):
        nystroem(operator, 4, 0.0, "random", _generator())
    with pytest.raises(ValueError, match="matrix must be float64"):
        DenseOperator(vector(4))
