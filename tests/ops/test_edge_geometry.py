from __future__ import annotations

import numpy as np
import pytest
import torch
from _graphs import edge_arguments, graph_batch, random_crystal, random_molecule

from pyff import ops
from pyff.ops import reference

from _twins import assert_equals_twin, strided  # isort: skip

CUTOFF = 3.0
BATCHES = {
    "crystal": graph_batch([random_crystal()], CUTOFF),
    "mixed": graph_batch([random_molecule(5), random_crystal(3, 3.0), random_molecule(1)], CUTOFF),
    "one_atom": graph_batch([random_molecule(1)], CUTOFF),
}


def call(fn, b, strained=True):
    def geometry(pos, cell, strain):
        return fn(pos, cell, b.shift, *edge_arguments(b), b.batch, strain=strain if strained else None)

    return geometry


def strain(b):
    g = torch.Generator().manual_seed(0)
    return 0.05 * torch.randn(b.n_systems, 3, 3, generator=g, dtype=torch.float64)


@pytest.mark.parametrize("name", BATCHES)
@pytest.mark.parametrize("strained", [True, False])
def test_edge_geometry_equals_twin(name, strained):
    b = BATCHES[name]
    assert_equals_twin(call(ops.edge_geometry, b, strained), call(reference.edge_geometry, b, strained),
                       [b.pos, b.cell, strain(b)])  # fmt: skip


def test_edge_geometry_passes_gradcheck_and_gradgradcheck():
    b = graph_batch([random_crystal(3, 3.2)], CUTOFF)
    inputs = [x.clone().requires_grad_() for x in (b.pos, b.cell, strain(b))]
    assert torch.autograd.gradcheck(call(ops.edge_geometry, b), inputs)
    assert torch.autograd.gradgradcheck(call(ops.edge_geometry, b), inputs, atol=1e-5)


def test_edge_geometry_is_exactly_antisymmetric():
    b = BATCHES["crystal"]
    vec, distance = ops.edge_geometry(b.pos, b.cell, b.shift, *edge_arguments(b), b.batch)
    assert torch.equal(vec[b.edge_rev], -vec)
    assert torch.equal(distance[b.edge_rev], distance)


def test_edge_geometry_of_coincident_atoms_has_finite_derivatives():
    b = graph_batch([([1, 1], np.zeros((2, 3)), np.zeros((3, 3)), False)], CUTOFF)
    pos = b.pos.clone().requires_grad_()
    distance = ops.edge_geometry(pos, b.cell, b.shift, *edge_arguments(b), b.batch)[1]
    grad = torch.autograd.grad(distance.sum(), pos, create_graph=True)[0]
    second = torch.autograd.grad((grad * 0.3).sum(), pos)[0]
    assert distance.tolist() == [0.0, 0.0]
    assert not grad.any() and not second.any()


def test_edge_geometry_refuses_single_precision_positions():
    b = BATCHES["crystal"]
    with pytest.raises(TypeError, match="pos must be float64"):
        ops.edge_geometry(b.pos.float(), b.cell, b.shift, *edge_arguments(b), b.batch)


def test_edge_geometry_accepts_non_contiguous_tensors():
    b = BATCHES["mixed"]
    args = (b.pos, b.cell, b.shift, *edge_arguments(b), b.batch)
    for dense, loose in zip(ops.edge_geometry(*args), ops.edge_geometry(*map(strided, args))):
        assert torch.equal(dense, loose)


def test_edge_geometry_of_a_huge_row_equals_twin():
    """300 atoms within one cutoff: 299 edges a row, and enough edges for the second thread."""
    rng = np.random.default_rng(0)
    b = graph_batch([(np.full(300, 1), rng.random((300, 3)), np.zeros((3, 3)), False)], CUTOFF)
    assert b.n_edges == 300 * 299
    assert_equals_twin(call(ops.edge_geometry, b, False), call(reference.edge_geometry, b, False),
                       [b.pos, b.cell, strain(b)])  # fmt: skip
