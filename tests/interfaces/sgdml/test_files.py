"""Files of sGDML: exact round trips, fingerprints, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from _data import shared_data
from _sgdml import LATTICE, model_arrays, positions, wave

import pyff
from pyff._npz import read_npz, write_npz
from pyff.interfaces.sgdml import (
    SgdmlFileError,
    dataset_arrays,
    dataset_md5,
    fingerprint,
    kind_of,
    read_sgdml,
    write_sgdml,
)

PUBLISHED = {
    "model_sgdml_benzene/sGDML_models/benzene.DFT.PBE-TS.npz": "m",
    "model_sgdml_2018/ethanol.npz": "m",
    "model_sgdml_2018/toluene.npz": "m",
    "md17_ethanol_ccsdt/ethanol_ccsd_t-first800.npz": "d",
    "data_mbgdml_water/1h2o/140h2o.sphere.gfn2.md.500k.prod1.3h2o.dset.1h2o-dset.npz": "d",
}


@pytest.mark.parametrize(("name", "kind"), PUBLISHED.items(), ids=lambda x: str(x)[-20:])
def test_published_file_written_again_is_equal_array_by_array(name, kind, tmp_path):
    arrays = read_sgdml(shared_data(name))
    assert kind_of(arrays) == kind
    write_npz(tmp_path / "again.npz", arrays)
    again = read_npz(tmp_path / "again.npz")
    assert list(again) == list(arrays)
    for key, value in arrays.items():
        assert (again[key].dtype, again[key].shape) == (value.dtype, value.shape), key
        if value.dtype == object:
            assert again[key].item() == value.item()
        else:
            assert again[key].tobytes() == value.tobytes(), key
            assert again[key].flags.f_contiguous == value.flags.f_contiguous


@pytest.mark.parametrize("name", [k for k, kind in PUBLISHED.items() if kind == "d" and "ccsdt" not in k])
def test_fingerprint_covers_labels_and_their_precision(name):
    arrays = read_sgdml(shared_data(name))
    reference = dataset_md5(arrays)
    assert len(reference) == 32
    for key in ("z", "R", "F"):
        other = arrays | {key: arrays[key].astype(np.float32)}
        assert dataset_md5(other) != reference
    assert dataset_md5({k: v for k, v in arrays.items() if k in ("z", "R", "E", "F")}) == reference


def test_fingerprint_is_that_of_sgdml():
    """Of sgdml 1.0.3, sgdml.utils.io.dataset_md5, on the same arrays, with and without energies."""
    z, R, F = np.array([8, 1, 1], np.uint8), positions(4), wave(4, 3, 3)
    assert dataset_md5({"z": z, "R": R, "F": F, "E": wave(4)}) == "ba1137c53188833ea7a047d77b912501"
    assert dataset_md5({"z": z, "R": R, "F": F}) == "60c9bc0c91ad4c57240507ee4cba2121"
    assert fingerprint({"z": z, "R": R, "F": F, "md5": np.array(b"abc")}) == "abc"


def test_data_set_is_read_back_by_pyff(tmp_path):
    """Columns in the file, rows in pyff; units from the file."""
    arrays = dataset_arrays([8, 1, 1], positions(5), wave(5, 3, 3), wave(5), name="water", cell=LATTICE.T,
                            e_unit="kcal/mol", r_unit="Ang")  # fmt: skip
    write_sgdml(tmp_path / "d.npz", arrays)
    found = read_sgdml(tmp_path / "d.npz", "d")
    assert fingerprint(found) == dataset_md5(found)
    np.testing.assert_array_equal(found["lattice"], LATTICE)
    data = pyff.data.read([tmp_path / "d.npz"])
    np.testing.assert_allclose(data[2].cell, LATTICE.T)
    np.testing.assert_allclose(data[2].pos, positions(5)[2])
    assert str(data.units) == "kcal/mol, Angstrom"


def test_other_kinds_are_refused(tmp_path):
    path = tmp_path / "x.npz"
    write_sgdml(path, model_arrays())
    with pytest.raises(SgdmlFileError, match=r"x\.npz must be a data set of sGDML; received a model"):
        read_sgdml(path, "d")
    np.savez(path, a=np.zeros(2))
    with pytest.raises(SgdmlFileError, match="must be a data set or a task or a model of sGDML; received arrays a"):
        read_sgdml(path)
    np.savez(path, type="d", z=np.array([8, 1]), R=np.zeros((2, 3, 3)), F=np.zeros((2, 3, 3)))
    with pytest.raises(SgdmlFileError, match=r"R and F must have shape \[M, 2, 3\]"):
        read_sgdml(path)
    with pytest.raises(SgdmlFileError, match="type must be d, t or m"):
        write_sgdml(path, {"R": np.zeros(3)})
