"""bias_activation, radial_basis and cutoff_function."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from pyff import ops
from pyff.ops import reference

from _twins import assert_equals_twin, assert_single_precision_as_good_as_twin, error, strided  # isort: skip

ACTIVATIONS = ["ssp", "silu", "tanh", "identity"]
BASES = {
    "gaussian": ops.GaussianBasis(0.3, 0.4, 3.0, 9),
    "exp_gaussian": ops.ExpGaussianBasis.physnet(4.5, 12),
    "bernstein": ops.BernsteinBasis(0.9448630629184640, 32),
    "bessel": ops.BesselBasis(4.5, 7),
}
KINDS = ("cosine", "mollifier", "smooth", "polynomial3", "polynomial6", "none")
CUTOFFS = {kind: ops.Cutoff(kind, 4.0, 1.5) for kind in KINDS}
RADIAL = {**BASES, **CUTOFFS}


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


def functions(what):
    """(op, twin) of a basis or a cutoff."""
    name = "cutoff_function" if isinstance(what, ops.Cutoff) else "radial_basis"
    return getattr(ops, name), getattr(reference, name)


@pytest.mark.parametrize("name", RADIAL)
def test_radial_functions_equal_their_twins(name):
    op, twin = functions(RADIAL[name])
    assert_equals_twin(radial(op, RADIAL[name]), radial(twin, RADIAL[name]), [DISTANCES])


@pytest.mark.parametrize("name", RADIAL)
def test_radial_functions_pass_gradcheck_and_gradgradcheck(name):
    fn = radial(functions(RADIAL[name])[0], RADIAL[name])
    d = torch.tensor([0.4, 1.2, 2.7, 3.9, 4.3], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(fn, [d])
    assert torch.autograd.gradgradcheck(fn, [d], atol=1e-5)


@pytest.mark.parametrize("name", RADIAL)
def test_radial_functions_in_single_precision_are_rounded_once(name):
    fn = functions(RADIAL[name])[0]
    for order in range(4):
        exact = fn(DISTANCES, RADIAL[name], dtype=torch.float64, order=order)
        assert torch.equal(fn(DISTANCES, RADIAL[name], order=order), exact.float())


@pytest.mark.parametrize("name", BASES)
def test_radial_basis_is_finite_and_smooth_at_zero(name):
    d = torch.tensor([0.0, 1e-300, 1e-9, 1e-4], dtype=torch.float64)
    jets = [ops.radial_basis(d, BASES[name], dtype=torch.float64, order=order) for order in range(4)]
    assert all(torch.isfinite(x).all() for x in jets)
    for value, slope in itertools.pairwise(jets):  # the first distances are one point in float64
        assert (value[1] - value[0]).abs().max() <= 1e-12 * value.abs().max()
        assert error(value[3] - value[0], 1e-4 * slope[0]) < 0.05 or slope[0].abs().max() < 1e-9


def test_radial_basis_has_the_values_of_its_formula():
    d = torch.tensor([1.0], dtype=torch.float64)
    basis = lambda b: ops.radial_basis(d, b, dtype=torch.float64)[0].tolist()  # noqa: E731
    assert basis(ops.BernsteinBasis(math.log(2), 4)) == pytest.approx([1 / 8, 3 / 8, 3 / 8, 1 / 8], rel=1e-14)
    assert basis(ops.BesselBasis(2.0, 3)) == pytest.approx([1, 0, -1], abs=1e-14)
    mu, beta = 1.0, (2 / 32 * (1 - math.exp(-5))) ** -2
    physnet = basis(ops.ExpGaussianBasis.physnet(5.0, 32))
    assert physnet[-1] == pytest.approx(math.exp(-beta * (math.exp(-1) - mu) ** 2), rel=1e-12)
    assert physnet[0] == pytest.approx(math.exp(-beta * (math.exp(-1) - math.exp(-5)) ** 2), rel=1e-12)


@pytest.mark.parametrize("wrong", [
    lambda: ops.GaussianBasis(0.0, 0.0, 1.0, 4), lambda: ops.GaussianBasis(0.0, 0.1, math.inf, 4),
    lambda: ops.ExpGaussianBasis(0.0, 0.1, -1.0, 4), lambda: ops.BernsteinBasis(0.9, 0),
    lambda: ops.BesselBasis(0.0, 4),
])  # fmt: skip
def test_radial_basis_refuses_impossible_parameters(wrong):
    with pytest.raises(ValueError, match=r"basis needs size >= 1, .* > 0"):
        wrong()


def test_bernstein_basis_refuses_more_functions_than_single_precision_holds():
    with pytest.raises(ValueError, match="at most 128 functions; received 129"):
        ops.BernsteinBasis(0.9, 129)
    assert torch.isfinite(ops.radial_basis(DISTANCES, ops.BernsteinBasis(0.9, 128))).all()


def test_physnet_basis_refuses_one_function():
    with pytest.raises(ValueError, match="size >= 2"):
        ops.ExpGaussianBasis.physnet(5.0, 1)


def test_cutoff_function_refuses_impossible_radii():
    for wrong in ({"kind": "cosine", "radius": -1.0}, {"kind": "cosine", "radius": math.inf}):
        with pytest.raises(ValueError, match="cutoff must be positive and finite"):
            ops.Cutoff(**wrong)
    with pytest.raises(ValueError, match="cutoff function must be one of"):
        ops.Cutoff("square", 5.0)
    with pytest.raises(ValueError, match="onset must lie in"):
        ops.Cutoff("smooth", 5.0, 5.0)


@pytest.mark.parametrize("kind", KINDS[:-1])
def test_cutoff_function_ends_at_its_radius(kind):
    ends = torch.tensor([0.0, math.nextafter(4.0, 0.0), 4.0, math.nextafter(4.0, 9.0), 50.0], dtype=torch.float64)
    value = ops.cutoff_function(ends, CUTOFFS[kind], dtype=torch.float64)
    slope = ops.cutoff_function(ends, CUTOFFS[kind], dtype=torch.float64, order=1)
    assert error(value[:1], torch.ones(1)) < 1e-15
    assert value[1:].abs().max() < 1e-15 and slope[1:].abs().max() < 1e-14


def test_pointwise_ops_accept_non_contiguous_tensors():
    x, bias = numbers(6, 9), numbers(9, seed=1)
    assert torch.equal(ops.bias_activation(strided(x), strided(bias), "ssp"), ops.bias_activation(x, bias, "ssp"))
    for what in RADIAL.values():
        op = functions(what)[0]
        assert torch.equal(op(strided(DISTANCES), what), op(DISTANCES, what))


@pytest.mark.parametrize("n", [0, 1, 5000])
def test_radial_functions_take_any_number_of_distances(n):
    d = torch.linspace(0.1, 3.9, n, dtype=torch.float64)
    for what in RADIAL.values():
        op, twin = functions(what)
        assert_equals_twin(radial(op, what), radial(twin, what), [d])
