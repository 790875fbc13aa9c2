"""A run that stops and continues equals one that never stopped, bit for bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from _pair_model import PairConfig, PairModel, morse_data

from pyff.train import CheckpointError, TrainConfig, Trainer, load_checkpoint, read_history

TRAIN, VALID = morse_data(23), morse_data(6, seed=1)
CONFIGS = {
    "plateau": {"schedule": "plateau", "plateau_patience": 1, "plateau_cooldown": 1, "optimizer": "adamw"},
    "exponential": {"schedule": "exponential", "decay_steps": 10, "weight_decay": 1e-3},
    "float64": {"schedule": "constant", "dtype": "float64", "warmup_steps": 12},
    "amsgrad": {"schedule": "exponential", "decay_steps": 10, "optimizer": "amsgrad"},
}


def config(kind: str, **values) -> TrainConfig:
    base = {"lr": 0.01, "batch_size": 5, "max_epochs": 10, "checkpoint_interval": 0}
    return TrainConfig(**{**base, **CONFIGS[kind], **values})


def trainer(folder: Path, settings: TrainConfig, model=None) -> Trainer:
    return Trainer(model or PairModel(PairConfig(dropout=0.1)), settings, folder, quiet=True)


def assert_same_run(a: Path, b: Path) -> None:
    for name in ("last.safetensors", "best.safetensors"):
        x, about_x = load_checkpoint(a / name)
        y, about_y = load_checkpoint(b / name)
        assert x.keys() == y.keys() and all(torch.equal(x[k], y[k]) for k in x)
        assert {**about_x["state"], "seconds": 0} == {**about_y["state"], "seconds": 0}
    clean = lambda folder: [{**row, "seconds": 0} for row in read_history(folder / "metrics.jsonl")]  # noqa: E731
    assert clean(a) == clean(b)


class InterruptedModel(PairModel):
    """Sends itself a signal in its n-th training call."""

    def __init__(self, n: int, **options) -> None:
        super().__init__(PairConfig(dropout=0.1), **options)
        self.n = n

    def atom_outputs(self, batch, geometry):
        if self.training and self.calls == self.n:
            signal.raise_signal(signal.SIGINT)
        return super().atom_outputs(batch, geometry)


@pytest.mark.parametrize("kind", CONFIGS)
def test_resume_from_an_epoch_end_is_bitwise(tmp_path, kind):
    trainer(tmp_path / "whole", config(kind)).fit(TRAIN, VALID)
    trainer(tmp_path / "parts", config(kind, max_epochs=5)).fit(TRAIN, VALID)
    # another initialisation: everything must come from the checkpoint
    other = PairModel(PairConfig(dropout=0.1), seed=99)
    report = trainer(tmp_path / "parts", config(kind), other).fit(TRAIN, VALID, resume=True)
    assert report.epochs == 10
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("n", [0, 7, 13])
def test_resume_from_the_middle_of_an_epoch_is_bitwise(tmp_path, n):
    trainer(tmp_path / "whole", config("plateau")).fit(TRAIN, VALID)
    report = trainer(tmp_path / "parts", config("plateau"), InterruptedModel(n)).fit(TRAIN, VALID)
    assert report.stopped == "interrupted" and report.epochs < 10
    trainer(tmp_path / "parts", config("plateau")).fit(TRAIN, VALID, resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_resume_after_a_crash_drops_the_metrics_the_checkpoint_does_not_know(tmp_path):
    trainer(tmp_path / "whole", config("plateau")).fit(TRAIN, VALID)
    folder = tmp_path / "parts"
    trainer(folder, config("plateau", max_epochs=4)).fit(TRAIN, VALID)
    with open(folder / "metrics.jsonl", "a") as out:
        out.write(json.dumps({"epoch": 5, "valid_loss": 0.0}) + '\n{"epoch": 6, "val')
    trainer(folder, config("plateau")).fit(TRAIN, VALID, resume=True)
    assert_same_run(tmp_path / "whole", folder)


def test_resume_of_a_finished_run_changes_nothing(tmp_path):
    first = trainer(tmp_path, config("plateau", max_epochs=3)).fit(TRAIN, VALID)
    again = trainer(tmp_path, config("plateau", max_epochs=3)).fit(TRAIN, VALID, resume=True)
    assert again.history == first.history and again.valid == first.valid


def test_resume_without_a_checkpoint_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        trainer(tmp_path / "new", config("plateau")).fit(TRAIN, VALID, resume=True)


def test_resume_refuses_other_data_settings_and_models(tmp_path):
    trainer(tmp_path, config("plateau", max_epochs=1)).fit(TRAIN, VALID)
    with pytest.raises(CheckpointError, match="training or validation frames differ"):
        trainer(tmp_path, config("plateau")).fit(TRAIN.subset(range(20)), VALID, resume=True)
    with pytest.raises(CheckpointError, match=r"batch_size \(was 5, is 4\)"):
        trainer(tmp_path, config("plateau", batch_size=4)).fit(TRAIN, VALID, resume=True)
    with pytest.raises(CheckpointError, match="the model differs"):
        trainer(tmp_path, config("plateau"), PairModel(PairConfig(hidden=8))).fit(TRAIN, VALID, resume=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [("lr", 0.02), ("clip_norm", 1.0), ("weight_decay", 0.1), ("plateau_patience", 9), ("warmup_steps", 3)],
)
def test_resume_with_a_setting_that_shapes_the_steps_is_refused_and_writes_nothing(tmp_path, name, value):
    trainer(tmp_path, config("plateau", max_epochs=1)).fit(TRAIN, VALID)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(CheckpointError, match=rf"{name} \(was .*, is {value}\)"):
        trainer(tmp_path, config("plateau", **{name: value})).fit(TRAIN, VALID, resume=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_resume_may_change_what_does_not_shape_the_steps(tmp_path):
    trainer(tmp_path, config("plateau", max_epochs=1)).fit(TRAIN, VALID)
    free = {"max_epochs": 2, "patience": 3, "max_time": 9.0, "checkpoint_interval": 2.0, "valid_batch_size": 2}
    report = trainer(tmp_path, config("plateau", **free)).fit(TRAIN, VALID, resume=True)
    assert report.epochs == 2 and TrainConfig.from_yaml(tmp_path / "train.yaml").valid_batch_size == 2


PROGRAM = """
import sys
from _pair_model import PairModel, morse_data
from pyff.train import TrainConfig, Trainer
config = TrainConfig(max_epochs=100000, patience=None, batch_size=5)
report = Trainer(PairModel(), config, sys.argv[1]).fit(morse_data(23), morse_data(6, seed=1))
print("stopped", report.stopped, flush=True)
"""


def start(folder: Path) -> subprocess.Popen:
    path = os.pathsep.join([str(Path(__file__).resolve().parent.parent), *sys.path])
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder)], env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while len(read_history(folder / "metrics.jsonl")) < 3 and time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.05)
    return child


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_writes_a_checkpoint_and_ends_cleanly(tmp_path, number):
    child = start(tmp_path)
    child.send_signal(number)
    out, err = child.communicate(timeout=30)
    assert child.returncode == 0, err
    assert "stopped interrupted" in out and f"{number.name}: finishing this step" in err
    _, content = load_checkpoint(tmp_path / "last.safetensors")
    assert content["state"]["epoch"] == len(read_history(tmp_path / "metrics.jsonl")) >= 3


def test_kill_leaves_readable_files(tmp_path):
    child = start(tmp_path)
    child.kill()
    child.communicate()
    assert load_checkpoint(tmp_path / "best.safetensors")[1]["kind"] == "best"
    assert len(read_history(tmp_path / "metrics.jsonl")) >= 3
