from __future__ import annotations

import os
import zipfile

import numpy as np
import pytest
import torch

from pyff._pickle_machine import PickleError, Record
from pyff.interfaces.torch_file import StoredTensor, read_torch_file


def tensors() -> dict:
    base = torch.arange(24, dtype=torch.float32)
    return {
        "plain": torch.randn(3, 4, generator=torch.Generator().manual_seed(0)),
        "double": torch.linspace(0, 1, 7, dtype=torch.float64),
        "view": base[4:16].view(3, 4).t(),
        "same_storage": base[20:],
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "whole": torch.tensor([1, -(2**40)]),
        "flags": torch.tensor([True, False]),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "number": 3,
    }


@pytest.mark.parametrize("new_layout", [True, False])
def test_torch_file_reads_both_layouts_of_torch_save(tmp_path, new_layout):
    path, expected = tmp_path / "x.pt", tensors()
    torch.save(expected, path, _use_new_zipfile_serialization=new_layout)
    back = read_torch_file(path)
    assert set(back) == set(expected) and back["number"] == 3
    for name, value in expected.items():
        if isinstance(value, torch.Tensor):
            assert isinstance(back[name], StoredTensor)
            np.testing.assert_array_equal(back[name].numpy(), value.detach().numpy())
            assert back[name].numpy().dtype == value.detach().numpy().dtype


@pytest.mark.parametrize("new_layout", [True, False])
def test_torch_file_reads_a_whole_module_as_records(tmp_path, new_layout):
    path = tmp_path / "x.pt"
    torch.save(torch.nn.Sequential(torch.nn.Linear(2, 3)), path, _use_new_zipfile_serialization=new_layout)
    back = read_torch_file(path)
    assert isinstance(back, Record) and back.cls.name == "Sequential"
    linear = back.state["_modules"]["0"]
    assert linear.cls.name == "Linear" and linear.state["_parameters"]["weight"].shape == (3, 2)


class Hostile:
    def __reduce__(self):
        return os.system, ("touch harmed",)


@pytest.mark.parametrize("new_layout", [True, False])
def test_torch_file_refuses_a_hostile_model(tmp_path, monkeypatch, new_layout):
    monkeypatch.chdir(tmp_path)
    torch.save({"x": Hostile()}, "x.pt", _use_new_zipfile_serialization=new_layout)
    with pytest.raises(PickleError, match=r"x\.pt: pickle refers to posix\.system.*nothing was executed"):
        read_torch_file("x.pt")
    assert [p.name for p in tmp_path.iterdir()] == ["x.pt"]


@pytest.mark.parametrize("new_layout", [True, False])
def test_torch_file_refuses_every_truncation(tmp_path, new_layout):
    path, whole = tmp_path / "x.pt", tmp_path / "whole.pt"
    torch.save(tensors(), whole, _use_new_zipfile_serialization=new_layout)
    data = whole.read_bytes()
    for length in range(0, len(data), 41):
        path.write_bytes(data[:length])
        with pytest.raises(PickleError, match=r"x\.pt"):
            read_torch_file(path)


def test_torch_file_refuses_views_outside_their_storage(tmp_path):
    path = tmp_path / "x.pt"
    torch.save({"x": torch.zeros(4)}, path, _use_new_zipfile_serialization=False)
    stored = read_torch_file(path)["x"].storage
    for offset, shape, stride in [
        (0, (5,), (1,)),
        (1, (4,), (1,)),
        (-1, (2,), (1,)),
        (0, (2, 2), (3, 1)),
        (0, (9,), (0,)),
    ]:
        with pytest.raises(PickleError, match=r"leaves its storage|repeats values"):
            StoredTensor(stored, offset, shape, stride).numpy()


def test_torch_file_refuses_archives_that_could_expand_or_differ(tmp_path):
    whole, path = tmp_path / "whole.pt", tmp_path / "x.pt"
    torch.save({"x": torch.zeros(1000)}, whole)
    with zipfile.ZipFile(whole) as source:
        members = {name: source.read(name) for name in source.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in members.items():
            target.writestr(name, content)
    with pytest.raises(PickleError, match="compressed members"):
        read_torch_file(path)
    with zipfile.ZipFile(path, "w") as target, pytest.warns(UserWarning, match="Duplicate name"):
        for name, content in [*members.items(), *members.items()]:
            target.writestr(name, content)
    with pytest.raises(PickleError, match="a name twice"):
        read_torch_file(path)


def test_torch_file_refuses_other_files(tmp_path):
    path = tmp_path / "x.pt"
    for content in (b"", b"hello", b"PK\x03\x04 no archive"):
        path.write_bytes(content)
        with pytest.raises(PickleError, match=r"x\.pt: (not a file written by torch\.save|damaged archive)"):
            read_torch_file(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(PickleError, match="not a file written by"):
        read_torch_file(path)
