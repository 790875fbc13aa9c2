"""Train, validation and test indices, saved beside the run."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pyff._atomic import atomic_write
from pyff.data.dataset import Dataset
from pyff.errors import DataError

__all__ = ["Split", "split"]

_PARTS = {"train": "train_idx", "valid": "val_idx", "test": "test_idx"}  # names of SchNetPack's split files


@dataclass(frozen=True)
class Split:
    """Disjoint frame indices of a data set of n_frames frames; seed where they were drawn here at random.

    Raises DataError where they overlap or lie outside.
    """

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    n_frames: int
    fingerprint: str = ""
    seed: int | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        counts = ", ".join(f"{name} {len(getattr(self, name))}" for name in _PARTS)
        return f"Split({counts} of {self.n_frames} frames{'' if self.seed is None else f', seed {self.seed}'})"

    def __post_init__(self) -> None:
        for name in _PARTS:
            index = np.asarray(getattr(self, name))
            if index.ndim != 1 or (index.size and index.dtype.kind not in "iu"):
                raise DataError(f"{name} must be a list of integers; received {index.dtype} of shape {index.shape}")
            object.__setattr__(self, name, index.astype(np.int64))
        together = np.concatenate([self.train, self.valid, self.test])
        outside = together[(together < 0) | (together >= self.n_frames)]
        if outside.size:
            raise DataError(f"indices must lie in 0..{self.n_frames - 1}; received {outside[:5].tolist()}")
        values, counts = np.unique(together, return_counts=True)
        if (counts > 1).any():
            raise DataError(f"parts must not overlap; frames in more than one: {values[counts > 1][:5].tolist()}")

    def save(self, path: str | Path) -> None:
        """Write an npz of train_idx, val_idx, test_idx (atomically)."""
        buffer = io.BytesIO()
        arrays = {key: getattr(self, name) for name, key in _PARTS.items()}
        np.savez(buffer, **arrays, n_frames=self.n_frames, fingerprint=self.fingerprint)
        atomic_write(path, buffer.getvalue())

    @classmethod
    def load(cls, path: str | Path, dataset: Dataset | None = None) -> Split:
        """Read a split; with `dataset`, refuse one that was made for other data. Also reads SchNetPack's files."""
        with np.load(path, allow_pickle=False) as archive:
            missing = [key for key in ("train_idx", "val_idx") if key not in archive.files]
            if missing:
                raise DataError(f"{path} must hold train_idx and val_idx; it holds {', '.join(archive.files)}")
            parts = {n: archive[k] if k in archive.files else np.zeros(0, int) for n, k in _PARTS.items()}
            highest = max((int(p.max()) + 1 for p in parts.values() if p.size), default=0)
            n_frames = int(archive["n_frames"]) if "n_frames" in archive.files else max(highest, len(dataset or ()))
            fingerprint = str(archive["fingerprint"]) if "fingerprint" in archive.files else ""
        loaded = cls(**parts, n_frames=n_frames, fingerprint=fingerprint)
        if dataset is not None:
            loaded.check(dataset)
        return loaded

    def check(self, dataset: Dataset) -> None:
        """Raise DataError if this split was made for other data."""
        if self.n_frames != len(dataset):
            raise DataError(f"the split is for {self.n_frames} frames; the data set has {len(dataset)}")
        if self.fingerprint and self.fingerprint != dataset.fingerprint():
            raise DataError("the split was made for other data: positions or energies differ")

    def apply(self, dataset: Dataset) -> tuple[Dataset, Dataset, Dataset]:
        """(train, valid, test) data sets."""
        self.check(dataset)
        return dataset.subset(self.train), dataset.subset(self.valid), dataset.subset(self.test)


def split(
    dataset: Dataset,
    train: int | float | None = None,
    valid: int | float = 0.1,
    test: int | float | None = None,
    *,
    seed: int = 0,
    order: str = "random",
) -> Split:
    """Divide the frames of a data set.

    Args:
        train, valid, test: numbers of frames (int) or fractions of all frames (float below 1). Of train and test, one
            may be left out and takes the rest; with both left out, test is a tenth.
        seed: of the permutation (numpy's PCG64, the same on every machine).
        order: "random", or "time": train first, then valid, test last, for frames of one trajectory.

    Raises:
        DataError: more frames asked for than exist, or an empty training or validation part.
    """
    n = len(dataset)
    if order not in ("random", "time"):
        raise DataError(f"order must be 'random' or 'time'; received {order!r}")
    if train is None and test is None:
        test = 0.1
    sizes = {"train": _size(train, n, "train"), "valid": _size(valid, n, "valid"), "test": _size(test, n, "test")}
    rest = n - sum(s or 0 for s in sizes.values())
    sizes = {name: max(rest, 0) if size is None else size for name, size in sizes.items()}
    asked = ", ".join(f"{name} {size}" for name, size in sizes.items())
    if rest < 0:
        raise DataError(f"train, valid and test must fit into the {n} frames of the data set; received {asked}")
    if sizes["train"] < 1 or sizes["valid"] < 1:
        raise DataError(
            f"train and valid must have at least one frame each; received {asked} of the {n} frames. Give numbers of "
            "frames (command line: --train 8 --valid 2), or more labelled frames"
        )
    indices = np.arange(n) if order == "time" else np.random.default_rng(seed).permutation(n)
    a, b = sizes["train"], sizes["train"] + sizes["valid"]
    # in time order the test part ends with the last frame, also where the parts do not cover everything
    last = indices[n - sizes["test"] :] if order == "time" else indices[b : b + sizes["test"]]
    return Split(indices[:a], indices[a:b], last, n, dataset.fingerprint(), seed if order == "random" else None)


def _size(value: int | float | None, n: int, name: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, float) and not 0 <= value < 1:
        raise DataError(
            f"{name} must be a fraction of at least 0 and below 1, or a whole number of frames; received {value}. "
            "Write a number of frames without a decimal point"
        )
    if value < 0:
        raise DataError(f"{name} must be a fraction or a number of frames; received {value}")
    return round(value * n) if isinstance(value, float) else int(value)
