"""Tables of filter networks: their error, their start, and what the intervals are for."""

from __future__ import annotations

import math

import pytest
import torch

from pyff import ops
from pyff.nn.filter_table import FilterTable, default_intervals, filter_table, table_error

RC = 4.5
BASES = {
    "gaussian": ops.GaussianBasis(0.0, RC / 31, 0.5 * (31 / RC) ** 2, 32),
    "exp_gaussian": ops.ExpGaussianBasis.physnet(RC, 32),
    "bernstein": ops.BernsteinBasis(0.9448630629184640, 32),  # SO3LR
    "bessel": ops.BesselBasis(RC, 8),
}


def shape(basis, cutoff="none"):
    return ops.FilterShape(basis, ops.Cutoff(cutoff, RC), "silu", "identity")


def weights(basis, f=24, seed=0):
    g = torch.Generator().manual_seed(seed)
    draw = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)  # noqa: E731
    return draw(f, basis.size) / basis.size**0.5, 0.1 * draw(f), draw(f, f) / f**0.5, 0.1 * draw(f)


@pytest.mark.parametrize("start", [0.0, 0.4])
@pytest.mark.parametrize("name", BASES)
def test_default_intervals_suffice_for_every_basis_without_cutoff_factor(name, start):
    s = shape(BASES[name])
    for seed in range(3):
        value, slope = table_error(FilterTable(s, default_intervals(s, start), start), weights(BASES[name], seed=seed))
        assert value <= 1e-7 and slope <= 1e-6


@pytest.mark.parametrize("start", [0.0, 0.4])
@pytest.mark.parametrize("name", ["exp_gaussian", "bernstein"])
def test_nodes_even_in_the_exponential_are_fewer_and_suffice(name, start):
    s, decay = shape(BASES[name]), BASES[name].decay
    intervals = default_intervals(s, start, decay)
    assert intervals < 0.75 * default_intervals(s, start)
    for seed in range(3):
        w = weights(BASES[name], seed=seed)
        value, slope = table_error(FilterTable(s, intervals, start, decay), w)
        assert value <= 1e-7 and slope <= 1e-6
        # what models learn with
        value, slope = table_error(FilterTable(s, max(63, intervals // 2), start, decay), w)
        assert value <= 5e-6 and slope <= 5e-5


def test_gradients_of_a_table_in_single_precision_are_those_in_double():
    s = shape(BASES["exp_gaussian"])
    table = FilterTable(s, 63, 0.4, 1.0)
    # as from a pair at 0.6 of each interval
    bar = 0.6 ** torch.arange(6.0)[:, None] * torch.sin(torch.arange(63.0 * 48)).view(63, 1, 48)
    gradients = []
    for dtype in (torch.float32, torch.float64):
        networks = [tuple(x.to(dtype).requires_grad_() for x in weights(BASES["exp_gaussian"], seed=k)) for k in (1, 2)]
        coef = table.coefficients(*networks, dtype=dtype)
        gradients.append(torch.autograd.grad(coef, [x for w in networks for x in w], bar.to(dtype)))
    for single, double in zip(*gradients):
        assert single.dtype == torch.float32
        assert (single - double).abs().max() < 1e-5 * double.abs().max()


def test_coefficients_are_differentiable_twice_and_for_some_weights_alone():
    basis = ops.ExpGaussianBasis.physnet(RC, 3)
    s, w = shape(basis), [x[:2] if x.dim() == 1 else x[:2, :3] for x in weights(basis, f=3)]
    w[2] = w[2][:, :2]
    table, w = FilterTable(s, 2, 0.4, 1.0), [x.clone().requires_grad_(k != 1) for k, x in enumerate(w)]
    fn = lambda *x: table.coefficients(x, dtype=torch.float64)  # noqa: E731
    assert torch.autograd.gradcheck(fn, w) and torch.autograd.gradgradcheck(fn, w)


def test_a_table_of_several_networks_holds_them_side_by_side():
    s, w = shape(BASES["exp_gaussian"]), [weights(BASES["exp_gaussian"], seed=seed) for seed in (1, 2)]
    table = FilterTable(s, 20, 0.4, 1.0)
    together = table.coefficients(*w, dtype=torch.float32)
    assert torch.equal(together, torch.cat([table.coefficients(x, dtype=torch.float32) for x in w], 2))


@pytest.mark.parametrize("cutoff", ["polynomial3", "polynomial6"])
def test_default_intervals_suffice_for_polynomial_cutoffs(cutoff):
    basis = ops.GaussianBasis(0.0, RC / 3, 0.5 * (3 / RC) ** 2, 4)  # wide: the cutoff decides
    s = shape(basis, cutoff)
    value, slope = table_error(FilterTable(s, default_intervals(s)), weights(basis))
    assert value <= 1e-7 and slope <= 1e-6


def test_a_start_where_atoms_are_saves_most_intervals_of_a_bernstein_basis():
    s = shape(BASES["bernstein"])
    assert default_intervals(s) > 4 * default_intervals(s, 0.4)
    assert default_intervals(s, 0.4) <= 200


@pytest.mark.parametrize("name", BASES)
def test_resolution_is_the_length_over_which_the_basis_bends(name):
    """The largest |g'| / max g at distances from `nearest` on is about one over the resolution."""
    basis = BASES[name]
    for nearest in (0.0, 0.4, 1.0):
        d = torch.linspace(0, RC, 4000, dtype=torch.float64)
        value = ops.radial_basis(d, basis, dtype=torch.float64)
        slope = ops.radial_basis(d, basis, dtype=torch.float64, order=1)[d >= nearest]
        steepest = float((slope.abs().amax(0) / value.abs().amax(0)).max())
        # the slopes of a Bessel basis fall off with its amplitude, 1 / d
        assert 1 / 10 < steepest * basis.resolution(nearest) < 4


def test_table_with_a_start_equals_the_network_from_there_on():
    s, w, start = shape(BASES["bernstein"]), weights(BASES["bernstein"]), 0.4
    table = filter_table(s, w, start=start)
    coef = table.coefficients(w, dtype=torch.float64)
    d = torch.tensor([start, 0.5, 0.74, 1.1, 3.0, 4.4, math.nextafter(RC, 0.0), RC], dtype=torch.float64)
    # one pair per distance, h = 1: the convolution is the filter
    n = len(d)
    i = torch.arange(2 * n)
    graph = (torch.arange(2 * n + 1), i, i ^ 1, i ^ 1)
    ones = torch.ones(2 * n, 24, dtype=torch.float64)
    y = ops.cfconv_table(ones, d.repeat_interleave(2), coef, *graph, table.start, table.spacing)
    exact = ops.filter_nodes(w, d, s)[0]
    assert (y[::2] - exact).abs().max() < 1e-7 * exact.abs().max()
    assert exact[-1].abs().max() == 0 and exact[-2].abs().max() > 0.01  # "none" ends with a step, and so does the table


def test_table_refuses_a_start_beyond_the_cutoff():
    with pytest.raises(ValueError, match="start must lie in"):
        FilterTable(shape(BASES["bessel"]), 10, start=5.0)
