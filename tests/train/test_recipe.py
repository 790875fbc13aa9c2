from __future__ import annotations

import numpy as np
import pytest
from _pair_model import morse_data

from pyff.data import from_arrays
from pyff.errors import PyffError
from pyff.train import TrainConfig


def so3krates(n_train: int = 950, **changes) -> TrainConfig:
    return TrainConfig.recipe("so3krates", n_train=n_train, n_atoms=21, **changes)


def test_recipe_of_so3krates_is_the_published_one():
    c = so3krates()
    assert (c.optimizer, c.lr, c.schedule, c.decay_rate, c.decay_steps) == ("adam", 1e-3, "exponential", 0.7, 100_000)
    assert (c.stop_lr, c.max_epochs, c.patience) == (1e-5, None, None)
    # 0.01 <DE^2> of total energies; pyff's loss divides DE^2 by the 21 atoms
    assert (c.energy_weight, c.forces_weight) == (pytest.approx(0.21), 0.99)


@pytest.mark.parametrize(("n_train", "size"), [(50, 1), (499, 1), (500, 5), (999, 5), (1000, 10), (10_000, 100)])
def test_recipe_batch_size_grows_with_the_training_set(n_train, size):
    assert (
        so3krates(n_train).batch_size == TrainConfig.recipe("finetune", n_train=n_train, n_atoms=3).batch_size == size
    )


def test_recipe_what_the_caller_sets_wins():
    c = so3krates(lr=2e-3, batch_size=7, energy_weight=1.0)
    assert (c.lr, c.batch_size, c.energy_weight, c.decay_rate) == (2e-3, 7, 1.0, 0.7)
    with pytest.raises(PyffError, match="learning_rate: there is no such setting; known are energy_weight"):
        so3krates(learning_rate=1)


@pytest.mark.parametrize("limit", [{"max_time": 5.0}, {"max_epochs": 20}])
def test_recipe_within_a_limit_ends_with_it(limit):
    c = so3krates(**limit)
    assert c.schedule == "cosine" and c.stop_lr is None and c.patience is None and c.lr == 3e-3
    assert (c.max_time, c.max_epochs) == (limit.get("max_time"), limit.get("max_epochs"))
    kept = so3krates(**limit, schedule="exponential")
    assert kept.schedule == "exponential" and kept.stop_lr == 1e-5 and kept.lr == 1e-3
    assert so3krates(**limit, lr=2e-4).lr == 2e-4


def test_recipe_of_other_architectures_is_the_defaults():
    assert TrainConfig.recipe("schnet", n_train=950, n_atoms=9) == TrainConfig()
    assert TrainConfig.recipe("schnet", n_train=950, n_atoms=9, max_time=1.0).schedule == "cosine"
    assert TrainConfig.recipe("schnet", n_train=950, n_atoms=9, max_epochs=3).schedule == "plateau"


def test_config_for_data_counts_frames_and_atoms():
    c = TrainConfig.for_data("so3krates", morse_data(600))
    assert c.batch_size == 5 and c.energy_weight == pytest.approx(0.04)


def test_config_for_data_weighs_what_the_frames_carry():
    Z, pos = [8, 1, 1], np.random.default_rng(0).normal(size=(4, 3, 3)) * 3
    energies = from_arrays(Z, pos, np.zeros(4), units="eV,Angstrom")
    assert TrainConfig.for_data("schnet", energies).forces_weight == 0.0
    assert TrainConfig.for_data("schnet", energies, forces_weight=2.0).forces_weight == 2.0
    cells = from_arrays(Z, pos, np.zeros(4), stress=np.zeros((4, 6)), cell=np.eye(3) * 20, units="eV,Angstrom")
    c = TrainConfig.for_data("schnet", cells, energy_weight=0.3)
    assert c.stress_weight == c.energy_weight == 0.3
    target = from_arrays(Z, pos, target=np.arange(4.0), units="eV,Angstrom")
    c = TrainConfig.for_data("schnet", target)
    assert (c.target_weight, c.energy_weight, c.forces_weight) == (1.0, 0.0, 0.0)
