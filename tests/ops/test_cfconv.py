"""cfconv and cfconv_table against their twins, in both precisions and to second order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _graphs import edge_arguments, graph_batch, random_crystal, random_molecule

from pyff import ops
from pyff.ops import reference

from _twins import assert_equals_twin, assert_single_precision_as_good_as_twin, derivatives, error, strided  # isort: skip

CUTOFF = 3.0
G = 7


def batches():
    return {
        "crystal": graph_batch([random_crystal()], CUTOFF),
        "molecules": graph_batch([random_molecule(5, 1), random_molecule(9, 2), random_crystal(2, 3.0)], CUTOFF),
        "isolated": graph_batch([([1], np.zeros((1, 3)), np.zeros((3, 3)), False), random_molecule(4)], CUTOFF),
        "one_atom": graph_batch([([1], np.zeros((1, 3)), np.zeros((3, 3)), False)], CUTOFF),
        "image": graph_batch([([6], np.zeros((1, 3)), 2.0 * np.eye(3), True)], CUTOFF),  # an atom and its images
        "crowd": graph_batch([(np.full(60, 6), np.random.default_rng(3).random((60, 3)), np.eye(3), False)], CUTOFF),
    }


BATCHES = batches()


def weights(f: int, seed: int = 0):
    g = torch.Generator().manual_seed(seed)
    draw = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)  # noqa: E731
    return [draw(f, G), draw(f), draw(f, f) / f**0.5, draw(f)]


BASES = {
    "gaussian": ops.GaussianBasis(0.0, 0.5, 2.0, G),
    "exp_gaussian": ops.ExpGaussianBasis.physnet(CUTOFF, G),
    "bernstein": ops.BernsteinBasis(0.9, G),
    "bessel": ops.BesselBasis(CUTOFF, G),
}


def shape(cutoff="cosine", activation="ssp", last="identity", basis="gaussian"):
    return ops.FilterShape(BASES[basis], ops.Cutoff(cutoff, CUTOFF, 1.0), activation, last)


def exact(fn, batch, filter_shape=None):
    """fn as a function of (h, pos, weights...): distances come from positions, so that pairs stay symmetric."""

    def call(h, pos, *w):
        g = edge_arguments(batch)
        distance = reference.edge_geometry(pos, batch.cell, batch.shift, *g, batch.batch)[1]
        return fn(h, distance, tuple(w), *g, filter_shape or shape())

    call.double_inputs = (1,)
    return call


def tabulated(fn, batch, intervals=21):
    def call(h, pos, coef):
        g = edge_arguments(batch)
        distance = reference.edge_geometry(pos, batch.cell, batch.shift, *g, batch.batch)[1]
        return fn(h, distance, coef, *g, 0.0, CUTOFF / intervals)

    call.double_inputs = (1,)
    return call


def features(batch, f, seed=5):
    return torch.randn(batch.n_atoms, f, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def table(f, intervals=21):
    return torch.randn(intervals, 6, f, generator=torch.Generator().manual_seed(6), dtype=torch.float64)


@pytest.mark.parametrize("name", BATCHES)
@pytest.mark.parametrize("f", [1, 5, 16, 33])
def test_cfconv_equals_twin(name, f):
    b = BATCHES[name]
    assert_equals_twin(exact(ops.cfconv, b), exact(reference.cfconv, b), [features(b, f), b.pos, *weights(f)])


@pytest.mark.parametrize("cutoff", ["cosine", "mollifier", "smooth", "none"])
@pytest.mark.parametrize("activation, last", [("ssp", "ssp"), ("silu", "identity"), ("tanh", "silu")])
def test_cfconv_equals_twin_for_every_filter_variant(cutoff, activation, last):
    b, s = BATCHES["crystal"], shape(cutoff, activation, last)
    inputs = [features(b, 6), b.pos, *weights(6)]
    assert_equals_twin(exact(ops.cfconv, b, s), exact(reference.cfconv, b, s), inputs)


@pytest.mark.parametrize("basis", ["exp_gaussian", "bernstein", "bessel"])
def test_cfconv_and_filter_nodes_take_any_basis(basis):
    b, s = BATCHES["crystal"], shape("polynomial3", "silu", basis=basis)
    inputs = [features(b, 6), b.pos, *weights(6)]
    assert_equals_twin(exact(ops.cfconv, b, s), exact(reference.cfconv, b, s), inputs)
    d = torch.linspace(0.1, CUTOFF - 1e-9, 70, dtype=torch.float64)
    ours, twin = (lambda *w, fn=fn: fn(w, d, s) for fn in (ops.filter_nodes, reference.filter_nodes))
    assert_equals_twin(ours, twin, weights(6))


def test_cfconv_force_training_path_equals_twin():
    """Cotangents of grad_h and grad_distance only: the closed-form double backward without the twin's help."""
    b = BATCHES["molecules"]
    mask = [True, True, False, False, False, False]
    inputs = [features(b, 16), b.pos, *weights(16)]
    assert_equals_twin(exact(ops.cfconv, b), exact(reference.cfconv, b), inputs, mask)


@pytest.mark.parametrize("name", BATCHES)
@pytest.mark.parametrize("f", [1, 5, 16, 33])
def test_cfconv_table_equals_twin(name, f):
    b = BATCHES[name]
    inputs = [features(b, f), b.pos, table(f)]
    assert_equals_twin(tabulated(ops.cfconv_table, b), tabulated(reference.cfconv_table, b), inputs)


def test_cfconv_single_precision_is_as_good_as_the_twin():
    b = BATCHES["molecules"]
    inputs = [features(b, 24), b.pos, *weights(24)]
    assert_single_precision_as_good_as_twin(exact(ops.cfconv, b), exact(reference.cfconv, b), inputs)


def test_cfconv_table_single_precision_is_as_good_as_the_twin():
    b = BATCHES["molecules"]
    inputs = [features(b, 24), b.pos, 0.1 * table(24)]
    assert_single_precision_as_good_as_twin(
        tabulated(ops.cfconv_table, b), tabulated(reference.cfconv_table, b), inputs
    )


@pytest.mark.parametrize("make, extra", [(exact, weights(3)), (tabulated, [table(3)])])
def test_cfconv_passes_gradcheck_and_gradgradcheck(make, extra):
    b = graph_batch([random_molecule(4, 3)], CUTOFF)
    fn = make(ops.cfconv if make is exact else ops.cfconv_table, b)
    inputs = [x.clone().requires_grad_() for x in (features(b, 3), b.pos, *extra)]
    assert torch.autograd.gradcheck(fn, inputs, eps=1e-6, atol=1e-6)
    assert torch.autograd.gradgradcheck(fn, inputs, eps=1e-6, atol=1e-5)


@pytest.mark.parametrize("cutoff", ["cosine", "mollifier", "smooth", "none"])
@pytest.mark.parametrize("activation, last", [("ssp", "identity"), ("silu", "ssp"), ("tanh", "silu")])
def test_filter_nodes_equal_twin(cutoff, activation, last):
    s = shape(cutoff, activation, last)
    d = torch.linspace(0.1, CUTOFF - 1e-9, 70, dtype=torch.float64)
    ours, twin = (lambda *w, fn=fn: fn(w, d, s) for fn in (ops.filter_nodes, reference.filter_nodes))
    assert_equals_twin(ours, twin, weights(6))


def test_filter_nodes_do_not_depend_on_the_thread_count(monkeypatch):
    import sys

    d, w = torch.linspace(0, 2.9, 100, dtype=torch.float64), weights(8)
    results = []
    for n in (1, 3):
        monkeypatch.setattr(sys.modules["pyff.ops.cfconv"], "_nodes_threads", lambda distance, n=n: n)
        results.append(_flat(derivatives(lambda *w: ops.filter_nodes(w, d, shape()), w)))
    assert all(error(a, b) < 1e-13 for a, b in zip(*results))


def test_cfconv_table_is_continuous_at_its_nodes():
    """A table made from a smooth filter joins with value, slope and curvature."""
    from pyff.nn.filter_table import FilterTable

    made = FilterTable(shape(), 40)
    coef = made.coefficients(tuple(weights(4)), dtype=torch.float64)
    left = coef.sum(1)[:-1], (coef * torch.arange(6.0)[:, None]).sum(1)[:-1]
    right = coef[1:, 0], coef[1:, 1]
    assert error(left[0], right[0]) < 1e-12
    assert error(left[1], right[1]) < 1e-10


@pytest.mark.parametrize("threads", [2, 3, 7])
@pytest.mark.parametrize("which", ["exact", "table"])
def test_cfconv_does_not_depend_on_the_thread_count(threads, which, monkeypatch):
    import sys

    b = BATCHES["crystal"]
    fn = exact(ops.cfconv, b) if which == "exact" else tabulated(ops.cfconv_table, b)
    inputs = [features(b, 16), b.pos, *(weights(16) if which == "exact" else [table(16)])]
    mask = [True, True] + [False] * (len(inputs) - 2)
    results = {}
    for n in (1, threads, threads):
        monkeypatch.setattr(sys.modules["pyff.ops.cfconv"], "_threads", lambda distance, n=n: n)
        results.setdefault(n, []).append(derivatives(fn, inputs, mask))
    one, (first, again) = results[1][0], results[threads]
    for a, b_, c in zip(_flat(one), _flat(first), _flat(again)):
        assert error(b_, a) < 1e-13
        assert torch.equal(b_, c)


def _flat(levels):
    return [x for level in levels for x in level]


@pytest.mark.parametrize("op", ["cfconv", "cfconv_table", "filter_nodes"])
def test_ops_accept_non_contiguous_tensors(op):
    b, f = BATCHES["molecules"], 8
    d = reference.edge_geometry(b.pos, b.cell, b.shift, *edge_arguments(b), b.batch)[1]
    calls = {
        "cfconv": lambda h, d, t, w, *g: ops.cfconv(h, d, w, *g, shape()),
        "cfconv_table": lambda h, d, t, w, *g: ops.cfconv_table(h, d, t, *g, 0.0, CUTOFF / 21),
        "filter_nodes": lambda h, d, t, w, *g: ops.filter_nodes(w, d, shape()),
    }
    h, t, w, g = features(b, f), table(f), tuple(weights(f)), edge_arguments(b)
    dense = calls[op](h, d, t, w, *g)
    loose = calls[op](strided(h), strided(d), strided(t), tuple(map(strided, w)), *map(strided, g))
    assert torch.equal(dense, loose)


def test_cfconv_weighs_pairs_beyond_the_cutoff_with_zero():
    b = graph_batch([random_molecule(6)], 20.0)  # a list far longer than the cutoff
    args = edge_arguments(b)
    _vec, d = ops.edge_geometry(b.pos, b.cell, b.shift, *args, b.batch)
    near = graph_batch([random_molecule(6)], CUTOFF)
    d_near = ops.edge_geometry(near.pos, near.cell, near.shift, *edge_arguments(near), near.batch)[1]
    h, w, t = features(b, 4), weights(4), table(4)
    assert d.max() > CUTOFF
    for far, cut in (
        (ops.cfconv(h, d, w, *args, shape()), ops.cfconv(h, d_near, w, *edge_arguments(near), shape())),
        (
            ops.cfconv_table(h, d, t, *args, 0.0, CUTOFF / 21),
            ops.cfconv_table(h, d_near, t, *edge_arguments(near), 0.0, CUTOFF / 21),
        ),
    ):
        assert error(far, cut) < 1e-14


@pytest.mark.parametrize("name, change, error_type, message", [
    ("h", lambda x: x.half(), TypeError, "h must be float32 or float64"),
    ("h", lambda x: x[:-1], ValueError, "h must have shape"),
    ("distance", lambda x: x.float(), TypeError, "distance must be float64"),
    ("coef", lambda x: x[:, :5], ValueError, "coef must have shape"),
    ("coef", lambda x: x.float(), TypeError, "coef must be float64"),
    ("row_ptr", lambda x: x[:-1], ValueError, "row_ptr must start at 0"),
    ("idx_j", lambda x: x.int(), TypeError, "idx_j must be int64"),
    ("edge_rev", lambda x: x[:-1], ValueError, "edge_rev must have shape"),
])  # fmt: skip
def test_cfconv_names_a_wrong_argument(name, change, error_type, message):
    b = BATCHES["crystal"]
    d = ops.edge_geometry(b.pos, b.cell, b.shift, *edge_arguments(b), b.batch)[1]
    keys = ("row_ptr", "idx_i", "idx_j", "edge_rev")
    args = {"h": features(b, 4), "distance": d, "coef": table(4), **dict(zip(keys, edge_arguments(b)))}
    args[name] = change(args[name])
    with pytest.raises(error_type, match=message):
        ops.cfconv_table(*args.values(), 0.0, 0.1)


def test_cfconv_refuses_third_derivatives():
    b = BATCHES["crystal"]
    fn = exact(ops.cfconv, b)
    inputs = [x.clone().requires_grad_() for x in (features(b, 3), b.pos, *weights(3))]
    grad = torch.autograd.grad(fn(*inputs).sum(), inputs[1], create_graph=True)[0]
    second = torch.autograd.grad((grad**2).sum(), inputs[2], create_graph=True)[0]
    with pytest.raises(RuntimeError, match="once_differentiable"):
        second.sum().backward()


@pytest.mark.parametrize("name, cell, activation, edges", [
    ("OPEN", np.zeros((3, 3)), "ssp", 46),
    ("CUBIC", 5 * np.eye(3), "ssp", 102),
    ("TRICLINIC", [[5, 0, 0], [1.5, 5, 0], [-0.5, -1, 5]], "ssp", 120),
    ("TANH", np.zeros((3, 3)), "tanh", 46),
])  # fmt: skip
def test_cfconv_reproduces_schnetpack_on_water(name, cell, activation, edges):
    import _water_goldens as golden

    cell = np.asarray(cell, float)
    b = graph_batch([(np.full(18, 1), golden.POSITIONS, cell, bool(cell.any()))], 2.0)
    assert b.n_edges == edges
    d = ops.edge_geometry(b.pos, b.cell, b.shift, *edge_arguments(b), b.batch)[1]
    double = lambda x: torch.tensor(np.asarray(x, float))  # noqa: E731
    filter_shape = ops.FilterShape(ops.GaussianBasis(0.0, 0.5, 2.0, 5), ops.Cutoff("cosine", 2.0), activation)
    w = (double(golden.W1), double(range(1, 9)), double(golden.W2), double(range(1, 9)) / 10)
    h = 0.1 * torch.arange(144, dtype=torch.float64).reshape(18, 8)
    y = ops.cfconv(h, d, w, *edge_arguments(b), filter_shape)
    # the published tables are single precision: seven digits
    assert ((y - double(getattr(golden, name))).abs() / y.abs()).max() < 2e-6
