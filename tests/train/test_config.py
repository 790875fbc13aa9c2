from __future__ import annotations

import pytest

from pyff.errors import PyffError
from pyff.train import TrainConfig


def test_config_round_trips_through_yaml(tmp_path):
    c = TrainConfig(lr=3e-4, max_time=2.5, schedule="cosine", patience=None)
    c.to_yaml(tmp_path / "c.yaml")
    assert TrainConfig.from_yaml(tmp_path / "c.yaml") == c


def test_config_empty_file_means_the_defaults(tmp_path):
    (tmp_path / "c.yaml").write_text("")
    assert TrainConfig.from_yaml(tmp_path / "c.yaml") == TrainConfig()


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"learning_rate": 1}, "learning_rate: there is no such setting; known are energy_weight"),
        ({"lr": -1}, "lr: Input should be greater than 0"),
        ({"lr": float("nan")}, "lr: Input should be a finite number"),
        ({"optimizer": "sgd"}, "optimizer: Input should be 'adam', 'adamw' or 'amsgrad'"),
        ({"max_epochs": None}, "max_epochs or max_time must be given"),
        ({"energy_weight": 0, "forces_weight": 0}, "must be positive"),
        ({"min_lr": 1.0}, "min_lr must not exceed"),
    ],
)
def test_config_mistakes_are_named(values, text):
    with pytest.raises(PyffError, match=text):
        TrainConfig.from_dict(values)


def test_config_yaml_runs_no_code(tmp_path):
    (tmp_path / "c.yaml").write_text("seed: !!python/object/apply:os.getpid []\n")
    with pytest.raises(PyffError, match="not valid YAML"):
        TrainConfig.from_yaml(tmp_path / "c.yaml")
    (tmp_path / "c.yaml").write_text("- lr\n")
    with pytest.raises(PyffError, match="must hold 'name: value' lines; received a list"):
        TrainConfig.from_yaml(tmp_path / "c.yaml")


def test_config_stop_lr_must_be_reached():
    assert TrainConfig(max_epochs=None, stop_lr=1e-5, schedule="exponential").stop_lr == 1e-5
    with pytest.raises(PyffError, match="stop_lr must be reached: at least min_lr"):
        TrainConfig.from_dict({"stop_lr": 1e-7, "min_lr": 1e-6})
    with pytest.raises(PyffError, match="with schedule constant"):
        TrainConfig.from_dict({"stop_lr": 1e-5, "schedule": "constant"})
