"""EwaldElectrostatics: which structures it takes, and that it passes on what it is given."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pyff import ops
from pyff.batch import Geometry, Needs, System
from pyff.data.collate import collate
from pyff.models.terms import Electrostatics, EwaldElectrostatics

CELL = np.array([[6.0, 0.0, 0.0], [1.5, 5.5, 0.0], [-1.0, 1.2, 6.5]])


def system(pbc=True, n=6, scale=1.0):
    rng = np.random.default_rng(n)
    return System(np.full(n, 8), scale * rng.random((n, 3)) @ CELL, scale * CELL, np.broadcast_to(pbc, 3))


def batch_of(*systems, long_range_cutoff=None):
    batch = collate(systems, Needs(3.0, long_range_cutoff))
    vec, distance = ops.edge_geometry(
        batch.pos, batch.cell, batch.shift, batch.row_ptr, batch.idx_i, batch.idx_j, batch.edge_rev, batch.batch
    )
    return batch, Geometry(batch.pos, batch.cell, vec, distance)


def charges(batch, dtype=torch.float64):
    return torch.linspace(-0.6, 0.7, batch.n_atoms, dtype=dtype)


@pytest.mark.parametrize("length, cutoff", [(4.0, None), (None, 6.0)])
def test_energy_is_that_of_the_op(length, cutoff):
    batch, geometry = batch_of(system(), system(n=4), long_range_cutoff=cutoff)
    term = EwaldElectrostatics(length, cutoff, accuracy=1e-8)
    kind = {"kind": "point", "cutoff": cutoff} if length is None else {"kind": "damped", "length": length}
    q = charges(batch)
    want = ops.ewald_energy(batch.pos, batch.cell, batch.batch, q, accuracy=1e-8, **kind)
    torch.testing.assert_close(term(batch, geometry, q), want, rtol=1e-12, atol=1e-14)
    assert term(batch, geometry, q.float()).dtype == torch.float64
    assert "accuracy=1e-08" in repr(term)


def test_pairs_of_a_longer_list_weigh_nothing():
    term = EwaldElectrostatics(None, 5.0)
    energies = [term(*b, charges(b[0])) for b in (batch_of(system(), long_range_cutoff=r) for r in (5.0, 9.0))]
    torch.testing.assert_close(*energies, rtol=1e-13, atol=1e-14)


def test_a_large_cell_has_the_energy_of_open_space():
    """The neutral molecule's images are far away; what is left falls off as the cube of the box."""
    inside = system(n=6)
    q = torch.tensor([0.5, -0.5, 0.2, -0.4, 0.3, -0.1], dtype=torch.float64)
    open_batch, open_geometry = batch_of(System(inside.Z, inside.pos), long_range_cutoff=np.inf)
    want = float(Electrostatics(4.0)(open_batch, open_geometry, q).sum())
    differences = []
    for box in (40.0, 80.0):
        batch, geometry = batch_of(System(inside.Z, inside.pos, box * np.eye(3), np.ones(3, bool)))
        differences.append(abs(float(EwaldElectrostatics(4.0)(batch, geometry, q).sum()) - want))
    assert differences[0] < 1e-3 and differences[1] < differences[0] / 6


@pytest.mark.parametrize("pbc, advice", [
    (False, r"structure 1 has pbc=\[False, False, False\]: use Electrostatics with all pairs"),
    ([True, True, False], "three times its thickness of vacuum"),
])  # fmt: skip
def test_structures_that_are_not_fully_periodic_are_refused_with_advice(pbc, advice):
    batch, geometry = batch_of(system(), system(pbc))
    with pytest.raises(ValueError, match=advice):
        EwaldElectrostatics(4.0)(batch, geometry, charges(batch))


def test_missing_pairs_are_named():
    batch, geometry = batch_of(system())
    with pytest.raises(ValueError, match="batch must hold long-range pairs"):
        EwaldElectrostatics(None, 5.0)(batch, geometry, charges(batch))


@pytest.mark.parametrize("arguments, message", [
    ((None,), "point charges .* which need it"), ((4.0, 9.0), "belongs to point charges"),
    ((-1.0,), "length must be positive"),
])  # fmt: skip
def test_impossible_options_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        EwaldElectrostatics(*arguments)
    with pytest.raises(ValueError, match="method must be one of"):
        EwaldElectrostatics(4.0, method="p3m")
    with pytest.raises(ValueError, match="accuracy must lie in"):
        EwaldElectrostatics(4.0, accuracy=2.0)
