from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from _pair_model import PairModel, morse_data

import pyff
from pyff.data import Dataset, from_arrays
from pyff.errors import UnseenElementError
from pyff.models.schnet import SchNet, SchNetConfig
from pyff.models.so3krates import SO3krates, SO3kratesConfig
from pyff.train import Metrics, TrainConfig, Trainer, predict
from pyff.train.finetune import finetune, refit_reference_energies, trainable_parameters

SMALL = SchNetConfig(n_features=16, n_interactions=3, n_rbf=8, cutoff=5.0)
QUICK = TrainConfig.recipe("finetune", n_train=40, n_atoms=4, max_epochs=4, lr=3e-3, batch_size=8)
LONGER = QUICK.model_copy(update={"max_epochs": 25, "energy_weight": 1.0})
SHIFT = -7.25  # eV per atom between the zeros of the two data sets


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    """A model file trained on Morse clusters of H and C."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("parent")
    torch.manual_seed(0)
    model = SchNet(SMALL, (1, 6))
    config = TrainConfig(max_epochs=12, lr=0.01, batch_size=8, schedule="cosine", checkpoint_interval=1)
    Trainer(model, config, folder / "run", quiet=True).fit(morse_data(60), morse_data(10, seed=1))
    model.info = {"origin": "a test"}
    pyff.save(model, folder / "parent.safetensors")
    return folder / "parent.safetensors"


def stretched(n: int, seed: int) -> Dataset:
    """The same clusters with another zero of energy and stiffer forces: something to adapt to."""
    data = morse_data(n, seed=seed)
    frames = [s.with_labels(energy=1.2 * s.labels["energy"] + 4 * SHIFT, forces=1.2 * s.labels["forces"]) for s in data]
    return Dataset(tuple(frames), data.names)


def weights(model) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize(
    ("strategy", "prefixes"),
    [
        ("full", ("",)),
        ("last_layer", ("interactions.2.",)),
        ("final_mlp", ("readout.",)),
        ("first_layer+final_mlp", ("interactions.0.", "readout.")),
    ],
)
def test_finetune_changes_the_chosen_parts_only_and_improves(parent, tmp_path, strategy, prefixes):
    before = weights(pyff.load(parent))
    tuned = finetune(
        parent, stretched(40, 5), stretched(10, 6), tmp_path, strategy=strategy, test=stretched(20, 7), config=LONGER,
        quiet=True,
    )  # fmt: skip
    for name, weight in weights(tuned.model).items():
        changed = not torch.equal(weight, before[name])
        # the last bias of the readout shifts energies: its gradient may vanish, others' do not
        assert changed == name.startswith(prefixes) or (name.startswith(prefixes) and weight.numel() == 1), name
    old, new = Metrics.of(tuned.before), Metrics.of(tuned.after)
    assert new.n_frames == 20 and new.forces.rmse < old.forces.rmse and new.energy.rmse < old.energy.rmse
    assert all(p.requires_grad for p in tuned.model.parameters())
    assert tuned.report.n_parameters == sum(p.numel() for n, p in before.items() if n.startswith(prefixes))


def test_finetuned_model_remembers_its_parent(parent, tmp_path):
    tuned = finetune(
        parent, stretched(10, 5), stretched(5, 6), tmp_path, strategy="final_mlp", config=QUICK, quiet=True
    )
    pyff.save(tuned.model, tmp_path / "tuned.safetensors")
    expected = hashlib.sha256(parent.read_bytes()).hexdigest()
    assert pyff.load(tmp_path / "tuned.safetensors").info["parent"] == {
        "file": "parent.safetensors", "sha256": expected, "strategy": "final_mlp", "info": {"origin": "a test"},
    }  # fmt: skip


def test_refit_moves_energies_to_the_zero_of_the_data_and_leaves_forces(parent):
    model, data = pyff.load(parent), morse_data(20, seed=3, shift=SHIFT)
    before = predict(model, data)
    text = refit_reference_energies(model, data)
    after = predict(model, data)
    assert (
        abs(np.mean(after.energy - after.energy_label)) < 1e-6 < 1 < abs(np.mean(before.energy - before.energy_label))
    )
    np.testing.assert_array_equal(after.forces, before.forces)
    assert "H -7." in text and "C -7." in text and "mean per atom" in text


def test_refit_finds_one_energy_per_element_where_compositions_differ(parent):
    model = pyff.load(parent)
    exact = {1: -13.5, 6: 2.25}
    compositions = ([1, 1, 1, 6], [1, 6, 6, 6], [1, 1, 6, 6])
    frames = []
    for k, Z in enumerate(compositions):
        data = from_arrays(Z, [morse_data(1, seed=k)[0].pos], [0.0], units="eV,Angstrom")
        label = predict(model, data).energy[0] + sum(exact[z] for z in Z)
        frames.append(data[0].with_labels(energy=label))
    refit_reference_energies(model, Dataset(tuple(frames), ("a", "b", "c")))
    assert model.reference_energy == pytest.approx(exact, abs=1e-5)


def test_refit_keeps_the_energies_of_elements_the_data_lack(parent):
    model = pyff.load(parent)
    model.set_reference_energy({1: -1.0, 6: -2.0})
    data = from_arrays([1, 1], [[[0, 0, 0], [0, 0, 1.5]]], [5.0], units="eV,Angstrom")
    refit_reference_energies(model, data)
    assert model.reference_energy[6] == -2.0 and model.reference_energy[1] != -1.0
    forces_only = from_arrays([1, 1], [[[0, 0, 0], [0, 0, 1.5]]], forces=np.zeros((1, 2, 3)), energy=None,
                              units="eV,Angstrom", target=[0.0])  # fmt: skip
    assert "no frame has an energy" in refit_reference_energies(model, forces_only)


def test_finetune_refuses_elements_the_parent_does_not_know(parent, tmp_path):
    water = from_arrays([8, 1, 1], [[[0, 0, 0], [0, 0, 1.0], [0, 1.0, 0]]], [0.0], units="eV,Angstrom", name="water")
    with pytest.raises(UnseenElementError, match=r"valid holds O in 1 frames \(water\[0\]\), but parent.safe"):
        finetune(parent, morse_data(5), water, tmp_path)


def test_finetune_gives_back_what_the_caller_froze(parent, tmp_path):
    model = pyff.load(parent)
    frozen = next(name for name, _ in model.named_parameters())
    model.get_parameter(frozen).requires_grad_(False)
    quick = QUICK.model_copy(update={"max_epochs": 1})
    finetune(model, stretched(8, 5), stretched(4, 6), tmp_path, strategy="final_mlp", config=quick, quiet=True)
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == [frozen]


def test_finetune_unknown_strategy_lists_those_of_the_model(parent, tmp_path):
    with pytest.raises(ValueError, match="one of full, final_mlp, first_layer, last_layer for this schnet model"):
        finetune(parent, morse_data(5), morse_data(5), tmp_path, strategy="last_layer+everything")
    # a model without layers and readouts can be trained as a whole only
    assert trainable_parameters(PairModel(), "full") == [n for n, _ in PairModel().named_parameters()]
    with pytest.raises(ValueError, match="one of full for this toy_pair model"):
        trainable_parameters(PairModel(), "last_layer")


def test_strategies_of_so3krates_name_its_layers_and_readouts():
    config = SO3kratesConfig(n_features=8, n_heads=2, degrees=(1,), n_layers=3, charges=True, hirshfeld=True)
    model = SO3krates(config, (1, 6))
    tuned = trainable_parameters(model, "last_layer+final_mlp")
    assert {name.split(".")[0] for name in tuned} >= {"layers", "readout", "charge_readout", "hirshfeld_readout"}
    assert {name.split(".")[1] for name in tuned if name.startswith("layers.")} == {"2"}
    assert {name.split(".")[1] for name in trainable_parameters(model, "first_layer")} == {"0"}
    assert trainable_parameters(model, "full") == [name for name, _ in model.named_parameters()]


def test_finetune_resumed_equals_one_that_never_stopped(parent, tmp_path):
    data = stretched(20, 5), stretched(5, 6)

    def tune(folder, epochs, **options):
        config = TrainConfig(**{**QUICK.model_dump(), "schedule": "exponential", "max_epochs": epochs})
        return finetune(parent, *data, tmp_path / folder, strategy="last_layer", config=config, quiet=True, **options)

    whole = tune("whole", 4)
    tune("parts", 2)
    parts = tune("parts", 4, resume=True)
    assert parts.report.epochs == 4
    a, b = weights(whole.model), weights(parts.model)
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_finetune_is_at_the_front_door(parent, tmp_path):
    assert pyff.finetune is finetune
    model = pyff.load(parent)
    tuned = pyff.finetune(model, stretched(10, 5), stretched(5, 6), tmp_path, config=QUICK, quiet=True)
    assert tuned.model is model and model.info["parent"]["file"] is None
