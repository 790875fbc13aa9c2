from __future__ import annotations

import numpy as np
import pytest

from pyff.data import Split, from_arrays, split
from pyff.errors import DataError

POS = np.array([[0, 0, 0], [0.8, 0, 0]]) + 0.01 * np.random.default_rng(0).normal(size=(20, 2, 3))
DATA = from_arrays([1, 1], POS, np.zeros(20), units="eV,Angstrom")


def test_split_random_is_disjoint_complete_and_reproducible():
    a, b, c = (split(DATA, 12, 3, seed=s) for s in (1, 1, 2))
    assert (len(a.train), len(a.valid), len(a.test)) == (12, 3, 5)
    assert sorted(np.concatenate([a.train, a.valid, a.test])) == list(range(20))
    np.testing.assert_array_equal(a.train, b.train)
    assert not np.array_equal(a.train, c.train)


def test_split_by_time_keeps_the_order_and_tests_on_the_end():
    s = split(DATA, 0.5, 2, 0.2, order="time")
    np.testing.assert_array_equal(s.train, np.arange(10))
    np.testing.assert_array_equal(s.valid, [10, 11])
    np.testing.assert_array_equal(s.test, np.arange(16, 20))


def test_split_defaults_leave_a_tenth_for_the_test():
    s = split(DATA)
    assert (len(s.train), len(s.valid), len(s.test)) == (16, 2, 2)


@pytest.mark.parametrize("sizes", [(18, 5, None), (10, 0, None), (0, 3, 2), (10, 5, 6)])
def test_split_impossible_sizes_are_refused(sizes):
    with pytest.raises(DataError, match="received"):
        split(DATA, *sizes)


def test_split_of_a_single_frame_says_what_to_give():
    with pytest.raises(DataError, match=r"received train 1, valid 0, test 0 of the 1 frames\. Give numbers"):
        split(DATA.subset([0]))


@pytest.mark.parametrize("value", [1.0, 2.0, 1.5, -0.1, float("nan")])
def test_split_float_that_is_no_fraction_is_refused_with_a_sentence(value):
    for name in ("train", "valid", "test"):
        sizes = {"train": 4, "valid": 2, name: value}
        with pytest.raises(DataError, match=rf"{name} must be a fraction .* received {value}.*decimal point"):
            split(DATA, **sizes)


def test_split_shows_counts_and_seed_instead_of_indices(tmp_path):
    drawn = split(DATA, 12, 3, seed=7)
    assert repr(drawn) == "Split(train 12, valid 3, test 5 of 20 frames, seed 7)"
    drawn.save(tmp_path / "s.npz")
    assert repr(Split.load(tmp_path / "s.npz")) == "Split(train 12, valid 3, test 5 of 20 frames)"
    assert repr(split(DATA, 12, 3, order="time")) == "Split(train 12, valid 3, test 5 of 20 frames)"


def test_split_saves_and_loads_exactly(tmp_path):
    s = split(DATA, 12, 3, seed=5)
    s.save(tmp_path / "split.npz")
    back = Split.load(tmp_path / "split.npz", DATA)
    for name in ("train", "valid", "test"):
        np.testing.assert_array_equal(getattr(back, name), getattr(s, name))
        assert getattr(back, name).dtype == np.int64
    train, valid, test = back.apply(DATA)
    assert train.names[0] == f"arrays[{s.train[0]}]" and (len(valid), len(test)) == (3, 5)


def test_split_of_other_data_is_refused(tmp_path):
    split(DATA, 12, 3).save(tmp_path / "split.npz")
    other = from_arrays([1, 1], POS[::-1], np.zeros(20), units="eV,Angstrom")
    with pytest.raises(DataError, match="made for other data"):
        Split.load(tmp_path / "split.npz", other)
    with pytest.raises(DataError, match="for 20 frames; the data set has 5"):
        Split.load(tmp_path / "split.npz", DATA.subset(range(5)))


def test_split_reads_files_of_schnetpack(tmp_path):
    np.savez(tmp_path / "s.npz", train_idx=np.arange(4), val_idx=[5], test_idx=[7, 9])
    assert Split.load(tmp_path / "s.npz", DATA).test.tolist() == [7, 9]


def test_split_overlap_and_range_are_checked():
    with pytest.raises(DataError, match=r"must not overlap.*\[2\]"):
        Split([1, 2], [2], [], 5)
    with pytest.raises(DataError, match=r"0\.\.4; received \[5\]"):
        Split([1], [2], [5], 5)
