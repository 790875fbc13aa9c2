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


@dataclass(frozen=True)
class Error:
    """Mean absolute error and root mean square error."""

    mae: float
    rmse: float

    @classmethod
    def of(cls, difference: np.ndarray) -> Error:
        return cls(float(np.abs(difference).mean()), float(np.sqrt(np.mean(difference**2))))


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
        size, label_size = np.linalg.norm(predicted, axis=2), np.linalg.norm(label, axis=2)
        with np.errstate(invalid="ignore", divide="ignore"):
            cosine = (predicted * label).sum(2) / (size * label_size)
        angle = np.arccos(np.clip(np.nan_to_num(cosine, nan=1.0), -1.0, 1.0)) / np.pi
        energy = None if energy_difference is None else Error.of(energy_difference)
        return cls(energy, Error.of(predicted - label), Error.of(size - label_size), Error.of(angle), len(label))


def prediction_errors(
    model: GDML, pos: np.ndarray, forces: np.ndarray, energy: np.ndarray | None,
    progress: Callable[[int, GdmlErrors], None] = lambda done, errors: None,
) -> GdmlErrors:  # fmt: skip
    """Errors on labelled geometries [M, N, 3]; progress is told those of the geometries done so far."""
    predicted, difference = np.empty(np.shape(forces)), None if energy is None else np.empty(len(forces))
    for a in range(0, len(pos), BATCH):
        b = min(a + BATCH, len(pos))
        batch = torch.as_tensor(np.asarray(pos[a:b]), dtype=torch.float64, device=device_of(model))
        e, f = (x.cpu().numpy() for x in model.predict(batch))
        predicted[a:b] = f
        if difference is not None:
            difference[a:b] = e - energy[a:b]
        errors = GdmlErrors.of(predicted[:b], forces[:b], None if difference is None else difference[:b])
        progress(b, errors)
    return errors
