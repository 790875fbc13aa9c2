"""Devices that are not there: one sentence with the way out, before any work."""

from __future__ import annotations

import pytest
import torch
from _toy import toy_model

import pyff
from pyff._device import usable_device
from pyff.cli import run


def test_the_processor_is_always_usable():
    assert usable_device("cpu") == torch.device("cpu")
    assert usable_device(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.parametrize(
    ("device", "words"),
    [("gpu", "device must be cpu, cuda or cuda:NUMBER; received 'gpu'"), ("cuda:99", "device cuda:99 must be a GPU")],
)
def test_devices_that_are_not_there_are_named(device, words, tmp_path, capsys):
    model = tmp_path / "toy.safetensors"
    pyff.save(toy_model(), model)
    for use in (usable_device, lambda name: pyff.load(model, name), lambda name: pyff.Calculator(model, name)):
        with pytest.raises(ValueError, match=words):
            use(device)
    (tmp_path / "start.xyz").write_text("2\n\nH 0 0 0\nH 0 0 0.74\n")
    assert run(["relax", str(model), str(tmp_path / "start.xyz"), "--device", device]) == 1
    assert f"pyff: {words}" in capsys.readouterr().err


def test_a_training_refuses_such_a_device_before_it_makes_a_folder(tmp_path):
    trainer = pyff.train.Trainer(toy_model(), pyff.train.TrainConfig(device="cuda:99"), tmp_path / "run")
    with pytest.raises(ValueError, match="device cuda:99 must be a GPU"):
        trainer.fit([], [])
    assert not (tmp_path / "run").exists()
