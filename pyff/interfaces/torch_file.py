"""Files written by `torch.save`, both layouts, read without torch and without executing anything.

Legacy layout (torch < 1.6): pickles of a magic number, a protocol, system facts and the object; a pickle of storage
keys; then each storage as a 64-bit element count and its raw values. Newer layout: a zip archive of uncompressed
members `*/data.pkl` and `*/data/<key>`.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from pyff._pickle_machine import Name, PickleError, Record, read_pickle

__all__ = ["StoredTensor", "read_torch_file"]

MAGIC = 0x1950A86A20F9469CFC6C
MAX_FILE_BYTES = 4 * 2**30
_STORAGE_DTYPE = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "<?",
}
_PLAIN = {"collections.OrderedDict", "functools.partial", "builtins.set", "__builtin__.set"}
_PREFIXES = ("torch.nn.", "torch._utils.", "torch.optim.")


@dataclass
class _Storage:
    dtype: np.dtype
    key: str
    size: int  # elements
    values: np.ndarray | None = None


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as the file describes it: a strided view of a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def numpy(self) -> np.ndarray:
        """A copy of the values. Raises PickleError where the view leaves its storage."""
        values = self.storage.values
        if values is None:
            raise PickleError(f"storage {self.storage.key} is missing from the file")
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.stride))
        negative = min((self.offset, *self.shape, *self.stride)) < 0
        if negative or len(self.shape) != len(self.stride) or (prod(self.shape) and last >= len(values)):
            raise PickleError(f"tensor of shape {self.shape} leaves its storage of {len(values)} values")
        if prod(self.shape) > len(values):
            raise PickleError(f"tensor of shape {self.shape} repeats values; weights do not")
        item = values.itemsize
        view = np.lib.stride_tricks.as_strided(
            values[self.offset :], self.shape, tuple(s * item for s in self.stride), writeable=False
        )
        return view.copy()


def read_torch_file(path: str | os.PathLike, modules: tuple[str, ...] = ()) -> Any:
    """The object that torch.save wrote: containers, `StoredTensor`s, and `Record`s for class instances.

    modules: prefixes of further modules whose classes may appear, such as ("schnetpack.",).

    Raises:
        PickleError: damaged, too large, or it names something a model file has no reason to name.
    """
    path = Path(path)
    if path.stat().st_size > MAX_FILE_BYTES:
        raise PickleError(f"{path}: must be smaller than {MAX_FILE_BYTES >> 30} GiB")
    data = path.read_bytes()
    reader = _read_zip if data[:4] == b"PK\x03\x04" else _read_legacy
    try:
        return reader(data, _Loader(modules))
    except PickleError as error:
        raise PickleError(f"{path}: {error}") from None


class _Loader:
    """Allow-list and storages of one file."""

    def __init__(self, modules: tuple[str, ...]) -> None:
        self.prefixes = _PREFIXES + modules
        self.storages: dict[str, _Storage] = {}

    def allowed(self, name: Name) -> bool:
        if name.module == "torch":
            return name.name in _STORAGE_DTYPE or name.name in ("Size", "device", *_TORCH_DTYPES)
        return str(name) in _PLAIN or f"{name.module}.".startswith(self.prefixes)

    def persistent(self, pid: Any) -> Any:
        if not isinstance(pid, tuple) or not pid:
            raise PickleError("damaged persistent id")
        if pid[0] == "module":  # (class, source file, source text): legacy files carry their classes' source
            return pid[1]
        if pid[0] != "storage" or len(pid) < 5 or not isinstance(pid[1], Name) or pid[1].name not in _STORAGE_DTYPE:
            raise PickleError(f"unknown persistent id {pid[:2]!r:.80}")
        if len(pid) > 5 and pid[5] is not None:
            raise PickleError("views of storages (torch < 0.4) are not supported")
        key, size = str(pid[2]), pid[4]
        if not isinstance(size, int) or size < 0:
            raise PickleError(f"storage {key} must have a size; received {size!r}")
        storage = self.storages.setdefault(key, _Storage(np.dtype(_STORAGE_DTYPE[pid[1].name]), key, size))
        if storage.size != size:
            raise PickleError(f"storage {key} has two sizes, {storage.size} and {size}")
        return storage

    def read(self, file: io.BufferedIOBase | io.BytesIO) -> Any:
        return read_pickle(file, self.allowed, self.persistent)


_TORCH_DTYPES = ("float16", "float32", "float64", "int32", "int64", "bool", "uint8")


def _read_legacy(data: bytes, loader: _Loader) -> Any:
    file = io.BytesIO(data)
    plain = lambda: read_pickle(file, lambda _name: False)  # noqa: E731  reads on from the current position
    try:
        magic = plain()
    except PickleError:
        magic = None
    if magic != MAGIC:
        raise PickleError("not a file written by torch.save")
    plain()  # protocol
    facts = plain()
    if not isinstance(facts, dict) or facts.get("little_endian") is not True:
        raise PickleError("written on a big-endian machine, which is not supported")
    tree = loader.read(file)
    keys = plain()
    if not isinstance(keys, list):
        raise PickleError("damaged list of storages")
    for key in keys:
        _read_storage(file, loader.storages.get(str(key)), len(data))
    return resolve(tree)


def _read_storage(file: io.BytesIO, storage: _Storage | None, end: int) -> None:
    prefix = file.read(8)
    if storage is None or len(prefix) < 8:
        raise PickleError("truncated, or it holds a storage that nothing refers to")
    size = struct.unpack("<q", prefix)[0]
    n_bytes = size * storage.dtype.itemsize
    if size != storage.size or n_bytes > end - file.tell():
        raise PickleError(f"truncated: storage {storage.key} needs {storage.size} values")
    storage.values = np.frombuffer(file.read(n_bytes), storage.dtype)


def _read_zip(data: bytes, loader: _Loader) -> Any:
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        members = {info.filename: info for info in archive.infolist()}
        if len(members) != len(archive.infolist()):
            raise PickleError("the archive holds a name twice")
        if any(info.compress_type != zipfile.ZIP_STORED for info in members.values()):
            raise PickleError("compressed members; torch.save writes none")
        roots = [name.removesuffix("data.pkl") for name in members if name.endswith("/data.pkl")]
        if len(roots) != 1:
            raise PickleError("not a file written by torch.save (no data.pkl)")
        byteorder = members.get(f"{roots[0]}byteorder")
        if byteorder and archive.read(byteorder) != b"little":
            raise PickleError("written on a big-endian machine, which is not supported")
        tree = loader.read(io.BytesIO(archive.read(members[f"{roots[0]}data.pkl"])))
        for key, storage in loader.storages.items():
            raw = archive.read(members[f"{roots[0]}data/{key}"])
            if len(raw) < storage.size * storage.dtype.itemsize:
                raise PickleError(f"truncated: storage {key} needs {storage.size} values")
            storage.values = np.frombuffer(raw, storage.dtype, storage.size)
    except (zipfile.BadZipFile, KeyError, EOFError, NotImplementedError) as error:
        raise PickleError(f"damaged archive: {error}") from None
    return resolve(tree)


def resolve(tree: Any) -> Any:
    """Replace the calls that rebuild tensors by `StoredTensor`s, in place, throughout the object."""
    seen: dict[int, Any] = {}

    def walk(value: Any, depth: int = 0) -> Any:
        if depth > 200:
            raise PickleError("the object is nested deeper than 200 levels")
        if not isinstance(value, (dict, list, tuple, Record)):
            return value
        if id(value) in seen:
            return seen[id(value)]
        if isinstance(value, Record) and value.cls.module == "torch._utils":
            seen[id(value)] = result = _rebuilt(value, walk, depth)
            return result
        if isinstance(value, tuple):
            seen[id(value)] = result = tuple(walk(item, depth + 1) for item in value)
            return result
        seen[id(value)] = value
        target = value.state if isinstance(value, Record) else value
        for key, item in list(target.items() if isinstance(target, dict) else enumerate(target)):
            target[key] = walk(item, depth + 1)
        return value

    return walk(tree)


def _rebuilt(record: Record, walk, depth: int) -> Any:
    args = record.args
    if record.cls.name == "_rebuild_parameter" and args:
        return walk(args[0], depth + 1)
    if record.cls.name not in ("_rebuild_tensor", "_rebuild_tensor_v2") or len(args) < 4:
        raise PickleError(f"tensors of kind {record.cls.name} are not supported")
    storage, offset, shape, stride = args[:4]
    ints = lambda value: isinstance(value, tuple) and all(isinstance(n, int) for n in value)  # noqa: E731
    if not isinstance(storage, _Storage) or not isinstance(offset, int) or not ints(shape) or not ints(stride):
        raise PickleError("damaged tensor")
    return StoredTensor(storage, offset, shape, stride)
