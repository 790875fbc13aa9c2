from __future__ import annotations

import collections
import contextlib
import io
import os
import pickle

import pytest

from pyff._pickle_machine import Name, PickleError, Record, read_pickle

NOTHING = lambda _name: False  # noqa: E731
ANYTHING = lambda _name: True  # noqa: E731


def read(data: bytes, allowed=NOTHING):
    return read_pickle(io.BytesIO(data), allowed)


class Thing:
    def __init__(self):
        self.number = 3


@pytest.mark.parametrize("protocol", range(6))
def test_pickle_machine_reads_plain_data_of_every_protocol(protocol):
    shared = [1, 2]
    value = {
        "text": "Ångström" * 50,
        "bytes": b"\x00\xff",
        "numbers": [0, -1, 255, 256, 65_536, -(2**31), 2**40, 2**2100, 0.1, -1e300, float("inf")],
        "flags": (True, False, None),
        "nested": {1: {2: {3: (4, (5,), ())}}},
        "shared": [shared, shared],
        "empty": [{}, [], (), ""],
    }
    allowed = lambda name: str(name) in ("_codecs.encode", "__builtin__.bytes", "builtins.bytes")  # noqa: E731
    back = read(pickle.dumps(value, protocol), allowed)
    if protocol < 3:  # old protocols build bytes by calling a codec, which stays a record
        assert isinstance(back["bytes"], Record)
        back["bytes"] = value["bytes"]
    assert back == value and back["shared"][0] is back["shared"][1]


@pytest.mark.parametrize("protocol", range(2, 6))
def test_pickle_machine_reads_sets_and_ordered_dicts(protocol):
    value = [{1, 2}, frozenset([3]), collections.OrderedDict(a=1, b=[2])]
    back = read(pickle.dumps(value, protocol), ANYTHING)
    assert back[2] == {"a": 1, "b": [2]}
    if protocol >= 4:
        assert back[:2] == value[:2]


def test_pickle_machine_records_objects_without_making_them():
    back = read(pickle.dumps(Thing(), 2), ANYTHING)
    assert isinstance(back, Record) and back.cls.name == "Thing" and back.state == {"number": 3}


class Hostile:
    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("function", [os.system, eval, exec, print, __import__])
def test_pickle_machine_refuses_and_never_runs_a_hostile_pickle(protocol, function, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "touch harmed" if function is os.system else "open('harmed', 'w')"
    data = pickle.dumps([1, Hostile(function, text)], protocol)
    with pytest.raises(PickleError, match=r"pickle refers to .*; nothing was executed"):
        read(data)
    # even where every name is allowed, nothing is called
    back = read(data, ANYTHING)
    assert isinstance(back[1], Record) and back[1].cls.name == function.__name__
    assert not list(tmp_path.iterdir())


def test_pickle_machine_refuses_a_hostile_state():
    # BUILD with a state that Python would hand to __setstate__ of a real class
    data = b"cos\nsystem\n(S'true'\ntR}S'x'\nI1\nsb."
    with pytest.raises(PickleError, match=r"os\.system"):
        read(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        b"N",
        b"\x80\x09N.",
        b"Nh\x05.",
        b"NN\x93.",
        b"I1\nN\x86R.",
        b"]NNs.",
        b"}(Nu.",
        b"}]Ns.",
        b"Nb.",
        b"0.",
        b"P1\n.",
        b"\x82\x01.",
        b"X\xff\xff\xff\x7fabc",
        b"ios\nsystem\n.",
        b"(os\nsystem\no.",
        b"garbage",
    ],
)
def test_pickle_machine_refuses_damage(data):
    with pytest.raises(PickleError):
        read(data)


def test_pickle_machine_refuses_every_truncation_and_survives_every_flip():
    data = pickle.dumps({"a": [1, (2.5, "x")], "b": {3: None}}, 2)
    for length in range(len(data)):
        with pytest.raises(PickleError):
            read(data[:length])
    for position in range(len(data)):
        for value in (0, 0x28, 0x52, 0x63, 0x81, 0xFF):
            flipped = data[:position] + bytes([value]) + data[position + 1 :]
            with contextlib.suppress(PickleError):
                read(flipped)


NESTED = b"N" + b"\x85" * 1_000_000


@pytest.mark.parametrize(
    "data",
    [b"}" + NESTED + b"Ns.", b"(" + NESTED + b"Nd.", b"}(" + NESTED + b"Nu.", b"\x8f(" + NESTED + b"\x90.",
     b"(" + NESTED + b"\x91."],
    ids=["SETITEM", "DICT", "SETITEMS", "ADDITEMS", "FROZENSET"],
)  # fmt: skip
def test_pickle_machine_refuses_nested_keys_that_would_overflow_the_stack(data):
    # hashing such a tuple recurses in C and would take the interpreter down
    with pytest.raises(PickleError, match="pickle has a tuple as a key"):
        read(data)


def test_name_prints_as_python_writes_it():
    assert str(Name("torch.nn", "Linear")) == "torch.nn.Linear"
