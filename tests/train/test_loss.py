"""The loss against a hand computation, value and gradient, with labels missing here and there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _graphs import random_crystal, random_molecule
from _pair_model import PairConfig, PairModel

from pyff.batch import System
from pyff.train.graphs import GraphStore
from pyff.train.loss import Loss
from pyff.train.metrics import predict

RNG = np.random.default_rng(3)


def mixed_systems() -> list[System]:
    """Energy and forces; energy only; forces only; nothing; periodic with stress."""
    full, energy, forces, none = (System(*random_molecule(n, seed=n)) for n in (4, 5, 3, 6))
    crystal = System(*random_crystal(4, seed=9))
    stress = RNG.normal(size=(3, 3))
    return [
        full.with_labels(energy=0.3, forces=RNG.normal(size=(4, 3))),
        energy.with_labels(energy=-0.4),
        forces.with_labels(forces=RNG.normal(size=(3, 3))),
        none,
        crystal.with_labels(energy=1.0, forces=RNG.normal(size=(4, 3)), stress=stress + stress.T),
    ]


def model() -> PairModel:
    return PairModel(PairConfig(cutoff=3.0), elements=(1, 6, 8)).double()


def by_hand(net: PairModel, systems: list[System], loss: Loss) -> torch.Tensor:
    """Frame by frame, with single-structure batches and plain sums."""
    energy, forces, stress = [], [], []
    for system in systems:
        graph, _ = GraphStore([system], net.needs).batch([0])
        want = ["energy", "forces", *(["stress"] if "stress" in system.labels else [])]
        out, n = net(graph, want), len(system)
        if "energy" in system.labels:
            energy.append((out.energy[0] - float(system.labels["energy"])) ** 2 / n)
        if "forces" in system.labels:
            forces.extend((out.forces - torch.tensor(system.labels["forces"])).ravel() ** 2)
        if "stress" in system.labels:
            error = (out.stress[0] - torch.tensor(system.labels["stress"])) * np.abs(np.linalg.det(system.cell))
            stress.extend(error.ravel() ** 2 / n)
    mean = lambda values: sum(values) / len(values)  # noqa: E731
    return loss.energy * mean(energy) + loss.forces * mean(forces) + (loss.stress * mean(stress) if stress else 0.0)


@pytest.mark.parametrize("weights", [(0.3, 1.0, 0.0), (1.0, 0.2, 0.05)])
def test_masked_loss_and_gradient_equal_hand_computation(weights):
    systems, net, loss = mixed_systems(), model(), Loss(*weights)
    parameters = list(net.parameters())
    graph, labels = GraphStore(systems, net.needs).batch(range(len(systems)))
    value, terms = loss(net(graph, loss.want), labels)
    expected = by_hand(net, systems, loss)
    assert value.item() == pytest.approx(expected.item(), rel=1e-12)
    assert set(terms) == {n for n, w in zip(("energy", "forces", "stress"), weights) if w}
    got = torch.autograd.grad(value, parameters, allow_unused=True)
    for a, b in zip(got, torch.autograd.grad(expected, parameters, allow_unused=True)):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_loss_without_any_label_is_zero_and_moves_nothing():
    net, loss = model(), Loss(1.0, 1.0, 0.0)
    graph, labels = GraphStore([mixed_systems()[3]], net.needs).batch([0])
    value, terms = loss(net(graph, loss.want), labels)
    grads = torch.autograd.grad(value, list(net.parameters()), allow_unused=True)
    assert value.item() == 0 and not terms and all(g is None or not g.any() for g in grads)


def test_loss_of_predictions_equals_the_loss_of_one_batch():
    systems, net, loss = mixed_systems(), model(), Loss(0.3, 1.0, 0.05)
    graph, labels = GraphStore(systems, net.needs).batch(range(len(systems)))
    value, _ = loss(net(graph, loss.want), labels)
    store = GraphStore(systems, net.needs)
    assert loss.of_predictions(predict(net, store, 2)) == pytest.approx(value.item(), rel=1e-12)
