"""Labels of structures as tensors, and which structures carry them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pyff.batch import LABELS, System

__all__ = ["PER_ATOM", "LabelStore", "Labels", "squared_error"]

PER_ATOM = frozenset(name for name, (shape, _) in LABELS.items() if shape[:1] == ("N",))


@dataclass(frozen=True)
class Labels:
    """Labels of a batch in float64, in the units of `pyff.batch.LABELS`.

    values: label -> [B, ...] or [N, ...], NaN where a frame has none; labels that no frame of the data set carries are
    absent. has: label -> which frames carry it, [B] bool on the CPU, of every name in LABELS. n_atoms [B]; volume [B]
    A^3, 0 for open structures.
    """

    values: Mapping[str, Tensor]
    has: Mapping[str, np.ndarray]
    n_atoms: Tensor
    volume: Tensor

    def rows(self, name: str) -> np.ndarray:
        """Which rows of values[name] hold a label, bool on the CPU: the frames', or those of their atoms."""
        return np.repeat(self.has[name], self.n_atoms.cpu().numpy()) if name in PER_ATOM else self.has[name]


class LabelStore:
    """Labels of many structures on one device."""

    def __init__(self, systems: Sequence[System], device: torch.device) -> None:
        self.has = {name: np.array([name in s.labels for s in systems]) for name in LABELS}
        present = [name for name in LABELS if self.has[name].any()]
        self._values = {name: torch.from_numpy(_stacked(name, systems)).to(device) for name in present}
        volume = [abs(np.linalg.det(s.cell)) if s.pbc.all() else 0.0 for s in systems]
        self._volume = torch.tensor(volume, dtype=torch.float64, device=device)

    def batch(self, index: np.ndarray, systems: Tensor, atoms: Tensor, n_atoms: Tensor) -> Labels:
        """Labels of the structures `index` (also as the tensor `systems`), which own the atoms `atoms`."""
        return Labels(
            values={name: x[atoms if name in PER_ATOM else systems] for name, x in self._values.items()},
            has={name: flags[index] for name, flags in self.has.items()},
            n_atoms=n_atoms,
            volume=self._volume[systems],
        )


def _stacked(name: str, systems: Sequence[System]) -> np.ndarray:
    shape = LABELS[name][0]
    missing = lambda s: np.full([len(s) if x == "N" else x for x in shape], np.nan)  # noqa: E731
    values = [s.labels[name] if name in s.labels else missing(s) for s in systems]
    return np.concatenate(values) if name in PER_ATOM else np.stack(values)


def squared_error(name: str, predicted, label, n_atoms, volume):
    """What the loss averages, elementwise, of torch tensors or numpy arrays.

    energy: DE^2 / n. stress: (V Dsigma)^2 / n, the virial being an energy too. Others: the squared difference.
    n_atoms, volume: of the frames of the rows; only read for energy and stress.
    """
    if name == "energy":
        return (predicted - label) ** 2 / n_atoms
    if name == "stress":
        return (volume[:, None, None] * (predicted - label)) ** 2 / n_atoms[:, None, None]
    return (predicted - label) ** 2
