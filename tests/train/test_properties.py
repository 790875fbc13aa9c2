"""Training on dipoles, charges, Hirshfeld ratios and a target; with energies, or without."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _graphs import random_crystal, random_molecule
from _pair_model import PairConfig, PairModel

from pyff.batch import Output, System
from pyff.data import Dataset, from_arrays
from pyff.errors import PyffError
from pyff.models.schnet import SchNet, SchNetConfig
from pyff.models.so3krates import SO3krates, SO3kratesConfig
from pyff.train import Metrics, TrainConfig, Trainer, evaluate, predict
from pyff.train.graphs import GraphStore
from pyff.train.labels import Labels
from pyff.train.loss import Loss

CHARGES = {1: 0.35, 8: -0.7}  # e, of water with bonds of their equilibrium length
SMALL = {"n_features": 16, "n_interactions": 1, "n_rbf": 8, "cutoff": 4.0}


def water(n: int, seed: int = 0, **labels: bool) -> Dataset:
    """Water whose charges grow with its bonds, and what follows from them."""
    rng = np.random.default_rng(seed)
    base = np.array([[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]])
    pos = base + rng.normal(scale=0.08, size=(n, 3, 3))
    bonds = np.linalg.norm(pos[:, 1:] - pos[:, :1], axis=-1)
    hydrogen = 0.35 + 0.4 * (bonds - 0.96)
    charges = np.concatenate([-hydrogen.sum(1, keepdims=True), hydrogen], axis=1)
    values = {
        "charges": charges,
        "dipole": np.einsum("mn,mnc->mc", charges, pos),
        "hirshfeld": np.concatenate([np.full((n, 1), 0.95), 0.6 - 0.5 * (bonds - 0.96)], axis=1),
        "target": bonds.mean(1) * 10,
    }
    return from_arrays([8, 1, 1], pos, units="eV,Angstrom", name="water", energy=np.zeros(n),
                       **{k: v for k, v in values.items() if labels.get(k)})  # fmt: skip


def config(**changes) -> TrainConfig:
    base = {"energy_weight": 0.0, "forces_weight": 0.0, "max_epochs": 40, "lr": 0.01, "schedule": "cosine"}
    return TrainConfig(**{**base, "batch_size": 8, "checkpoint_interval": 1, **changes})


@pytest.mark.parametrize("label", ["charges", "dipole"])
def test_trainer_learns_charges_and_dipoles_without_energies(tmp_path, label):
    train, valid = water(64, **{label: True}), water(16, seed=1, charges=True, dipole=True)
    torch.manual_seed(0)
    model = SchNet(SchNetConfig(**SMALL, dipole=True), (1, 8))
    report = Trainer(model, config(**{f"{label}_weight": 1.0}), tmp_path, quiet=True).fit(train, valid)
    m = evaluate(model, valid)
    # the spread of the charges of one element is 0.03 e: a model that knows elements only has that error
    assert m.charges.rmse < 0.01 and m.dipole.rmse < 0.015
    assert f"valid_{label}_mae" in report.history[-1] and "e*Angstrom" in m.table()
    assert report.valid.as_dict()[f"{label}_mae"] == pytest.approx(getattr(m, label).mae)


def test_trainer_learns_hirshfeld_ratios_and_dipoles_together(tmp_path):
    train, valid = (water(n, seed, hirshfeld=True, dipole=True) for n, seed in ((64, 0), (16, 1)))
    torch.manual_seed(0)
    options = {"n_features": 16, "n_heads": 2, "degrees": (1, 2), "n_layers": 1, "n_rbf": 8, "cutoff": 4.0}
    model = SO3krates(SO3kratesConfig(**options, charges=True, hirshfeld=True), (1, 8))
    settings = config(hirshfeld_weight=1.0, dipole_weight=1.0)
    Trainer(model, settings, tmp_path, quiet=True).fit(train, valid)
    m = evaluate(model, valid)
    # the spread of the ratios of one element is 0.04
    assert m.hirshfeld.rmse < 0.015 and m.dipole.rmse < 0.02 and m.hirshfeld.count == 48


def test_trainer_learns_an_intensive_target(tmp_path):
    train, valid = water(64, target=True), water(16, seed=1, target=True)
    torch.manual_seed(0)
    spread = np.std([float(s.labels["target"]) for s in train])
    model = SchNet(SchNetConfig(**SMALL, output="intensive", output_shift=9.6, output_scale=float(spread)), (1, 8))
    report = Trainer(model, config(target_weight=1.0), tmp_path, quiet=True).fit(train, valid)
    assert report.valid.target.rmse < 0.2 * report.valid.target.rms and report.valid.energy is None


def test_trainer_refuses_what_the_model_does_not_predict(tmp_path):
    model = SchNet(SchNetConfig(**SMALL), (1, 8))
    with pytest.raises(PyffError, match=r"charges_weight is 1.0, but this schnet model predicts atom_energy, energy"):
        Trainer(model, config(charges_weight=1.0), tmp_path, quiet=True).fit(water(4, charges=True), water(2))


def test_trainer_refuses_dipoles_where_frames_are_periodic(tmp_path):
    crystal = System([8, 1, 1], np.eye(3), np.eye(3) * 9, [True] * 3, labels={"energy": 0.0})
    mixed = Dataset((*water(3, dipole=True), crystal), ("a", "b", "c", "crystal"))
    model = SchNet(SchNetConfig(**SMALL, dipole=True), (1, 8))
    with pytest.raises(PyffError, match="1 frames are periodic and have no dipole moment: crystal"):
        Trainer(model, config(dipole_weight=1.0), tmp_path, quiet=True).fit(mixed, water(2, dipole=True))
    # measured on such data, the model is not asked for them either
    assert evaluate(model, mixed).dipole is None and evaluate(model, mixed).energy.count == 4


class Hirshfeld(PairModel):
    """Ratios that grow with the number of neighbors."""

    also_offers = frozenset({"hirshfeld"})
    offers = frozenset({"energy", "forces", "stress", "atom_energy", "hirshfeld"})

    def forward(self, batch, want=("energy",)):
        x = self.atom_outputs(batch, _geometry(batch)).energy.double()
        return Output(energy=x.new_zeros(batch.n_systems).index_add(0, batch.batch, x), hirshfeld=x)


def _geometry(batch):
    from types import SimpleNamespace

    vec = batch.pos[batch.idx_j] - batch.pos[batch.idx_i]
    return SimpleNamespace(distance=vec.norm(dim=1))


def mixed_systems() -> list[System]:
    rng = np.random.default_rng(5)
    molecules = [System(*random_molecule(n, seed=n)) for n in (4, 5, 3)]
    return [
        molecules[0].with_labels(energy=0.3, hirshfeld=rng.random(4), charges=rng.normal(size=4)),
        molecules[1].with_labels(energy=-0.4),
        molecules[2].with_labels(hirshfeld=rng.random(3)),
    ]


def test_loss_of_partly_labelled_properties_equals_hand_computation():
    systems, net = mixed_systems(), Hirshfeld(PairConfig(cutoff=3.0), elements=(1, 6, 8)).double()
    loss = Loss(energy=0.5, forces=0.0, stress=0.0, hirshfeld=2.0)
    store = GraphStore(systems, net.needs)
    graph, labels = store.batch([0, 1, 2])
    value, terms = loss(net(graph, loss.want), labels)
    out = net(graph)
    ratios = out.hirshfeld.split([4, 5, 3])
    errors = torch.cat([ratios[k] - torch.tensor(systems[k].labels["hirshfeld"]) for k in (0, 2)])
    energy = sum((out.energy[k] - float(systems[k].labels["energy"])) ** 2 / len(systems[k]) for k in (0, 1)) / 2
    assert set(terms) == {"energy", "hirshfeld"}
    assert value.item() == pytest.approx((0.5 * energy + 2 * (errors**2).mean()).item(), rel=1e-12)
    assert loss.of_predictions(predict(net, store, 2)) == pytest.approx(value.item(), rel=1e-12)
    value.backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())


def test_metrics_of_hirshfeld_ratios_count_labelled_atoms_only():
    p = predict(Hirshfeld(PairConfig(cutoff=3.0), elements=(1, 6, 8)).double(), GraphStore(mixed_systems(), NEEDS))
    m = Metrics.of(p)
    assert m.hirshfeld.count == 7 and m.charges is None and m.energy.count == 2
    assert [row[0] for row in m.rows()] == ["energy", "energy per atom", "Hirshfeld ratios"]


NEEDS = PairModel(PairConfig(cutoff=3.0)).needs


def test_labels_of_a_batch_hold_what_the_data_set_carries():
    made = [*mixed_systems(), System(*random_crystal(4, seed=9))]
    _, labels = GraphStore(made, NEEDS).batch([2, 0, 3])
    assert isinstance(labels, Labels) and set(labels.values) == {"energy", "charges", "hirshfeld"}
    assert labels.has["hirshfeld"].tolist() == [True, True, False] and not labels.has["dipole"].any()
    assert labels.rows("hirshfeld").tolist() == [True] * 7 + [False] * 4
    np.testing.assert_array_equal(labels.values["hirshfeld"][3:7], made[0].labels["hirshfeld"])
    assert torch.isnan(labels.values["charges"][:3]).all()
