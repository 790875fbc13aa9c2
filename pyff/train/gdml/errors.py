"""Errors of a GDML model in the units of its data, by the definitions of sGDML's tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from pyff.models.base import device_of
from pyff.models.gdml import GDML

__all__ = ["Error", "GdmlErrors", "prediction_errors"]

BATCH = 250
BATCH_FLOP = 1e10  # crystals have thousands of permutations: less than a second between two calls of progress


@dataclass(frozen=True)
class Error:
    """Mean absolute error and root mean square error."""

    mae: float
    rmse: float


@dataclass(frozen=True)
class GdmlErrors:
    """energy: None where there are no energies. forces: of components. magnitude: of the atoms' force vectors.

    angle: between labelled and predicted force vectors, over pi. n: number of geometries.
    """

    energy: Error | None
    forces: Error
    magnitude: Error
    angle: Error
    n: int

    @classmethod
    def of(cls, predicted: np.ndarray, label: np.ndarray, energy_difference: np.ndarray | None) -> GdmlErrors:
        """From forces [M, N, 3] and differences of energies [M]."""
        sums = _Sums()
        sums.add(predicted, label, energy_difference)
        return sums.errors()


def prediction_errors(
    model: GDML, pos: np.ndarray, forces: np.ndarray, energy: np.ndarray | None,
    progress: Callable[[int, GdmlErrors], None] = lambda done, errors: None,
) -> GdmlErrors:  # fmt: skip
    """Errors on labelled geometries [M, N, 3]; progress is told those of the geometries done so far."""
    sums = _Sums()
    size = max(1, min(BATCH, int(BATCH_FLOP / (8 * model.points.numel() * len(model.perms)))))
    for a in range(0, len(pos), size):
        part = slice(a, a + size)
        batch = torch.as_tensor(np.asarray(pos[part]), dtype=torch.float64, device=device_of(model))
        e, f = (x.cpu().numpy() for x in model.predict(batch))
        sums.add(f, forces[part], None if energy is None else e - energy[part])
        progress(sums.n, sums.errors())
    return sums.errors()


class _Sums:
    """Sums of absolute values and of squares, so that long tests take no memory and each batch is looked at once."""

    def __init__(self) -> None:
        self.n = 0
        self._sums: dict[str, np.ndarray] = {}

    def add(self, predicted: np.ndarray, label: np.ndarray, energy_difference: np.ndarray | None) -> None:
        size, label_size = np.linalg.norm(predicted, axis=2), np.linalg.norm(label, axis=2)
        with np.errstate(invalid="ignore", divide="ignore"):
            cosine = (predicted * label).sum(2) / (size * label_size)
        # a force of zero has no direction
        angle = np.arccos(np.clip(np.nan_to_num(cosine, nan=1.0), -1.0, 1.0)) / np.pi
        self.n += len(label)
        parts = {"forces": predicted - label, "magnitude": size - label_size, "angle": angle}
        if energy_difference is not None:
            parts["energy"] = energy_difference
        for name, x in parts.items():
            self._sums[name] = self._sums.get(name, 0.0) + np.array([np.abs(x).sum(), np.square(x).sum(), np.size(x)])

    def errors(self) -> GdmlErrors:
        found = {name: Error(float(a / n), float(np.sqrt(q / n))) for name, (a, q, n) in self._sums.items()}
        return GdmlErrors(**{"energy": None, **found}, n=self.n)
