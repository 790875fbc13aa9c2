"""Registered ops: torch.library's own checks, equality with eager mode, torch.compile and torch.export."""

from __future__ import annotations

import pytest
import torch
from _graphs import edge_arguments, graph_batch, random_molecule

from pyff import ops
from pyff.ops.bias_activation import ACTIVATIONS

CUTOFF = 3.0
BATCH = graph_batch([random_molecule(5), random_molecule(4, 2)], CUTOFF)


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def samples(differentiable: bool):
    """Arguments of every registered op, in schema order."""
    g = edge_arguments(BATCH)
    d = ops.edge_geometry(BATCH.pos, BATCH.cell, BATCH.shift, *g, BATCH.batch)[1]
    f, n_rbf = 4, 3
    h = numbers(BATCH.n_atoms, f)
    leaf = lambda x: x.clone().requires_grad_(differentiable)  # noqa: E731
    weights = (numbers(f, n_rbf), numbers(f), numbers(f, f), numbers(f))
    vec = ops.edge_geometry(BATCH.pos, BATCH.cell, BATCH.shift, *g, BATCH.batch)[0]
    n_hidden, m = 3, 8  # degrees 1 and 2
    attention = [numbers(*size) for size in (
        *[(BATCH.n_atoms, f)] * 5, (BATCH.n_atoms, m), (10, 6, 2 * f),
        (2, n_hidden, 2), (2, n_hidden), (2, f, n_hidden), (2, f),
    )] + [vec]  # fmt: skip
    return {
        "edge_geometry": (leaf(BATCH.pos), leaf(BATCH.cell), BATCH.shift, *g, BATCH.batch),
        "bias_activation": (leaf(h), leaf(numbers(f)), ACTIVATIONS["ssp"]),
        "radial_basis": (leaf(d), 0, 0.0, 0.5, 2.0, 5, torch.float64),
        "mesh_spread": (leaf(numbers(5)), leaf(numbers(5, 3).abs()), [8, 8, 10], 4),
        "mesh_gather": (leaf(numbers(8, 8, 10)), leaf(numbers(5, 3).abs()), 4),
        "cutoff_function": (leaf(d), 1, CUTOFF, 0.0, torch.float64),
        "cfconv_table": (leaf(h), leaf(d), leaf(numbers(10, 6, f)), *g, 0.0, CUTOFF / 10),
        "filter_nodes": (*map(leaf, weights), d.detach(), 0, 0.0, 1.5, 0.2, n_rbf, 1, CUTOFF, 0.0, 1, 0),
        "cfconv": (leaf(h), leaf(d), *map(leaf, weights), *g, 0, 0.0, 1.5, 0.2, n_rbf, 1, CUTOFF, 0.0, 1, 0),
        "equivariant_attention": (*map(leaf, attention), *g, [1, 2], 2, 1, CUTOFF, 0.0, 1.3, 2, 0.0, CUTOFF / 10, 0.0),
    }


@pytest.mark.parametrize("name", samples(False))
@pytest.mark.parametrize("differentiable", [False, True])
def test_registered_op_passes_opcheck(name, differentiable):
    args = samples(differentiable)[name]
    # the eager tests check gradients; here registration, schema, fakes and autograd wiring. The filters of a pair
    # are one quantity, so opcheck's own perturbations are not needed either.
    torch.library.opcheck(getattr(torch.ops.pyff, name).default, args,
                          test_utils=("test_schema", "test_autograd_registration", "test_faketensor"))  # fmt: skip


def energy_model(args, op):
    def energy(pos, h, coef):
        _vec, d = ops.edge_geometry(pos, BATCH.cell, BATCH.shift, *edge_arguments(BATCH), BATCH.batch)
        y = ops.cfconv_table(h, d, coef, *edge_arguments(BATCH), 0.0, CUTOFF / 10)
        return ops.bias_activation(y, h[0], "ssp").sum()

    return energy


def inputs():
    return BATCH.pos.clone().requires_grad_(), numbers(BATCH.n_atoms, 4), numbers(10, 6, 4)


def test_compiled_energy_and_forces_equal_eager_ones():
    energy = energy_model(None, None)
    pos, h, coef = inputs()
    eager = energy(pos, h, coef)
    compiled = torch.compile(energy, fullgraph=True, backend="aot_eager")(pos, h, coef)
    torch.testing.assert_close(compiled, eager, rtol=1e-14, atol=0)
    forces = [torch.autograd.grad(e, pos)[0] for e in (compiled, eager)]
    torch.testing.assert_close(*forces, rtol=1e-13, atol=1e-15)


def test_registered_and_eager_second_derivatives_agree():
    results = []
    for registered in (False, True):
        args = samples(True)["cfconv_table"]
        op = torch.ops.pyff.cfconv_table.default if registered else ops.cfconv_table
        h, d, coef = args[:3]
        first = torch.autograd.grad(op(*args).sin().sum(), d, create_graph=True)[0]
        results.append([first, *torch.autograd.grad((first**2).sum(), (h, coef))])
    for a, b in zip(*results):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-14)


def test_energy_model_exports():
    class Energy(torch.nn.Module):
        def forward(self, pos, h, coef):
            return energy_model(None, None)(pos, h, coef)

    args = tuple(x.detach() for x in inputs())
    program = torch.export.export(Energy(), args)
    torch.testing.assert_close(program.module()(*args), Energy()(*args), rtol=1e-14, atol=0)


class AttentionEnergy(torch.nn.Module):
    """Energy of one attention layer, as a function of positions and the op's other tensors."""

    def forward(self, pos, *tensors):
        g = edge_arguments(BATCH)
        vec = ops.edge_geometry(pos, BATCH.cell, BATCH.shift, *g, BATCH.batch)[0]
        shape = ops.AttentionShape((1, 2), 2, ops.Cutoff("cosine", CUTOFF), 1.3)
        features, ev, radial, spherical = tensors[:5], tensors[5], tensors[6], tensors[7:11]
        x, out = ops.equivariant_attention(
            features, ev, radial, spherical, vec, *g, shape, table=(0.0, CUTOFF / 10, 0.0)
        )
        return x.sin().sum() + out.sin().sum()


def attention_inputs():
    return [x.detach() for x in (BATCH.pos, *samples(False)["equivariant_attention"][:11])]


def test_compiled_attention_gives_the_gradients_of_the_eager_one():
    """Energy, and its gradients with respect to positions and a weight, through torch.compile."""
    results = []
    for energy in (AttentionEnergy(), torch.compile(AttentionEnergy(), fullgraph=True, backend="aot_eager")):
        x = attention_inputs()
        pos, weight = x[0].requires_grad_(), x[10].requires_grad_()
        value = energy(*x)
        results.append([value, *torch.autograd.grad(value, (pos, weight))])
    for a, b in zip(*results):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-13)


def test_registered_and_eager_attention_have_the_same_second_derivatives():
    results = []
    for registered in (False, True):
        args = samples(True)["equivariant_attention"]
        op = torch.ops.pyff.equivariant_attention.default if registered else _eager_attention
        loss = sum(y.sin().sum() for y in op(*args))
        q1, ev, ws2, vec = args[0], args[5], args[9], args[11]
        first = torch.autograd.grad(loss, (ev, vec), create_graph=True)
        antisymmetric = first[1] - first[1][BATCH.edge_rev]  # as the positions' gradient has it
        total = (first[0] ** 2).sum() + (antisymmetric**2).sum()
        results.append([*first, *torch.autograd.grad(total, (q1, ws2))])
    for a, b in zip(*results):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)


def _eager_attention(*args):
    shape = ops.AttentionShape((1, 2), 2, ops.Cutoff("cosine", CUTOFF), 1.3)
    return ops.equivariant_attention(args[:5], args[5], args[6], args[7:11], *args[11:16], shape, table=args[-3:])


def test_attention_energy_exports():
    x = tuple(attention_inputs())
    program = torch.export.export(AttentionEnergy(), x)
    torch.testing.assert_close(program.module()(*x), AttentionEnergy()(*x), rtol=1e-13, atol=0)
