"""mesh_spread and mesh_gather: splines against their closed form, ops against twins, and what a mesh must conserve."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pyff import ops
from pyff.ops import reference
from pyff.ops.reference.mesh import spline_weights

from _twins import assert_equals_twin, error, strided  # isort: skip

SHAPE = (12, 15, 20)
ORDERS = [4, 6]


def places(n=40, seed=0):
    """Positions in mesh points: anywhere, on points, on the lower and the upper boundary."""
    u = np.random.default_rng(seed).random((n, 3)) * SHAPE
    u[: n // 8] = np.round(u[: n // 8])
    if n > 8:
        u[-2:] = [[0.0, 0.0, 0.0], SHAPE]
    return torch.tensor(u)


def numbers(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("order", ORDERS)
def test_splines_are_the_cardinal_b_splines(order):
    """M_n(x) = 1/(n-1)! sum_k (-1)^k C(n, k) max(x - k, 0)^(n-1)."""
    for w in (0.0, 0.25, 0.7, 1.0 - 1e-12):
        mesh = ops.mesh_spread(
            torch.ones(1, dtype=torch.float64), torch.full((1, 3), 6 + w, dtype=torch.float64), SHAPE, order
        )
        got = mesh.sum((1, 2))
        for m in range(12):
            x = 6 + w - m
            terms = ((-1) ** k * math.comb(order, k) * max(x - k, 0.0) ** (order - 1) for k in range(order + 1))
            assert float(got[m]) == pytest.approx(sum(terms) / math.factorial(order - 1), abs=1e-12)
        twin = spline_weights(torch.tensor(w, dtype=torch.float64), order)
        assert error(got[6 - torch.arange(order)], twin) < 1e-14


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("n", [0, 1, 40, 500])
def test_mesh_ops_equal_their_twins(n, order):
    u, weight, mesh = places(n), numbers(n), numbers(*SHAPE)
    spread = lambda fn: lambda w, u: fn(w, u, SHAPE, order)  # noqa: E731
    assert_equals_twin(spread(ops.mesh_spread), spread(reference.mesh_spread), [weight, u])
    gather = lambda fn: lambda m, u: fn(m, u, order)  # noqa: E731
    assert_equals_twin(gather(ops.mesh_gather), gather(reference.mesh_gather), [mesh, u])


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("mask", [(True, False), (False, True)])
def test_second_derivatives_from_one_cotangent_equal_the_twin(order, mask):
    u, weight, mesh = places(), numbers(40), numbers(*SHAPE)
    spread = lambda fn: lambda w, u: fn(w, u, SHAPE, order)  # noqa: E731
    assert_equals_twin(spread(ops.mesh_spread), spread(reference.mesh_spread), [weight, u], mask)
    gather = lambda fn: lambda m, u: fn(m, u, order)  # noqa: E731
    assert_equals_twin(gather(ops.mesh_gather), gather(reference.mesh_gather), [mesh, u], mask)


@pytest.mark.parametrize("order", ORDERS)
def test_spreading_conserves_charge_and_gathering_reads_constants(order):
    u, weight = places(), numbers(40)
    assert float(ops.mesh_spread(weight, u, SHAPE, order).sum()) == pytest.approx(float(weight.sum()), abs=1e-12)
    ones = ops.mesh_gather(torch.full(SHAPE, 3.0, dtype=torch.float64), u, order)
    assert error(ones, torch.full_like(ones, 3.0)) < 1e-14


@pytest.mark.parametrize("order", ORDERS)
def test_spread_is_the_transpose_of_gather(order):
    u, weight, mesh = places(), numbers(40), numbers(*SHAPE)
    left = float((ops.mesh_spread(weight, u, SHAPE, order) * mesh).sum())
    assert left == pytest.approx(float((weight * ops.mesh_gather(mesh, u, order)).sum()), rel=1e-12)


def test_mesh_ops_pass_gradgradcheck():
    u, weight = places(4).requires_grad_(), numbers(4).requires_grad_()
    probe, mesh = numbers(*SHAPE, seed=4), numbers(*SHAPE).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda w, u: (ops.mesh_spread(w, u + 0.3, SHAPE) * probe).sum(), [weight, u])
    assert torch.autograd.gradgradcheck(lambda m, u: ops.mesh_gather(m, u + 0.3), [mesh, u], fast_mode=True)


def test_mesh_ops_give_the_same_bits_for_any_thread_count():
    u, weight, mesh = places(500), numbers(500), numbers(*SHAPE)
    results, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append((ops.mesh_spread(weight, u, SHAPE), ops.mesh_gather(mesh, u)))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other))


def test_mesh_ops_accept_non_contiguous_tensors():
    u, weight, mesh = places(), numbers(40), numbers(*SHAPE)
    dense = ops.mesh_spread(weight, u, SHAPE), ops.mesh_gather(mesh, u)
    loose = ops.mesh_spread(strided(weight), strided(u), SHAPE), ops.mesh_gather(strided(mesh), strided(u))
    assert all(torch.equal(a, b) for a, b in zip(dense, loose))


@pytest.mark.parametrize("change, error_type, message", [
    ({"order": 5}, ValueError, "order must be one of"),
    ({"shape": (12, 11, 20)}, ValueError, "at least 2 order = 12 points per axis"),
    ({"u": places() - 1.0}, ValueError, "wrap positions into the cell"),
    ({"u": torch.full((40, 3), math.nan, dtype=torch.float64)}, ValueError, "wrap positions into the cell"),
    ({"u": places().float()}, TypeError, "u must be float64"),
    ({"weight": numbers(39)}, ValueError, "weight must have shape"),
])  # fmt: skip
def test_mesh_spread_names_a_wrong_argument(change, error_type, message):
    with pytest.raises(error_type, match=message):
        ops.mesh_spread(**({"weight": numbers(40), "u": places(), "shape": SHAPE, "order": 6} | change))
    if "weight" not in change and "shape" not in change:
        with pytest.raises(error_type, match=message):
            ops.mesh_gather(numbers(*SHAPE), **({"u": places(), "order": 6} | change))
