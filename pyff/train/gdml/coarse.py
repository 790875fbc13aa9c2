"""Coarse-grained GDML: mean forces from noisy ones by an ensemble in two layers.

The forces that atoms exert on beads scatter around the mean force -dU/dR by far more than it is, and exact
interpolation of n frames reproduces the scatter. Layer 1: many models, each of a batch small enough to be solved, all
with one sigma; their average forgets the scatter as 1 / batches. Layer 2: one model of the averages at a few thousand
points, cheap enough to be simulated.

Source: Wang, Chmiela, Müller, Noé, Clementi, J. Chem. Phys. 152, 194106 (2020). Units are those of the data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pyff.models.gdml.ad import ForceField, ForceKernel, fit_force_field
from pyff.train.gdml.closed_form import Progress

__all__ = ["CrossValidation", "TwoLayers", "cross_validated", "fit_layer", "fit_two_layers", "mean_forces"]

Draw = Callable[[np.ndarray, np.random.Generator], tuple[Sequence[np.ndarray], np.ndarray]]


@dataclass(frozen=True)
class TwoLayers:
    """Kernels and ridges of both layers. Ridges are relative to the variance of what a layer is fitted to."""

    first: ForceKernel
    second: ForceKernel
    first_ridge: float = 1e-10
    second_ridge: float = 1e-10


@dataclass(frozen=True)
class CrossValidation:
    """Mean squared differences per component between predicted and instantaneous forces of held-out frames: the error
    of the mean force plus the scatter, which no model can get below."""

    errors: np.ndarray  # one per fold

    @property
    def mean(self) -> float:
        return float(self.errors.mean())

    @property
    def standard_error(self) -> float:
        return float(self.errors.std(ddof=1) / np.sqrt(len(self.errors)))


def fit_layer(
    kernel: ForceKernel, pos: Tensor, forces: Tensor, batches: Sequence[np.ndarray], ridge: float = 1e-10,
    progress: Progress = lambda stage, done, total: None,
) -> list[ForceField]:  # fmt: skip
    """One field per batch of frames; frames drawn twice into a batch count once.

    pos, forces [S,N,3] (what a prior explains is subtracted by the caller); batches: indices of frames.
    """
    fields = []
    for k, batch in enumerate(batches):
        frames = torch.as_tensor(np.unique(batch))
        fields.append(fit_force_field(kernel, pos[frames], forces[frames], lam=ridge))
        progress("fitting batches", k + 1, len(batches))
    return fields


def mean_forces(fields: Sequence[ForceField], pos: Tensor) -> Tensor:
    """Average of the fields' forces [S,N,3] at positions [S,N,3]."""
    total = torch.zeros_like(pos)
    for field in fields:
        total += field.predict(pos)[1]
    return total / len(fields)


def fit_two_layers(
    layers: TwoLayers, pos: Tensor, forces: Tensor, batches: Sequence[np.ndarray], points: np.ndarray,
    progress: Progress = lambda stage, done, total: None,
) -> ForceField:  # fmt: skip
    """The second layer, fitted to the first layer's average at the frames `points`."""
    pos, forces = (torch.as_tensor(x, dtype=torch.float64) for x in (pos, forces))
    if not len(batches) or not len(points):
        raise ValueError(f"batches and points must not be empty; received {len(batches)} and {len(points)}")
    fields = fit_layer(layers.first, pos, forces, batches, layers.first_ridge, progress)
    return _second_layer(layers, fields, pos[torch.as_tensor(np.unique(points))])


def cross_validated(
    layers: TwoLayers, pos: Tensor, forces: Tensor, draw: Draw, folds: int = 5, seed: int = 0
) -> CrossValidation:
    """Each fold of the frames in turn is left out, both layers are made from the others, and tested on it.

    draw(frames, rng) -> (batches, points): indices for the layers, out of the frames it is given.
    """
    pos, forces = (torch.as_tensor(x, dtype=torch.float64) for x in (pos, forces))
    if not 2 <= folds <= len(pos):
        raise ValueError(f"folds must lie in 2..{len(pos)}, the number of frames; received {folds}")
    rng = np.random.default_rng(seed)
    parts = np.array_split(rng.permutation(len(pos)), folds)
    errors = []
    for k, held_out in enumerate(parts):
        batches, points = draw(np.sort(np.concatenate(parts[:k] + parts[k + 1 :])), rng)
        field = fit_two_layers(layers, pos, forces, batches, points)
        frames = torch.as_tensor(held_out)
        errors.append(float((field.predict(pos[frames])[1] - forces[frames]).square().mean()))
    return CrossValidation(np.array(errors))


def _second_layer(layers: TwoLayers, fields: Sequence[ForceField], pos: Tensor) -> ForceField:
    return fit_force_field(layers.second, pos, mean_forces(fields, pos), lam=layers.second_ridge)
