"""Neighbor lists: pytest benchmarks/bench_neighbors.py. Ratios to other programs: compare_neighbors.py."""

from __future__ import annotations

import _systems
import numpy as np
import pytest
import torch

from pyff import neighbor_list, ops

CUTOFF = 5.0
STRUCTURES = {
    "molecule 21": _systems.molecule(),
    "skewed 12": _systems.skewed(),
    "water 99": _systems.water(99),
    "water 999": _systems.water(999),
    "water 9999": _systems.water(9999),
    "water 99999": _systems.water(99999),
}


@pytest.fixture(params=STRUCTURES)
def structure(request):
    return STRUCTURES[request.param]


def tensors(atoms):
    return torch.tensor(atoms.positions), torch.tensor(atoms.cell.array), torch.tensor(atoms.pbc)


def test_numpy_full_list(benchmark, structure):
    """i, j, S, D and d, fresh arrays."""
    arrays = benchmark(
        neighbor_list, "ijSDd", positions=structure.positions, cell=structure.cell.array, pbc=structure.pbc,
        cutoff=CUTOFF,
    )  # fmt: skip
    benchmark.extra_info["pairs"] = len(arrays[0])


def test_tensor_list_with_reversed_edges(benchmark, structure):
    pos, cell, pbc = tensors(structure)
    benchmark.extra_info["pairs"] = len(benchmark(ops.neighbor_list, pos, cell, pbc, CUTOFF).idx_i)


def test_tensor_batch_of_64_molecules(benchmark):
    pos = torch.tensor(np.concatenate([_systems.molecule(seed).positions for seed in range(64)]))
    ptr = torch.arange(0, 64 * 21 + 1, 21)
    benchmark.extra_info["pairs"] = len(benchmark(ops.neighbor_list, pos, cutoff=CUTOFF, ptr=ptr).idx_i)


def test_verlet_list_reused(benchmark, structure):
    pos, cell, pbc = tensors(structure)
    verlet = ops.VerletList(CUTOFF, skin=0.5)
    verlet.update(pos, cell, pbc)
    _, rebuilt = benchmark(verlet.update, pos + 0.01, cell, pbc)
    assert not rebuilt
