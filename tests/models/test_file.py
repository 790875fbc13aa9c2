from __future__ import annotations

import json
import struct

import pytest
import torch
from _toy import ToyConfig, ToyModel, toy_model
from safetensors.torch import load as tensors_of
from safetensors.torch import save as file_of

import pyff
from pyff.models import schnet
from pyff.models.file import ModelFileError, read_header
from pyff.models.schnet import SchNet, SchNetConfig


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def header_of(path) -> dict:
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["pyff"])


def rewrite(path, **changes) -> None:
    """The file again with other header fields; None removes one."""
    header = {k: v for k, v in {**header_of(path), **changes}.items() if v is not None}
    path.write_bytes(file_of(tensors_of(path.read_bytes()), metadata={"pyff": json.dumps(header)}))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_file_round_trip_is_bitwise(path, dtype):
    model = toy_model(cutoff=4.25).to(dtype)
    with torch.no_grad():
        model.depth.copy_(torch.rand(119, dtype=dtype) / 3)
    model.set_reference_energy({1: -13.6 - 1e-13, 6: -1029.1234567890123, 8: 1e-300})
    pyff.save(model, path)
    back = pyff.load(path)
    assert type(back) is ToyModel and not back.training and back.dtype == dtype
    assert back.config == model.config and back.elements == model.elements and back.info == model.info
    assert back.reference_energy == model.reference_energy  # all 53 bits
    for name, value in model.state_dict().items():
        assert torch.equal(back.state_dict()[name], value) and back.state_dict()[name].dtype == value.dtype
    again = path.with_name("again.safetensors")
    pyff.save(back, again)
    assert again.read_bytes() == path.read_bytes()


def test_file_metadata_has_the_single_key_pyff_and_describes_the_model(path):
    pyff.save(toy_model(), path)
    data = path.read_bytes()
    metadata = json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])["__metadata__"]
    assert list(metadata) == ["pyff"]
    header = read_header(path)
    assert header.architecture == "toy_morse" and header.dtype == "float32" and header.cutoff == 4.0
    assert header.elements == ["H", "C", "O"] and header.units.energy == "eV" and header.units.length == "Angstrom"
    assert header.pyff_version == pyff.__version__ and header.schema_version == 1


def test_file_save_leaves_the_old_file_when_it_fails(path):
    pyff.save(toy_model(), path)
    before = path.read_bytes()
    broken = toy_model()
    with torch.no_grad():
        broken.bond.fill_(float("nan"))
    with pytest.raises(ModelFileError, match="bond must be finite"):
        pyff.save(broken, path)
    broken = toy_model()
    broken.info = {"model": object()}
    with pytest.raises(ModelFileError, match="info"):
        pyff.save(broken, path)
    assert path.read_bytes() == before and [p.name for p in path.parent.iterdir()] == [path.name]


def test_file_save_refuses_other_endings_and_unregistered_classes(path):
    with pytest.raises(ValueError, match=r"must end in \.safetensors; received"):
        pyff.save(toy_model(), path.with_suffix(".pt"))
    with pytest.raises(ValueError, match=r"must end in \.safetensors; .*\.npz is for GDML models only"):
        pyff.save(toy_model(), path.with_suffix(".npz"))

    class Unregistered(ToyModel):
        pass

    with pytest.raises(ModelFileError, match="Unregistered must be registered"):
        pyff.save(Unregistered(ToyConfig(), [1]), path)


def test_file_save_writes_weights_that_share_memory(path):
    model = toy_model()
    model.register_buffer("tied", model.depth.data)
    pyff.save(model, path)
    assert "tied" in tensors_of(path.read_bytes())


def test_load_refuses_a_safetensors_file_of_another_program(path):
    path.write_bytes(file_of({"x": torch.zeros(2)}, metadata={"format": "pt"}))
    with pytest.raises(ModelFileError, match="not a pyff model"):
        pyff.load(path)
    path.write_bytes(file_of({"x": torch.zeros(2)}))
    with pytest.raises(ModelFileError, match="not a pyff model"):
        pyff.load(path)


@pytest.mark.parametrize("content", [b"", b"abc", b"\x80\x02}q\x00.", b"PK\x03\x04" + bytes(60), b"\xff" * 64])
def test_load_refuses_a_file_that_is_not_safetensors(path, content):
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="not a safetensors file"):
        pyff.load(path)


def test_load_refuses_a_file_truncated_anywhere(path):
    pyff.save(toy_model(), path)
    data = path.read_bytes()
    for length in [*range(0, 64, 7), *range(64, len(data), 97), len(data) - 1]:
        path.write_bytes(data[:length])
        with pytest.raises(ModelFileError, match=r"truncated|not a safetensors file|not valid JSON"):
            pyff.load(path)


def test_load_bounds_the_header_before_reading_it(path):
    path.write_bytes(struct.pack("<Q", 2**62) + b"{}")
    with pytest.raises(ModelFileError, match="not a safetensors file"):
        pyff.load(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 2, "pyff_version": "9.0"}, r"newer pyff \(9.0, schema 2"),
        ({"schema_version": "1"}, "schema_version must be a positive integer"),
        ({"schema_version": True}, "schema_version must be a positive integer"),
        ({"architecture": "os.system"}, r"architecture must be one of .*toy_morse.*; received 'os.system'"),
        ({"surprise": 1}, "surprise: Extra inputs are not permitted"),
        ({"dtype": "float16"}, "dtype"),
        ({"dtype": "float64"}, r"(bond|depth) must be torch.float64 .*; received torch.float32"),
        ({"elements": None}, "elements: Field required"),
        ({"elements": ["H", "Xx"]}, "must be the symbol of an element; received 'Xx'"),
        ({"cutoff": 5.0}, "must agree"),
        ({"cutoff": -1.0}, "cutoff"),
        ({"units": {"energy": "kcal/mol", "length": "Angstrom"}}, "units.energy"),
        ({"hyperparameters": {"cutoff": 4.0, "code": "x"}}, "hyperparameters.code"),
        ({"reference_energy": {"Xx": 1.0}}, "reference_energy"),
        ({"info": {"a": [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}}, "nested"),
    ],
)
def test_load_refuses_a_wrong_header(path, changes, message):
    pyff.save(toy_model(), path)
    rewrite(path, **changes)
    with pytest.raises(ModelFileError, match=message):
        pyff.load(path)


def test_load_refuses_a_header_that_two_parsers_could_read_differently(path):
    pyff.save(toy_model(), path)
    text = json.dumps(header_of(path))[:-1] + ', "architecture": "schnet"}'
    path.write_bytes(file_of(tensors_of(path.read_bytes()), metadata={"pyff": text}))
    with pytest.raises(ModelFileError, match="a name appears twice"):
        pyff.load(path)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"depth": torch.ones(119)}, r"missing \['bond'\]"),
        ({"depth": torch.ones(119), "bond": torch.ones(()), "x": torch.ones(1)}, r"unexpected \['x'\]"),
        ({"depth": torch.ones(100), "bond": torch.ones(())}, r"depth must be torch.float32 \(119,\); received"),
        ({"depth": torch.full((119,), torch.inf), "bond": torch.ones(())}, "depth must be finite"),
    ],
)
def test_load_refuses_weights_that_are_not_the_models(path, tensors, message):
    pyff.save(toy_model(), path)
    path.write_bytes(file_of(tensors, metadata={"pyff": json.dumps(header_of(path))}))
    with pytest.raises(ModelFileError, match=message):
        pyff.load(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_features": 4096, "n_interactions": 64}, "weights must be those of the model"),
        ({"n_features": 4096, "shared_interactions": True}, "must be torch.float32 .*; received torch.float32"),
        ({"n_features": 10**9}, "hyperparameters.n_features: .* less than or equal to 4096"),
        ({"n_rbf": 10**9}, "hyperparameters.n_rbf: .* less than or equal to 4096"),
        ({"cutoff_function": "smooth", "cutoff_onset": 5 - 1e-12}, "cutoff_onset must be at most 4.95"),
    ],
)
def test_load_of_a_small_file_that_asks_for_a_huge_network_allocates_nothing(path, changes, message, monkeypatch):
    pyff.save(SchNet(SchNetConfig(n_features=4, n_interactions=1), [1]), path)
    rewrite(path, hyperparameters={**header_of(path)["hyperparameters"], **changes})
    sizes, init = [], schnet.Interaction.__init__

    def watched(self, *args):
        init(self, *args)
        sizes.append(sum(0 if p.is_meta else p.numel() for p in self.parameters()))

    monkeypatch.setattr(schnet.Interaction, "__init__", watched)
    with pytest.raises(ModelFileError, match=message):
        pyff.load(path)
    assert not any(sizes)


def test_load_names_a_missing_file(path):
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        pyff.load(path)
