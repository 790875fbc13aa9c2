from __future__ import annotations

import pytest
import torch
from _pair_model import PairModel

from pyff.models.file import model_header
from pyff.train import CheckpointError, load_checkpoint
from pyff.train.checkpoint import save_checkpoint

HEADER = model_header(PairModel())
TENSORS = {"a": torch.arange(5.0), "b": torch.tensor(3), "c": torch.zeros(0, 2, dtype=torch.float64)}


def test_checkpoint_round_trips_bitwise(tmp_path):
    save_checkpoint(tmp_path / "x", HEADER, TENSORS, {"state": {"epoch": 3, "loss": 0.1}})
    tensors, content = load_checkpoint(tmp_path / "x")
    assert content["state"] == {"epoch": 3, "loss": 0.1}
    assert all(torch.equal(tensors[k], v) and tensors[k].dtype == v.dtype for k, v in TENSORS.items())


def test_checkpoint_never_holds_nan_and_keeps_the_old_file(tmp_path):
    save_checkpoint(tmp_path / "x", HEADER, TENSORS, {"n": 1})
    with pytest.raises(CheckpointError, match="not written: a hold NaN"):
        save_checkpoint(tmp_path / "x", HEADER, {"a": torch.tensor([1.0, float("nan")])}, {"n": 2})
    assert load_checkpoint(tmp_path / "x")[1]["n"] == 1


def test_checkpoint_flipped_bit_is_found(tmp_path):
    path = tmp_path / "x"
    save_checkpoint(path, HEADER, {"a": torch.arange(1000.0)}, {"state": {"epoch": 3}})
    good = path.read_bytes()
    for k in [*range(0, 1200, 7), len(good) // 2, len(good) - 1]:  # the header, and the weights
        raw = bytearray(good)
        raw[k] ^= 0x10
        path.write_bytes(raw)
        with pytest.raises(CheckpointError):
            load_checkpoint(path)


def test_checkpoint_cut_file_is_found(tmp_path):
    path = tmp_path / "x"
    save_checkpoint(path, HEADER, TENSORS, {})
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(CheckpointError, match="cannot be read as a checkpoint"):
        load_checkpoint(path)


def test_checkpoint_other_safetensors_file_is_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "x")
    with pytest.raises(CheckpointError, match="no checkpoint of pyff"):
        load_checkpoint(tmp_path / "x")
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        load_checkpoint(tmp_path / "y")
