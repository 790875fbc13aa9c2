"""pytest-benchmark suite of the ops: pytest benchmarks/bench_ops.py --benchmark-json out.json

Each op runs forward, force backward and the backward of a force loss, on the graphs of _systems.workloads().
"""

from __future__ import annotations

import pytest
import torch
from _systems import workloads

from pyff import ops

F, CUTOFF, INTERVALS = 128, 5.0, 95
SHAPE = ops.FilterShape(ops.GaussianBasis(0.0, CUTOFF / 19, 0.5 * (19 / CUTOFF) ** 2, 20), ops.Cutoff("cosine", CUTOFF))
WORKLOADS = workloads()


def draw(*shape, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def graph(b):
    return b.row_ptr, b.idx_i, b.idx_j, b.edge_rev


def edge_geometry(b):
    pos = b.pos.clone().requires_grad_()
    return [pos], lambda: ops.edge_geometry(pos, b.cell, b.shift, *graph(b), b.batch)[1][:, None], []


def convolution(b, dtype, op):
    d = ops.edge_geometry(b.pos, b.cell, b.shift, *graph(b), b.batch)[1].requires_grad_()
    h = draw(b.n_atoms, F, dtype=dtype).requires_grad_()
    if op == "cfconv_table":
        coef = draw(INTERVALS, 6, F, dtype=dtype).requires_grad_()
        return [h, d], lambda: ops.cfconv_table(h, d, coef, *graph(b), 0.0, CUTOFF / INTERVALS), [coef]
    w = [x.requires_grad_() for x in (draw(F, 20, dtype=dtype), draw(F, dtype=dtype), draw(F, F, dtype=dtype) / 11,
                                      draw(F, dtype=dtype))]  # fmt: skip
    return [h, d], lambda: ops.cfconv(h, d, tuple(w), *graph(b), SHAPE), w


ATTENTION = ops.AttentionShape((1, 2, 3, 4), 4, ops.Cutoff("cosine", CUTOFF), 13.0)


def attention(b, op=ops.equivariant_attention):
    """One SO3krates layer of SO3LR's sizes; op: the kernel or its plain-torch twin."""
    hidden, m = 32, ATTENTION.n_components
    vec = ops.edge_geometry(b.pos, b.cell, b.shift, *graph(b), b.batch)[0].requires_grad_()
    features = [draw(b.n_atoms, F).requires_grad_() for _ in range(5)]
    ev = draw(b.n_atoms, m).requires_grad_()
    coef = (0.1 * draw(INTERVALS, 6, 2 * F)).requires_grad_()
    sizes = ((2, hidden, 4), (2, hidden), (2, F, hidden), (2, F))
    w = [(draw(*size) / hidden**0.5).requires_grad_() for size in sizes]

    def run():
        table = (0.0, CUTOFF / INTERVALS, 0.0)
        return torch.cat(op(tuple(features), ev, coef, tuple(w), vec, *graph(b), ATTENTION, table=table), 1)

    return [*features, ev, vec], run, [coef, *w]


def bias_activation(b, dtype):
    x, bias = draw(b.n_atoms, F, dtype=dtype).requires_grad_(), draw(F, dtype=dtype).requires_grad_()
    return [x], lambda: ops.bias_activation(x, bias, "ssp"), [bias]


def radial(b, op, what, dtype=torch.float32):
    d = ops.edge_geometry(b.pos, b.cell, b.shift, *graph(b), b.batch)[1].requires_grad_()
    return [d], lambda: op(d, what, dtype=dtype), []


def filter_nodes(b):
    nodes = torch.linspace(0.0, CUTOFF - 1e-9, INTERVALS + 1, dtype=torch.float64)
    w = [draw(*s, dtype=torch.float64).requires_grad_() for s in ((F, 20), (F,), (F, F), (F,))]
    return w, lambda: ops.filter_nodes(tuple(w), nodes, SHAPE), []


CASES = {
    "radial_basis-f32": lambda b: radial(b, ops.radial_basis, SHAPE.basis),
    "cutoff_function-f32": lambda b: radial(b, ops.cutoff_function, SHAPE.cutoff),
    "filter_nodes-f64": filter_nodes,
    "edge_geometry": edge_geometry,
    **{f"cfconv_table-{t}": lambda b, d=d: convolution(b, d, "cfconv_table") for t, d in (("f32", torch.float32),
                                                                                    ("f64", torch.float64))},
    "equivariant_attention-f32": attention,
    "equivariant_attention-f32-twin": lambda b: attention(b, ops.reference.equivariant_attention),
    "cfconv-f32": lambda b: convolution(b, torch.float32, "cfconv"),
    "bias_activation-f32": lambda b: bias_activation(b, torch.float32),
}  # fmt: skip


@pytest.mark.parametrize("workload", WORKLOADS)
@pytest.mark.parametrize("level", ["forward", "forces", "training"])
@pytest.mark.parametrize("case", CASES)
def test_op(benchmark, case, level, workload):
    inputs, op, parameters = CASES[case](WORKLOADS[workload])

    def run():
        y = op()
        if level == "forward":
            return
        grads = torch.autograd.grad(y.sum(), inputs, create_graph=level == "training")
        if level == "training":
            loss = y.square().sum() + sum(g.square().sum() for g in grads)
            torch.autograd.backward(loss, inputs=parameters or inputs)

    benchmark.extra_info.update(edges=WORKLOADS[workload].n_edges, threads=torch.get_num_threads())
    benchmark.pedantic(run, rounds=10, warmup_rounds=2)
