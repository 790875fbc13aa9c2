from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from _pair_model import PairConfig, PairModel, morse_data

import pyff
from pyff.data import Dataset, reference_energies
from pyff.errors import PyffError, UnseenElementError
from pyff.models.schnet import SchNet, SchNetConfig
from pyff.train import NonFiniteLossError, TrainConfig, Trainer, evaluate, load_checkpoint, read_history

FAST = TrainConfig(lr=0.01, max_epochs=3, batch_size=5, patience=None, checkpoint_interval=0)
TRAIN, VALID = morse_data(40), morse_data(10, seed=1)


def changed(config: TrainConfig, **values) -> TrainConfig:
    return TrainConfig(**{**config.model_dump(), **values})


def fit(tmp_path, config=FAST, model=None, train=TRAIN, valid=VALID, **options):
    model = model or PairModel()
    return model, Trainer(model, config, tmp_path / "run", quiet=True).fit(train, valid, **options)


def with_system(data: Dataset, index: int, **labels) -> Dataset:
    systems = list(data.systems)
    systems[index] = systems[index].with_labels(**{**systems[index].labels, **labels})
    return replace(data, systems=tuple(systems))


def test_trainer_learns_a_morse_potential(tmp_path):
    config = changed(FAST, max_epochs=60, schedule="cosine", ema_decay=0.98, checkpoint_interval=1)
    model = PairModel()
    before = evaluate(model, VALID)
    model, report = fit(tmp_path, config, model, morse_data(80))
    losses = [row["valid_loss"] for row in report.history]
    assert report.best_loss == min(losses) < losses[0] / 10
    assert report.valid.forces.rmse < before.forces.rmse / 10
    assert report.stopped == "max_epochs" and report.epochs == 60 and report.steps == 60 * 16
    test = evaluate(model, morse_data(20, seed=2))
    assert test.forces.rmse < 0.2 * test.forces.rms
    assert not model.training and "60 epochs" in report.text()


def test_trainer_writes_one_json_line_per_epoch(tmp_path):
    _, report = fit(tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert rows == list(report.history) and [r["epoch"] for r in rows] == [1, 2, 3]
    assert {"step", "seconds", "lr", "train_loss", "valid_loss", "valid_forces_mae", "best_loss"} <= set(rows[0])
    assert rows[-1]["best_loss"] == min(r["valid_loss"] for r in rows) == report.best_loss


def test_trainer_ends_with_the_averaged_weights_of_the_best_epoch(tmp_path):
    model, report = fit(tmp_path)
    best, _ = load_checkpoint(tmp_path / "run" / "best.safetensors")
    last, _ = load_checkpoint(tmp_path / "run" / "last.safetensors")
    for name, p in model.named_parameters():
        assert torch.equal(p, best[name])
        assert report.best_epoch == 3 and torch.equal(best[name], last[name])
    assert not torch.equal(last["training.raw.net.0.weight"], last["net.0.weight"])
    row = report.history[report.best_epoch - 1]
    assert row["valid_forces_mae"] == pytest.approx(report.valid.forces.mae, rel=1e-12)


def test_trainer_checkpoints_are_model_files_with_the_averaged_weights(tmp_path):
    data = {"train": morse_data(12), "valid": morse_data(4, seed=1)}
    config = SchNetConfig(n_features=8, n_interactions=1, n_rbf=6, cutoff=4.0)
    model = SchNet(config, [1, 6], {1: -13.6, 6: -1029.1})
    trained = Trainer(model, changed(FAST, max_epochs=3), tmp_path, quiet=True)
    report = trained.fit(**data)
    assert report.best_epoch == 3
    for name in ("best", "last"):
        loaded = pyff.load(tmp_path / f"{name}.safetensors")
        assert loaded.reference_energy == model.reference_energy and loaded.elements == model.elements
        assert loaded.state_dict().keys() == model.state_dict().keys()
        assert all(torch.equal(t, model.state_dict()[key]) for key, t in loaded.state_dict().items())
    tensors, _ = load_checkpoint(tmp_path / "last.safetensors")
    assert any(not torch.equal(tensors[f"training.raw.{n}"], p) for n, p in model.named_parameters())
    Trainer(model, changed(FAST, max_epochs=4), tmp_path, quiet=True).fit(**data, resume=True)


def test_trainer_leaves_the_global_random_stream_and_threads_alone(tmp_path):
    model = PairModel(PairConfig(dropout=0.2))
    torch.manual_seed(11)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    np.random.seed(5)
    numpy_before = np.random.get_state()[1].copy()
    fit(tmp_path, model=model)
    assert torch.equal(torch.get_rng_state(), before) and torch.get_num_threads() == threads
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)


def test_trainer_repeats_bitwise_with_the_same_seed(tmp_path):
    weights = []
    for k, seed in enumerate((0, 0, 1)):
        model, _ = fit(tmp_path / str(k), changed(FAST, seed=seed), PairModel(PairConfig(dropout=0.1)))
        weights.append(torch.cat([p.detach().ravel() for p in model.parameters()]))
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_trainer_does_not_differentiate_with_respect_to_positions(tmp_path, monkeypatch):
    asked = []
    original = torch.autograd.backward
    monkeypatch.setattr(torch.autograd, "backward", lambda *a, **k: (asked.append(k["inputs"]), original(*a, **k))[1])
    model, _ = fit(tmp_path, changed(FAST, max_epochs=1))
    assert asked and all({id(p) for p in a} == {id(p) for p in model.parameters()} for a in asked)


def test_trainer_early_stopping_counts_epochs_without_improvement(tmp_path):
    # labels far off: each step towards them takes the model away from the validation labels
    far = tuple(s.with_labels(energy=s.labels["energy"] + 500.0) for s in TRAIN)
    config = changed(FAST, max_epochs=100, patience=4, forces_weight=0.0, energy_weight=1.0, ema_decay=0.0)
    _, report = fit(tmp_path, config, train=replace(TRAIN, systems=far))
    assert report.stopped == "patience" and report.epochs == report.best_epoch + 4 < 100


def test_trainer_stops_when_the_time_is_used_up(tmp_path):
    config = changed(FAST, max_epochs=None, max_time=0.02, schedule="cosine")
    _, report = fit(tmp_path, config)
    assert report.stopped == "max_time" and 1.2 <= report.seconds < 6
    assert report.history[-1]["lr"] < 1e-4  # the cosine followed the time


def test_trainer_energies_of_minus_a_million_ev_keep_a_micro_ev_per_atom(tmp_path):
    predictions = []
    for k, shift in enumerate((0.0, -1e6 / 4)):
        train, valid = morse_data(40, shift=shift), morse_data(10, seed=1, shift=shift)
        model = PairModel(reference_energy=reference_energies(train).values)
        fit(tmp_path / str(k), FAST, model, train, valid)
        metrics = evaluate(model, valid)
        predictions.append(metrics)
        assert next(model.parameters()).dtype == torch.float32
    assert predictions[1].energy_per_atom.mae == pytest.approx(predictions[0].energy_per_atom.mae, abs=1e-6)


def test_trainer_nan_label_stops_and_names_the_frame(tmp_path):
    bad = with_system(with_system(TRAIN, 17, energy=np.nan), 23, forces=np.full((4, 3), np.nan))
    model = PairModel()
    with pytest.raises(NonFiniteLossError, match=r"epoch 1, step \d") as error:
        fit(tmp_path, changed(FAST, batch_size=40), model, bad)
    assert sorted(error.value.frames) == ["morse[17]", "morse[23]"]
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_trainer_nan_in_a_later_epoch_keeps_finite_weights_and_checkpoint(tmp_path):
    class Breaking(PairModel):
        def atom_outputs(self, batch, geometry):
            out = super().atom_outputs(batch, geometry)
            return replace_energy(out, out.energy * float("nan")) if self.training and self.calls > 30 else out

    model = Breaking()
    with pytest.raises(NonFiniteLossError, match="lower lr or clip_norm"):
        fit(tmp_path, changed(FAST, max_epochs=50), model)
    assert all(torch.isfinite(p).all() for p in model.parameters())
    tensors, _ = load_checkpoint(tmp_path / "run" / "last.safetensors")
    assert all(torch.isfinite(t).all() for t in tensors.values() if t.is_floating_point())


def replace_energy(out, energy):
    return type(out)(energy, out.charge)


def test_trainer_nan_on_a_validation_frame_names_it(tmp_path):
    with pytest.raises(NonFiniteLossError, match=r"validation loss is not finite after epoch 1") as error:
        fit(tmp_path, valid=with_system(VALID, 4, energy=np.inf))
    assert error.value.frames == ["morse[4]"]


def test_trainer_nan_gradient_with_finite_loss_is_found(tmp_path):
    class BadGradient(PairModel):
        def atom_outputs(self, batch, geometry):
            out = super().atom_outputs(batch, geometry)
            # sqrt has an infinite slope at zero: the value is finite, the gradient is not
            return replace_energy(out, out.energy + (self.net[0].weight[0, 0] * 0.0).sqrt())

    with pytest.raises(NonFiniteLossError, match="gradient of the loss is not finite"):
        fit(tmp_path, FAST, BadGradient())


def test_trainer_refuses_labels_that_nobody_has(tmp_path):
    no_forces = replace(TRAIN, systems=tuple(s.with_labels(energy=s.labels["energy"]) for s in TRAIN))
    with pytest.raises(PyffError, match=r"forces_weight is 1.0, but no training frame has forces"):
        fit(tmp_path, train=no_forces)
    fit(tmp_path, changed(FAST, forces_weight=0.0), train=no_forces)


def test_trainer_trains_on_frames_that_lack_labels(tmp_path):
    mixed = [s if k % 2 else s.with_labels(energy=s.labels["energy"]) for k, s in enumerate(TRAIN)]
    _, report = fit(tmp_path, changed(FAST, max_epochs=20, batch_size=4), train=replace(TRAIN, systems=tuple(mixed)))
    assert report.history[-1]["valid_loss"] < report.history[0]["valid_loss"]


def test_trainer_refuses_unknown_elements_and_empty_sets(tmp_path):
    with pytest.raises(UnseenElementError, match=r"train holds .* Z = \[6\]"):
        fit(tmp_path, model=PairModel(elements=(1,)))
    with pytest.raises(PyffError, match="valid must hold at least one frame"):
        fit(tmp_path, valid=VALID.subset([]))


def test_trainer_does_not_overwrite_a_run_unasked(tmp_path):
    fit(tmp_path)
    with pytest.raises(PyffError, match="holds a run already"):
        fit(tmp_path)
    _, report = fit(tmp_path, changed(FAST, max_epochs=2), overwrite=True)
    assert len(read_history(tmp_path / "run" / "metrics.jsonl")) == report.epochs == 2


def test_trainer_progress_prints_plain_lines_in_the_units_of_the_data(tmp_path, capsys):
    kcal = replace(TRAIN, units=type(TRAIN.units)("kcal/mol", "Angstrom"))
    Trainer(PairModel(), FAST, tmp_path / "run").fit(kcal, VALID)
    text = capsys.readouterr().err
    assert "40 training and 10 validation frames" in text
    assert "epoch 3" in text and "kcal/mol/Angstrom" in text and "\x1b" not in text
    Trainer(PairModel(), FAST, tmp_path / "quiet", quiet=True).fit(TRAIN, VALID)
    assert capsys.readouterr() == ("", "")


def test_trainer_stops_when_the_learning_rate_has_come_down(tmp_path):
    config = changed(FAST, schedule="exponential", decay_rate=0.5, decay_steps=8, stop_lr=2e-3, max_epochs=None)
    _, report = fit(tmp_path, config)
    # 0.01 0.5^(step/8) is below 0.002 after 18.6 steps; eight steps are an epoch
    assert report.stopped == "stop_lr" and report.epochs == 3 and "come down to stop_lr" in report.text()


def test_trainer_amsgrad_keeps_the_largest_second_moment(tmp_path):
    fit(tmp_path, changed(FAST, optimizer="amsgrad"))
    tensors, _ = load_checkpoint(tmp_path / "run" / "last.safetensors")
    largest = tensors["training.optimizer.net.0.weight.max_exp_avg_sq"]
    assert (largest >= tensors["training.optimizer.net.0.weight.exp_avg_sq"]).all()
    assert not torch.equal(largest, tensors["training.optimizer.net.0.weight.exp_avg_sq"])
