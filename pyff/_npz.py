"""npz archives, exactly: every array with its dtype, objects among them as data that are never executed.

numpy stores an array of Python objects as a pickle. sGDML's files have a few, single dicts of numbers or None; those
are read by the restricted reader of `pyff._pickle_machine` and written instruction by instruction.
"""

from __future__ import annotations

import io
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pyff._atomic import atomic_write
from pyff._pickle_machine import Name, Record, read_pickle
from pyff.errors import PyffError

__all__ = ["NpzError", "read_npz", "write_npz"]

_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")  # before numpy 2, and since
_ALLOWED = {Name(m, n) for m in _MULTIARRAY for n in ("_reconstruct", "scalar")}
_ALLOWED |= {Name("numpy", "ndarray"), Name("numpy", "dtype")}


# what zipfile, zlib and numpy's parser of headers raise
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, SyntaxError, tokenize.TokenError)


class NpzError(PyffError):
    """An npz archive that cannot be read, or that holds something other than arrays and simple objects."""


def read_npz(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """All arrays of an archive by name, as they are.

    A single Python object becomes an array of shape () and dtype object; it may be built of dicts, text, numbers and
    None.

    Raises:
        FileNotFoundError: no such file.
        NpzError: damaged, or an object that is not simple.
    """
    name = Path(path).name
    try:
        with zipfile.ZipFile(path) as archive:
            return {entry.removesuffix(".npy"): _array(archive.read(entry), entry) for entry in archive.namelist()}
    except PyffError:
        raise
    except _DAMAGE as error:
        raise NpzError(f"{name} cannot be read as npz: {error}") from None


def write_npz(path: str | os.PathLike, arrays: Mapping[str, Any]) -> None:
    """Write arrays (or what numpy turns into arrays; None and dicts as objects), compressed.

    The file appears under its name when it is complete; a failed write leaves an older file untouched. The bytes
    depend on the arrays only.

    Raises:
        TypeError: an object that is not built of dicts, text, numbers and None.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, value in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy")  # with a constant date
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            with archive.open(entry, "w", force_zip64=True) as file:
                _write_array(file, name, np.asanyarray(value))
    atomic_write(path, buffer.getvalue())


def _array(data: bytes, entry: str) -> np.ndarray:
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise NpzError(f"{entry} has version {version} of the npy format; 1.0 and 2.0 can be read")
    shape, _, dtype = readers[version](file)
    if dtype.hasobject:
        return _object(file, entry, shape)
    return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)


def _object(file: BinaryIO, entry: str, shape: tuple[int, ...]) -> np.ndarray:
    record = read_pickle(file, _ALLOWED.__contains__)
    state = record.raw_state if isinstance(record, Record) else None
    if shape != () or not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[4], list):
        raise NpzError(f"{entry} must be a single Python object; received an array of shape {shape}")
    if len(state[4]) != 1:
        raise NpzError(f"{entry} must be a single Python object; received {len(state[4])}")
    out = np.empty((), dtype=object)
    out[()] = _plain(state[4][0], entry)
    return out


def _plain(value: Any, entry: str) -> Any:
    """Dicts, text, numbers and None; numpy's scalars with their type."""
    if isinstance(value, dict):
        return {key: _plain(item, entry) for key, item in value.items()}
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return value
    if isinstance(value, Record) and value.cls.name == "scalar" and len(value.args) == 2:
        kind, data = value.args
        if isinstance(kind, Record) and str(kind.args[0]) in ("f8", "f4", "i8", "i4") and isinstance(data, bytes):
            return np.frombuffer(data, dtype=str(kind.args[0]))[0]
    raise NpzError(f"{entry} holds a {type(value).__name__}; only dicts, text, numbers and None can be read")


def _write_array(file: BinaryIO, name: str, value: np.ndarray) -> None:
    if not value.dtype.hasobject:
        np.lib.format.write_array(file, value, allow_pickle=False)
        return
    if value.shape != ():
        raise TypeError(f"{name} must be an array of numbers or text, or one dict or None; received {value.dtype}")
    np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
    file.write(_array_pickle(_instructions(name, value[()])))


def _array_pickle(item: bytes) -> bytes:
    """A pickle (protocol 2) of an object array of shape () whose one item is built by the instructions `item`.

    numpy's own: _reconstruct(ndarray, (0,), b"b"), then the state (1, (), dtype("O8"), False, [item]).
    """
    name = lambda module, attribute: f"c{module}\n{attribute}\n".encode()  # noqa: E731
    # the old name of the module: every numpy finds it
    empty = name(_MULTIARRAY[0], "_reconstruct") + name("numpy", "ndarray") + b"K\x00\x85U\x01b\x87R"
    dtype = name("numpy", "dtype") + b"U\x02O8K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb"
    return b"\x80\x02" + empty + b"(K\x01)" + dtype + b"\x89](" + item + b"etb."


def _instructions(name: str, value: Any) -> bytes:
    """Pickle instructions that build a simple object."""
    if value is None:
        return b"N"
    if isinstance(value, (bool, np.bool_)):
        return b"\x88" if value else b"\x89"
    if isinstance(value, (float, np.floating)):
        return b"G" + struct.pack(">d", float(value))
    if isinstance(value, (int, np.integer)) and -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", int(value))
    if isinstance(value, str):
        text = value.encode()
        return b"X" + struct.pack("<I", len(text)) + text
    if isinstance(value, dict):
        items = b"".join(_instructions(name, x) for pair in value.items() for x in pair)
        return b"}(" + items + b"u"
    raise TypeError(f"{name} must be built of dicts, text, numbers and None; received {type(value).__name__}")
