"""distance_matrix and kernel_matrix against their plain twins."""

from __future__ import annotations

import pytest
import torch

from pyff import ops
from pyff.ops import reference

SHAPES = [(1, 1, 1), (5, 9, 3), (70, 33, 276), (130, 40, 300), (0, 4, 7), (4, 0, 7), (6, 5, 0)]


def draw(n, f, seed):
    return 20 * torch.randn(n, f, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def largest(x):
    return float(x.abs().max()) if x.numel() else 0.0


@pytest.mark.parametrize("n, m, f", SHAPES)
@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_distances_equal_the_twin(n, m, f, norm):
    x, y = draw(n, f, 0), draw(m, f, 1)
    want = reference.distance_matrix(x, y, norm)
    assert largest(ops.distance_matrix(x, y, norm) - want) <= 1e-12 * largest(want)


@pytest.mark.parametrize("n, m, f", SHAPES)
@pytest.mark.parametrize("kind, sigma", [("laplacian", 900.0), ("gaussian", 90.0)])
def test_kernels_equal_the_twin(n, m, f, kind, sigma):
    x, y = draw(n, f, 0), draw(m, f, 1)
    want = reference.kernel_matrix(x, y, sigma, kind)
    assert largest(ops.kernel_matrix(x, y, sigma, kind) - want) <= 1e-12


@pytest.mark.parametrize("kind", ["laplacian", "gaussian"])
def test_a_matrix_of_an_array_with_itself_is_that_of_a_copy_and_symmetric(kind):
    x = draw(150, 276, 0)
    k = ops.kernel_matrix(x, None, 500.0, kind)
    assert torch.equal(k, ops.kernel_matrix(x, x.clone(), 500.0, kind))
    assert torch.equal(k, k.T) and torch.equal(k.diagonal(), torch.ones(150, dtype=torch.float64))
    assert float(torch.linalg.eigvalsh(k)[0]) > 0


def test_strided_input_is_read_as_it_looks():
    x = draw(40, 24, 0)
    left, right = x[::2, 1::3], x[:, 1::3]
    assert torch.equal(ops.distance_matrix(left, right), ops.distance_matrix(left.contiguous(), right.contiguous()))
    assert torch.equal(ops.distance_matrix(left), ops.distance_matrix(left.contiguous()))


def test_far_and_close_rows_stay_accurate():
    x = torch.tensor([[1e6, 1.0], [1e6, 1.0 + 1e-9], [-1e6, 1.0]], dtype=torch.float64)
    for norm in ("l1", "l2"):
        d = ops.distance_matrix(x, norm=norm)
        assert d[0, 1] == pytest.approx(1e-9, rel=1e-6) and d[0, 2] == 2e6
    assert float(ops.kernel_matrix(x, None, 1.0)[0, 2]) < 1e-300


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_threads_do_not_change_a_bit(norm):
    x = draw(333, 50, 0)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = ops.distance_matrix(x, norm=norm)
        torch.set_num_threads(3)
        assert torch.equal(ops.distance_matrix(x, norm=norm), one)
    finally:
        torch.set_num_threads(before)


def test_errors_name_the_argument():
    x = draw(3, 4, 0)
    with pytest.raises(ValueError, match="norm must be l1 or l2; received 'l3'"):
        ops.distance_matrix(x, norm="l3")
    with pytest.raises(ValueError, match="kind must be laplacian or gaussian"):
        ops.kernel_matrix(x, None, 1.0, "rbf")
    with pytest.raises(ValueError, match="sigma must be a positive number; received 0"):
        ops.kernel_matrix(x, None, 0.0)
    with pytest.raises(ValueError, match=r"y must have shape \(any, 4\); received \(2, 5\)"):
        ops.distance_matrix(x, draw(2, 5, 0))
    with pytest.raises(TypeError, match="x must be float64"):
        ops.distance_matrix(x.float())
