from __future__ import annotations

import json

import pytest

from pyff.train import TrainConfig
from pyff.train.schedule import Schedule


def test_plateau_waits_reduces_and_cools_down():
    s = Schedule(TrainConfig(lr=1.0, plateau_patience=2, plateau_cooldown=1, plateau_factor=0.5))
    lrs = []
    for loss in [3, 2, 2, 2, 2, 2, 2, 2, 2, 1]:
        s.after_validation(loss)
        lrs.append(s.lr(0, 0))
    # best at index 1; three epochs without improvement; one of cooldown, three more
    assert lrs == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]


def test_plateau_state_survives_json_in_the_middle():
    config = TrainConfig(lr=1.0, plateau_patience=1, plateau_cooldown=1)
    a, b = Schedule(config), Schedule(config)
    losses = [5, 4, 4, 4, 4, 3, 4, 4, 4, 4, 4]
    for k, loss in enumerate(losses):
        if k == 3:
            b.restore(json.loads(json.dumps(a.state())))
        a.after_validation(loss)
        if k >= 3:
            b.after_validation(loss)
            assert a.state() == b.state()
    fresh = Schedule(config)
    fresh.restore(json.loads(json.dumps(Schedule(config).state())))
    assert fresh.state() == Schedule(config).state()


def test_exponential_follows_the_step():
    s = Schedule(TrainConfig(lr=1e-3, schedule="exponential", decay_rate=0.96, decay_steps=100))
    assert s.lr(250, 0) == pytest.approx(1e-3 * 0.96**2.5)


def test_cosine_starts_at_lr_and_ends_at_min_lr():
    s = Schedule(TrainConfig(lr=1e-3, min_lr=1e-5, schedule="cosine"))
    assert [s.lr(0, p) for p in (0, 0.5, 1, 1.2)] == pytest.approx([1e-3, (1e-3 + 1e-5) / 2, 1e-5, 1e-5])


def test_warmup_rises_linearly_then_leaves_the_schedule_alone():
    s = Schedule(TrainConfig(lr=1.0, schedule="constant", warmup_steps=4))
    assert [s.lr(k, 0) for k in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]


def test_min_lr_is_a_floor():
    s = Schedule(TrainConfig(lr=1e-3, min_lr=1e-4, schedule="exponential", decay_steps=1))
    assert s.lr(100_000, 0) == 1e-4
