"""pytest-benchmark suite of SchNet: energies and forces, and one training step.

    pytest benchmarks/bench_schnet.py --benchmark-json out.json

`compare_schnet.py` times the same workloads against SchNetPack, interleaved, with the errors.
"""

from __future__ import annotations

import pytest
import torch
from _systems import workloads

from pyff.models import SchNet, SchNetConfig

WORKLOADS = workloads()


def schnet(filters: str) -> SchNet:
    torch.manual_seed(0)
    model = SchNet(SchNetConfig(), elements=(1, 6, 8))
    model.filters = filters
    return model


def training_step(model, batch):
    parameters = list(model.parameters())
    optimizer = torch.optim.Adam(parameters, 1e-4, fused=True)
    targets = torch.zeros(batch.n_systems, dtype=torch.float64), torch.zeros_like(batch.pos)

    def step():
        out = model(batch)
        loss = ((out.energy - targets[0]) ** 2).mean() + ((out.forces - targets[1]) ** 2).mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss, inputs=parameters)
        optimizer.step()

    return step


@pytest.mark.parametrize("workload", WORKLOADS)
@pytest.mark.parametrize("filters", ["table", "exact"])
def test_energy_and_forces(benchmark, filters, workload):
    model, batch = schnet(filters), WORKLOADS[workload]
    with torch.no_grad():
        benchmark.pedantic(lambda: model(batch), rounds=10, warmup_rounds=2)


@pytest.mark.parametrize("workload", WORKLOADS)
@pytest.mark.parametrize("filters", ["table", "exact"])
def test_training_step(benchmark, filters, workload):
    benchmark.pedantic(training_step(schnet(filters), WORKLOADS[workload]), rounds=10, warmup_rounds=2)
