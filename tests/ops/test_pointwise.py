"""bias_activation, gaussian_basis and cutoff_function."""

from __future__ import annotations

import math

import pytest
import torch

from pyff import ops
from pyff.ops import reference

from _twins import assert_equals_twin, assert_single_precision_as_good_as_twin, error, strided  # isort: skip

ACTIVATIONS = ["ssp", "silu", "tanh", "identity"]
BASIS = ops.GaussianBasis(0.3, 0.4, 3.0, 9)
CUTOFFS = [ops.Cutoff(kind, 4.0, 1.5) for kind in ("cosine", "mollifier", "smooth", "none")]


def numbers(*shape, seed=0):
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def activated(fn, name):
    call = lambda x, bias: fn(x, bias, name)  # noqa: E731
    call.double_inputs = ()
    return call


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("rows, f", [(5, 33), (0, 4), (1, 1), (700, 64)])
def test_bias_activation_equals_twin(name, rows, f):
    inputs = [numbers(rows, f), numbers(f, seed=1)]
    assert_equals_twin(activated(ops.bias_activation, name), activated(reference.bias_activation, name), inputs)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_bias_activation_single_precision_is_as_good_as_the_twin(name):
    ours, twin = activated(ops.bias_activation, name), activated(reference.bias_activation, name)
    assert_single_precision_as_good_as_twin(ours, twin, [numbers(20, 40), numbers(40, seed=1)])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_bias_activation_passes_gradcheck_and_gradgradcheck(name):
    inputs = [numbers(2, 3).requires_grad_(), numbers(3, seed=1).requires_grad_()]
    assert torch.autograd.gradcheck(activated(ops.bias_activation, name), inputs)
    assert torch.autograd.gradgradcheck(activated(ops.bias_activation, name), inputs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bias_activation_is_finite_for_extreme_inputs(dtype):
    x = torch.tensor([[-1e30, -800.0, -90.0, -1e-40, 0.0, 1e-40, 90.0, 800.0, 1e30]], dtype=dtype)
    bias = torch.zeros(9, dtype=dtype)
    ssp = ops.bias_activation(x, bias, "ssp")
    assert torch.isfinite(ssp).all()
    torch.testing.assert_close(ssp[0, -1], x[0, -1])
    torch.testing.assert_close(ssp[0, 0], torch.tensor(-math.log(2.0), dtype=dtype))


def test_bias_activation_names_what_is_wrong():
    with pytest.raises(ValueError, match="activation must be one of identity, ssp"):
        ops.bias_activation(numbers(2, 3), numbers(3), "relu")
    with pytest.raises(ValueError, match=r"bias must have shape \(3\)"):
        ops.bias_activation(numbers(2, 3), numbers(4), "ssp")


def radial(fn, what, dtype=torch.float64):
    return lambda d: fn(d, what, dtype=dtype)


DISTANCES = torch.linspace(0.05, 4.6, 57, dtype=torch.float64)


def test_gaussian_basis_equals_twin():
    assert_equals_twin(radial(ops.gaussian_basis, BASIS), radial(reference.gaussian_basis, BASIS), [DISTANCES])


@pytest.mark.parametrize("cutoff", CUTOFFS, ids=lambda c: c.kind)
def test_cutoff_function_equals_twin(cutoff):
    assert_equals_twin(radial(ops.cutoff_function, cutoff), radial(reference.cutoff_function, cutoff), [DISTANCES])


@pytest.mark.parametrize("what", [BASIS, *CUTOFFS], ids=lambda w: getattr(w, "kind", "gaussian"))
def test_radial_functions_pass_gradcheck_and_gradgradcheck(what):
    fn = radial(ops.gaussian_basis if what is BASIS else ops.cutoff_function, what)
    d = torch.tensor([0.4, 1.2, 2.7, 3.9, 4.3], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(fn, [d])
    assert torch.autograd.gradgradcheck(fn, [d], atol=1e-5)


@pytest.mark.parametrize("what", [BASIS, *CUTOFFS], ids=lambda w: getattr(w, "kind", "gaussian"))
def test_radial_functions_in_single_precision_are_rounded_once(what):
    fn = ops.gaussian_basis if what is BASIS else ops.cutoff_function
    for order in range(4):
        exact = fn(DISTANCES, what, dtype=torch.float64, order=order)
        assert torch.equal(fn(DISTANCES, what, order=order), exact.float())


def test_cutoff_function_refuses_impossible_radii():
    for wrong in ({"kind": "cosine", "radius": -1.0}, {"kind": "cosine", "radius": math.inf}):
        with pytest.raises(ValueError, match="cutoff must be positive and finite"):
            ops.Cutoff(**wrong)
    with pytest.raises(ValueError, match="cutoff function must be one of"):
        ops.Cutoff("square", 5.0)
    with pytest.raises(ValueError, match="onset must lie in"):
        ops.Cutoff("smooth", 5.0, 5.0)


@pytest.mark.parametrize("cutoff", CUTOFFS[:3], ids=lambda c: c.kind)
def test_cutoff_function_ends_at_its_radius(cutoff):
    ends = torch.tensor([0.0, math.nextafter(4.0, 0.0), 4.0, math.nextafter(4.0, 9.0), 50.0], dtype=torch.float64)
    value = ops.cutoff_function(ends, cutoff, dtype=torch.float64)
    slope = ops.cutoff_function(ends, cutoff, dtype=torch.float64, order=1)
    assert error(value[:1], torch.ones(1)) < 1e-15
    assert value[1:].abs().max() < 1e-15 and slope[1:].abs().max() < 1e-14


def test_pointwise_ops_accept_non_contiguous_tensors():
    x, bias = numbers(6, 9), numbers(9, seed=1)
    assert torch.equal(ops.bias_activation(strided(x), strided(bias), "ssp"), ops.bias_activation(x, bias, "ssp"))
    assert torch.equal(ops.gaussian_basis(strided(DISTANCES), BASIS), ops.gaussian_basis(DISTANCES, BASIS))
    for cutoff in CUTOFFS:
        assert torch.equal(ops.cutoff_function(strided(DISTANCES), cutoff), ops.cutoff_function(DISTANCES, cutoff))


@pytest.mark.parametrize("n", [0, 1, 5000])
def test_radial_functions_take_any_number_of_distances(n):
    d = torch.linspace(0.1, 3.9, n, dtype=torch.float64)
    for what, ours, twin in ((BASIS, ops.gaussian_basis, reference.gaussian_basis),
                             (CUTOFFS[0], ops.cutoff_function, reference.cutoff_function)):  # fmt: skip
        assert_equals_twin(radial(ours, what), radial(twin, what), [d])
