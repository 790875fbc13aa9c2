"""npz archives with objects, against numpy's own reader and writer (which may unpickle here: the files are ours)."""

from __future__ import annotations

import io
import os
import zipfile

import numpy as np
import pytest

from pyff._npz import NpzError, read_npz, write_npz
from pyff._pickle_machine import PickleError

ARRAYS = {
    "type": np.array("m"), "bytes": np.array(b"abc"), "z": np.array([8, 1, 1], np.uint8), "flag": np.array(True),
    "R": np.arange(12.0).reshape(2, 2, 3), "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "single": np.float32(0.1), "empty": np.zeros((0, 3)), "sig": np.array(10),
}  # fmt: skip
OBJECTS = {
    "f_err": {"mae": 0.25, "rmse": float("nan")},
    "md5_test": None,
    "other": {"n": -3, "x": {"y": "\u00e5"}, "b": True},
}


def same(a: np.ndarray, b: np.ndarray) -> bool:
    if a.dtype == object:
        return repr(a[()]) == repr(b[()])
    return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b)


def test_numpy_reads_what_is_written(tmp_path):
    write_npz(tmp_path / "a.npz", ARRAYS | OBJECTS)
    with np.load(tmp_path / "a.npz", allow_pickle=True) as found:
        assert set(found) == {*ARRAYS, *OBJECTS}
        assert all(same(found[k], np.asanyarray(v)) for k, v in ARRAYS.items())
        assert all(repr(found[k].item()) == repr(v) and found[k].shape == () for k, v in OBJECTS.items())


def test_what_numpy_writes_is_read_and_written_again_the_same(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, **ARRAYS, **OBJECTS, scalar=np.array({"mae": np.float64(0.5), "n": np.int64(3)}, object))
    first = read_npz(path)
    assert first["scalar"].item() == {"mae": 0.5, "n": 3}
    write_npz(path, first)
    second = read_npz(path)
    assert list(second) == list(first)
    assert all(same(second[k], first[k]) for k in first if k != "scalar")
    assert second["scalar"].item() == first["scalar"].item()


def test_python_2_wrote_the_same_objects(tmp_path):
    """Byte for byte an entry of a model of 2018."""
    header = b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '|O', 'fortran_order': False, 'shape': (), }".ljust(117) + b"\n"
    pickle = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87Rq\x03(K\x01)"
        b"cnumpy\ndtype\nq\x04U\x02O8K\x00K\x01\x87Rq\x05(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb\x89]q\x06"
        b"}q\x07(U\x03maeq\x08G?\xacS.\xc8\x96C\xa6U\x04rmseq\tG?\xb5\xbf\x0euo\xbfcuatb."
    )
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("f_err.npy", header + pickle)
    assert read_npz(tmp_path / "a.npz")["f_err"].item() == {"mae": 0.05532213400432022, "rmse": 0.08494654051878352}


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("pwned",)


def test_hostile_object_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("a.npz", x=np.array(Hostile(), dtype=object))
    with pytest.raises(PickleError, match="which has no place in a model file"):
        read_npz("a.npz")
    assert not (tmp_path / "pwned").exists()


def test_array_of_objects_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([None, {}], dtype=object))
    with pytest.raises(NpzError, match="must be a single Python object"):
        read_npz(tmp_path / "a.npz")
    with pytest.raises(TypeError, match="x must be built of dicts"):
        write_npz(tmp_path / "b.npz", {"x": np.array(Hostile(), dtype=object)})
    assert not (tmp_path / "b.npz").exists()


@pytest.mark.parametrize("damage", ["cut", "text", "flipped"])
def test_damage_is_a_sentence(tmp_path, damage):
    path = tmp_path / "a.npz"
    buffer = io.BytesIO()
    np.savez_compressed(buffer, R=np.arange(1000.0))
    data = bytearray(buffer.getvalue())
    if damage == "flipped":
        data[200] ^= 0xFF
    path.write_bytes({"cut": data[:300], "text": b"no archive", "flipped": data}[damage])
    with pytest.raises(NpzError, match=r"a\.npz cannot be read as npz"):
        read_npz(path)


def test_bytes_depend_on_the_arrays_only(tmp_path):
    for name in ("a.npz", "b.npz"):
        write_npz(tmp_path / name, ARRAYS | OBJECTS)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
