"""Equivariant attention against its twin, in both precisions and to second order."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch
from _graphs import edge_arguments, graph_batch, random_crystal, random_molecule

from pyff import ops
from pyff.ops import reference

from _twins import assert_equals_twin, assert_single_precision_as_good_as_twin, derivatives, error, strided  # isort: skip

CUTOFF = 3.0
ONE = ([1], np.zeros((1, 3)), np.zeros((3, 3)), False)
SKEWED = np.array([[2.0, 0, 0], [0.7, 1.9, 0], [-0.4, 0.5, 2.2]])
BATCHES = {
    "crystal": graph_batch([random_crystal()], CUTOFF),
    "molecules": graph_batch([random_molecule(5, 1), random_molecule(9, 2), random_crystal(2, 3.0)], CUTOFF),
    "isolated": graph_batch([ONE, random_molecule(4)], CUTOFF),
    "one_atom": graph_batch([ONE], CUTOFF),
    "image": graph_batch([([6], np.zeros((1, 3)), SKEWED, True)], CUTOFF),  # an atom and its images
    "crowd": graph_batch([(np.full(60, 6), np.random.default_rng(3).random((60, 3)), np.eye(3), False)], CUTOFF),
}
# features, hidden width, degrees, heads
SIZES = {
    "paper": (132, 33, (1, 2, 3), 4),
    "so3lr": (128, 32, (1, 2, 3, 4), 4),
    "odd": (15, 5, (2, 1, 3), 5),
    "repeated": (24, 7, (1, 2, 1, 2), 3),
    "one_head": (6, 3, (4,), 1),
    "tiny": (4, 1, (3, 1), 4),
}
INTERVALS = 17
TABLE = (0.0, CUTOFF / INTERVALS, 0.0)
DECAY = 0.8  # of the nodes of warped tables


def shape(size, cutoff="cosine", activation="silu"):
    _f, _s, degrees, heads = SIZES[size]
    return ops.AttentionShape(degrees, heads, ops.Cutoff(cutoff, CUTOFF, 1.0), 1.7, activation)


def inputs(batch, size, kind, *, spherical=True, seed=5, intervals=INTERVALS):
    """Positions, five feature tensors, radial numbers, Euclidean variables and weights of the spherical filter."""
    f, s, degrees, _heads = SIZES[size]
    g = torch.Generator().manual_seed(seed)
    draw = lambda *n: torch.randn(*n, generator=g, dtype=torch.float64)  # noqa: E731
    m, n = sum(2 * d + 1 for d in degrees), batch.n_atoms
    radial = draw(batch.n_edges, 2 * f) if kind == "rows" else draw(intervals, 6, 2 * f)
    out = [batch.pos, *(draw(n, f) for _ in range(5)), radial]
    if spherical:
        out += [0.4 * draw(n, m), draw(2, s, len(degrees)), draw(2, s), draw(2, f, s) / s**0.5, draw(2, f)]
    return out


def grid(kind, intervals=INTERVALS):
    """(start, spacing, decay): nodes even in the distance, or "warped", even in its exponential."""
    if kind == "rows":
        return None
    if kind == "table":
        return 0.0, CUTOFF / intervals, 0.0
    return 0.1, (1 - math.exp(-DECAY * (CUTOFF - 0.1))) / DECAY / intervals, DECAY


def attention(fn, batch, attention_shape, kind):
    """fn as a function of inputs(): vectors come from positions and rows from pairs, as the op requires."""

    def call(pos, q1, k1, v1, q2, k2, radial, ev=None, *weights):
        g = edge_arguments(batch)
        vec = reference.edge_geometry(pos, batch.cell, batch.shift, *g, batch.batch)[0]
        if kind == "rows":
            radial = radial[torch.minimum(torch.arange(batch.n_edges), batch.edge_rev)]
        return fn(
            (q1, k1, v1, q2, k2), ev, radial, weights or None, vec, *g, attention_shape,
            table=grid(kind, radial.shape[0]),
        )  # fmt: skip

    call.double_inputs = (0,)
    return call


def pair(batch, s, kind):
    return (attention(fn, batch, s, kind) for fn in (ops.equivariant_attention, reference.equivariant_attention))


def forces_only(n_inputs: int) -> list[bool]:
    """Cotangents of the gradients of all but the parameters: what training on forces needs."""
    return [True] * 6 + [False] + [k == 0 for k in range(n_inputs - 7)]


@pytest.mark.parametrize("kind", ["table", "warped", "rows"])
@pytest.mark.parametrize("name", BATCHES)
def test_attention_equals_twin_on_every_graph(name, kind):
    b = BATCHES[name]
    x = inputs(b, "repeated", kind)
    assert_equals_twin(*pair(b, shape("repeated"), kind), x, forces_only(len(x)))


@pytest.mark.parametrize("kind", ["table", "warped", "rows"])
@pytest.mark.parametrize("size", SIZES)
def test_attention_equals_twin_for_every_size(size, kind):
    b = BATCHES["molecules"]
    x = inputs(b, size, kind)
    assert_equals_twin(*pair(b, shape(size), kind), x, forces_only(len(x)))


@pytest.mark.parametrize("kind", ["table", "rows"])
@pytest.mark.parametrize("size", ["so3lr", "odd"])
def test_attention_without_euclidean_variables_equals_twin(size, kind):
    b = BATCHES["molecules"]
    x = inputs(b, size, kind, spherical=False)
    assert_equals_twin(*pair(b, shape(size), kind), x, forces_only(len(x)))


@pytest.mark.parametrize("cutoff", ["cosine", "mollifier", "smooth", "polynomial3", "none"])
@pytest.mark.parametrize("activation", ["silu", "ssp", "tanh", "identity"])
def test_attention_equals_twin_for_every_cutoff_and_activation(cutoff, activation):
    b = BATCHES["crystal"]
    x = inputs(b, "odd", "table")
    assert_equals_twin(*pair(b, shape("odd", cutoff, activation), "table"), x, forces_only(len(x)))


@pytest.mark.parametrize("kind", ["table", "rows"])
def test_attention_second_derivatives_among_all_tensors_equal_twin(kind):
    """Cotangents of the gradients of parameters too, which the twin serves."""
    b = BATCHES["molecules"]
    assert_equals_twin(*pair(b, shape("odd"), kind), inputs(b, "odd", kind))


def test_attention_rows_with_cotangents_equal_twin():
    """Exact filters: the gradient of the rows is differentiated again, the weights' are not."""
    b = BATCHES["crystal"]
    x = inputs(b, "odd", "rows")
    mask = [True] * 8 + [False] * 4
    assert_equals_twin(*pair(b, shape("odd"), "rows"), x, mask)


@pytest.mark.parametrize("size", ["so3lr", "paper"])
@pytest.mark.parametrize("kind", ["table", "warped", "rows"])
def test_attention_single_precision_is_as_good_as_the_twin(size, kind):
    b = BATCHES["molecules"]
    x = inputs(b, size, kind)
    x[6] = 0.1 * x[6]
    assert_single_precision_as_good_as_twin(*pair(b, shape(size), kind), x, forces_only(len(x)))


@pytest.mark.parametrize("kind", ["table", "warped", "rows"])
def test_attention_passes_gradcheck_and_gradgradcheck(kind):
    b = graph_batch([random_molecule(3, 3)], CUTOFF)
    fn = attention(ops.equivariant_attention, b, shape("tiny"), kind)
    x = [y.clone().requires_grad_() for y in inputs(b, "tiny", kind, intervals=2)]
    assert torch.autograd.gradcheck(fn, x, eps=1e-6, atol=1e-6)
    assert torch.autograd.gradgradcheck(fn, x, eps=1e-6, atol=1e-5)


@pytest.mark.parametrize("wanted", [(0,), (1,), (7,), (0, 7), (8, 11), (6,), (0, 1, 6)])
@pytest.mark.parametrize("kind", ["table", "rows"])
def test_attention_gradients_do_not_depend_on_which_are_wanted(wanted, kind):
    b = BATCHES["molecules"]
    fn = attention(ops.equivariant_attention, b, shape("odd"), kind)
    values = inputs(b, "odd", kind)

    def gradients(indices):
        x = [y.clone().requires_grad_(k in indices) for k, y in enumerate(values)]
        leaves = [x[k] for k in indices]
        first = torch.autograd.grad(sum((y**2).sum() for y in fn(*x)), leaves, create_graph=True)
        return first, torch.autograd.grad(sum((y**2).sum() for y in first), leaves, materialize_grads=True)

    every = gradients(tuple(range(12)))
    for level, some in enumerate(gradients(wanted)):
        for k, y in zip(wanted, some):
            if level == 0:
                assert error(y, every[0][k]) < 1e-12
            assert torch.isfinite(y).all()


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("name, size", [("crystal", "repeated"), ("molecules", "paper"), ("image", "odd")])
@pytest.mark.parametrize("kind", ["table", "warped", "rows"])
def test_attention_does_not_depend_on_the_thread_count(threads, name, size, kind, monkeypatch):
    b = BATCHES[name]
    fn, x = attention(ops.equivariant_attention, b, shape(size), kind), inputs(b, size, kind)
    results = {}
    for n in (1, threads, threads):
        monkeypatch.setattr(sys.modules["pyff.ops.equivariant_attention"], "_threads", lambda vec, n=n: n)
        levels = derivatives(fn, x, forces_only(len(x)))
        results.setdefault(n, []).append([y for level in levels for y in level])
    for one, first, again in zip(results[1][0], *results[threads]):
        assert error(first, one) < 1e-12
        assert torch.equal(first, again)


def test_attention_is_continuous_at_the_nodes_of_its_table():
    """A table that joins smoothly gives messages that do, in value and gradient."""
    b = graph_batch([([1, 1], np.array([[0.0, 0, 0], [0, 0, 1.0]]), np.zeros((3, 3)), False)], CUTOFF)
    x = inputs(b, "odd", "table")
    # one cubic polynomial of d on all intervals
    k = torch.arange(INTERVALS, dtype=torch.float64)[:, None]
    c = x[6][:1, :4].expand(INTERVALS, 4, -1)
    x[6] = torch.zeros_like(x[6])
    x[6][:, 0] = c[:, 0] + c[:, 1] * k + c[:, 2] * k**2 + c[:, 3] * k**3
    x[6][:, 1] = c[:, 1] + 2 * c[:, 2] * k + 3 * c[:, 3] * k**2
    x[6][:, 2] = c[:, 2] + 3 * c[:, 3] * k
    x[6][:, 3] = c[:, 3]
    fn = attention(ops.equivariant_attention, b, shape("odd"), "table")
    node = 7 * CUTOFF / INTERVALS
    for level in range(3):
        sides = []
        for d in (node - 1e-9, node + 1e-9):
            x[0] = torch.tensor([[0.0, 0, 0], [0, 0, d]], dtype=torch.float64)
            sides.append(derivatives(fn, x, forces_only(len(x)))[level])
        for k, (left, right) in enumerate(zip(*sides)):
            if level == 0 or k != (6 if level == 1 else 8):  # the gradient of the table falls on another interval
                assert error(left, right) < 1e-6


@pytest.mark.parametrize("kind", ["table", "rows"])
def test_attention_weighs_pairs_beyond_the_cutoff_with_zero(kind):
    near, far = (graph_batch([random_molecule(6)], r) for r in (CUTOFF, 20.0))
    assert far.n_edges > near.n_edges
    x = inputs(near, "odd", kind)
    results = []
    for b in (near, far):
        if kind == "rows":
            d = reference.edge_geometry(b.pos, b.cell, b.shift, *edge_arguments(b), b.batch)[1]
            x[6] = torch.sin(d[:, None] * torch.arange(30) / 7)
        fn = attention(ops.equivariant_attention, b, shape("odd"), kind)
        (out, first, _second) = derivatives(fn, x, forces_only(len(x)))
        results.append([*out, *first[:6], *first[7:]])
    for a, b in zip(*results):
        assert error(b, a) < 1e-12


@pytest.mark.parametrize("kind", ["table", "rows"])
def test_attention_writes_every_element_of_its_outputs(kind, monkeypatch):
    def poisoned(like, **kwargs):
        return torch.full_like(like, float("nan"), **kwargs)

    b = BATCHES["isolated"]
    fn, x = attention(ops.equivariant_attention, b, shape("odd"), kind), inputs(b, "odd", kind)
    clean = derivatives(fn, x, forces_only(len(x)))
    module = sys.modules["pyff.ops.equivariant_attention"]
    monkeypatch.setattr(module.torch, "empty_like", poisoned)
    monkeypatch.setattr(torch.Tensor, "new_empty", lambda self, *s: self.new_full(_sizes(s), float("nan")))
    for level, again in zip(clean, derivatives(fn, x, forces_only(len(x)))):
        for a, b_ in zip(level, again):
            assert torch.equal(a, b_)


def _sizes(s):
    return s[0] if len(s) == 1 and not isinstance(s[0], int) else s


@pytest.mark.parametrize("kind", ["table", "warped", "rows"])
def test_attention_accepts_non_contiguous_tensors(kind):
    b = BATCHES["molecules"]
    x, g = inputs(b, "odd", kind), edge_arguments(b)
    vec = reference.edge_geometry(b.pos, b.cell, b.shift, *g, b.batch)[0]
    if kind == "rows":
        x[6] = x[6][torch.minimum(torch.arange(b.n_edges), b.edge_rev)]
    results = [
        ops.equivariant_attention(
            tuple(map(change, x[1:6])), change(x[7]), change(x[6]), tuple(map(change, x[8:])), change(vec),
            *map(change, g), shape("odd"), table=grid(kind),
        )
        for change in (lambda y: y, strided)
    ]  # fmt: skip
    for a, b_ in zip(*results):
        assert torch.equal(a, b_)


def plain_arguments():
    b = BATCHES["crystal"]
    x, g = inputs(b, "odd", "table"), edge_arguments(b)
    vec = reference.edge_geometry(b.pos, b.cell, b.shift, *g, b.batch)[0]
    names = ("q1", "k1", "v1", "q2", "k2", "radial", "ev", "ws1", "bs1", "ws2", "bs2")
    graph = dict(zip(("row_ptr", "idx_i", "idx_j", "edge_rev"), g))
    return dict(zip(names, x[1:])) | {"vec": vec} | graph


def call_with(a, attention_shape, table=TABLE):
    return ops.equivariant_attention(
        tuple(a[k] for k in ("q1", "k1", "v1", "q2", "k2")), a["ev"], a["radial"],
        tuple(a[k] for k in ("ws1", "bs1", "ws2", "bs2")), a["vec"], a["row_ptr"], a["idx_i"], a["idx_j"],
        a["edge_rev"], attention_shape, table=table,
    )  # fmt: skip


@pytest.mark.parametrize("name, change, error_type, message", [
    ("q1", lambda x: x.half(), TypeError, "q1 must be float32 or float64"),
    ("k2", lambda x: x.float(), TypeError, "k2 must be float64"),
    ("v1", lambda x: x[:, :-1], ValueError, "v1 must have shape"),
    ("ev", lambda x: x[:, :-1], ValueError, r"ev must have shape \(8, 15\)"),
    ("radial", lambda x: x[:, :5], ValueError, "radial must have shape"),
    ("ws1", lambda x: x[..., :-1], ValueError, "ws1 must have shape"),
    ("bs2", lambda x: x[:1], ValueError, "bs2 must have shape"),
    ("vec", lambda x: x.float(), TypeError, "vec must be float64"),
    ("edge_rev", lambda x: x[:-1], ValueError, "edge_rev must have shape"),
    ("idx_j", lambda x: x.int(), TypeError, "idx_j must be int64"),
])  # fmt: skip
def test_attention_names_a_wrong_argument(name, change, error_type, message):
    arguments = plain_arguments()
    arguments[name] = change(arguments[name])
    with pytest.raises(error_type, match=message):
        call_with(arguments, shape("odd"))


def test_attention_names_a_wrong_setting():
    a = plain_arguments()
    cutoff = ops.Cutoff("cosine", CUTOFF)
    with pytest.raises(ValueError, match=r"n_heads must divide the features; received 4 with features \[N, 15\]"):
        call_with(a, ops.AttentionShape((2, 1, 3), 4, cutoff))
    with pytest.raises(ValueError, match="the number of degrees must divide the features; received 2"):
        call_with(a, ops.AttentionShape((2, 1), 5, cutoff))
    with pytest.raises(ValueError, match="positive spacing"):
        call_with(a, shape("odd"), (0.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="radial must have shape"):
        call_with(a, shape("odd"), None)
    with pytest.raises(ValueError, match="ev and spherical must be given together"):
        call_with(a | {"ev": None}, shape("odd"))
    with pytest.raises(ValueError, match=r"degrees must be one or more numbers in 1\.\.4"):
        ops.AttentionShape((1, 5), 1, cutoff)
