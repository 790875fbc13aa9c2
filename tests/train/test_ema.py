from __future__ import annotations

import torch
from torch import nn

from pyff.train.ema import EMA


def test_ema_follows_its_recurrence_with_warm_up():
    model = nn.Linear(2, 1, bias=False)
    ema, expected = EMA(model, 0.9), model.weight.detach().clone()
    for t in range(1, 200):
        with torch.no_grad():
            model.weight.add_(0.1)
        ema.update()
        decay = min(0.9, (1 + t) / (10 + t))
        expected = decay * expected + (1 - decay) * model.weight.detach()
    torch.testing.assert_close(ema.state()["weight"], expected)


def test_ema_applied_gives_the_raw_weights_back_also_after_an_error():
    model = nn.Linear(2, 1)
    ema, raw = EMA(model, 0.9), model.weight.detach().clone()
    with torch.no_grad():
        model.weight.add_(1.0)
    try:
        with ema.applied():
            assert torch.equal(model.weight, raw)
            raise KeyError
    except KeyError:
        pass
    assert torch.equal(model.weight, raw + 1.0)


def test_ema_zero_decay_is_the_raw_weights():
    model = nn.Linear(2, 1)
    ema = EMA(model, 0.0)
    with torch.no_grad():
        model.weight.add_(1.0)
    ema.update()
    assert torch.equal(ema.state()["weight"], model.weight)


def test_ema_leaves_frozen_parameters_alone():
    model = nn.Linear(2, 1)
    model.bias.requires_grad_(False)
    assert list(EMA(model, 0.5).state()) == ["weight"]
