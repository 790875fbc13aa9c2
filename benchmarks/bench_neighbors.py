"""Neighbor lists: pytest benchmarks/bench_neighbors.py. Ratios to other programs: compare_neighbors.py."""

from __future__ import annotations

import neighbor_systems as systems
import numpy as np
import pytest
import torch

from pyff import neighbor_list, ops

CUTOFF = 5.0
STRUCTURES = {
    "molecule 21": systems.molecule(),
    "skewed 12": systems.skewed(),
    "water 99": systems.water(99),
    "water 999": systems.water(999),
    "water 9999": systems.water(9999),
    "water 99999": systems.water(99999),
}


@pytest.fixture(params=STRUCTURES)
def structure(request):
    return STRUCTURES[request.param]


def test_numpy_full_list(benchmark, structure):
    """i, j, S, D and d, fresh arrays."""
    pbc = np.array([structure.periodic] * 3)
    arrays = benchmark(neighbor_list, "ijSDd", positions=structure.pos, cell=structure.cell, pbc=pbc, cutoff=CUTOFF)
    benchmark.extra_info["pairs"] = len(arrays[0])


def test_tensor_list_with_reversed_edges(benchmark, structure):
    pos, cell = torch.tensor(structure.pos), torch.tensor(structure.cell)
    pbc = torch.tensor([structure.periodic] * 3)
    benchmark.extra_info["pairs"] = len(benchmark(ops.neighbor_list, pos, cell, pbc, CUTOFF).idx_i)


def test_tensor_batch_of_64_molecules(benchmark):
    pos = torch.tensor(np.concatenate([systems.molecule(seed).pos for seed in range(64)]))
    ptr = torch.arange(0, 64 * 21 + 1, 21)
    benchmark.extra_info["pairs"] = len(benchmark(ops.neighbor_list, pos, cutoff=CUTOFF, ptr=ptr).idx_i)


def test_verlet_list_reused(benchmark, structure):
    pos, cell = torch.tensor(structure.pos), torch.tensor(structure.cell)
    pbc = torch.tensor([structure.periodic] * 3)
    verlet = ops.VerletList(CUTOFF, skin=0.5)
    verlet.update(pos, cell, pbc)
    _, rebuilt = benchmark(verlet.update, pos + 0.01, cell, pbc)
    assert not rebuilt
