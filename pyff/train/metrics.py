"""Errors of a model on labelled frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from pyff.data.dataset import Dataset
from pyff.train.graphs import GraphStore
from pyff.units import Units

__all__ = ["ErrorStats", "Metrics", "Predictions", "evaluate", "predict"]


@dataclass(frozen=True)
class ErrorStats:
    """Mean absolute error, root mean square error, root mean square of the labels (of their deviation from the mean
    for energies), number of values."""

    mae: float
    rmse: float
    rms: float
    count: int


@dataclass(frozen=True)
class Predictions:
    """Labels and predictions side by side, only where a label exists; eV, eV/A, eV/A^3, float64.

    energy, energy_label, n_atoms [K]; forces, forces_label [L,3]; stress, stress_label [S,3,3] with the volume (A^3)
    and stress_n_atoms [S] of their frames.
    """

    energy: np.ndarray
    energy_label: np.ndarray
    n_atoms: np.ndarray
    forces: np.ndarray
    forces_label: np.ndarray
    stress: np.ndarray
    stress_label: np.ndarray
    volume: np.ndarray
    stress_n_atoms: np.ndarray
    n_frames: int = 0


@dataclass(frozen=True)
class Metrics:
    """Errors in eV, eV/atom, eV/A, eV/A^3; None where no frame carries the label. units: of the data, for tables."""

    energy: ErrorStats | None
    energy_per_atom: ErrorStats | None
    forces: ErrorStats | None
    stress: ErrorStats | None
    n_frames: int
    units: Units = field(default_factory=Units)

    @classmethod
    def of(cls, p: Predictions, units: Units | None = None) -> Metrics:
        """Metrics of predictions."""
        return cls(
            energy=_stats(p.energy, p.energy_label, centred=True),
            energy_per_atom=_stats(p.energy / p.n_atoms, p.energy_label / p.n_atoms, centred=True),
            forces=_stats(p.forces, p.forces_label),
            stress=_stats(p.stress, p.stress_label),
            n_frames=p.n_frames,
            units=units or Units(),
        )

    def rows(self) -> list[tuple[str, float, float, float, str]]:
        """(quantity, MAE, RMSE, RMS of the labels, unit) in the units of the data."""
        u = self.units
        kinds = [
            ("energy", self.energy, u.energy_factor, u.energy),
            ("energy per atom", self.energy_per_atom, u.energy_factor, f"{u.energy}/atom"),
            ("force components", self.forces, u.force_factor, u.force),
            ("stress components", self.stress, u.stress_factor, u.stress),
        ]
        return [(name, s.mae / f, s.rmse / f, s.rms / f, unit) for name, s, f, unit in kinds if s is not None]

    def table(self) -> str:
        """Text table in the units of the data, and in eV where these are others."""
        rows = self.rows()
        if self.units != Units():
            rows += Metrics(**{**vars(self), "units": Units()}).rows()
        lines = [f"{f'{self.n_frames} frames':<18}{'MAE':>12}{'RMSE':>12}{'RMS label':>12}  unit"]
        lines += [f"{name:<18}{mae:>12.5g}{rmse:>12.5g}{rms:>12.5g}  {unit}" for name, mae, rmse, rms, unit in rows]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, float]:
        """Flat numbers for JSON: energy_mae, energy_rmse, energy_per_atom_mae, forces_mae, ... in eV and A."""
        found = {}
        for name in ("energy", "energy_per_atom", "forces", "stress"):
            stats = getattr(self, name)
            if stats is not None:
                found |= {f"{name}_mae": stats.mae, f"{name}_rmse": stats.rmse}
        return found


def _stats(predicted: np.ndarray, label: np.ndarray, centred: bool = False) -> ErrorStats | None:
    if not label.size:
        return None
    error = predicted - label
    size = label - label.mean() if centred else label
    rms = lambda x: float(np.sqrt(np.mean(x**2)))  # noqa: E731
    return ErrorStats(float(np.abs(error).mean()), rms(error), rms(size), label.size)


def predict(model, data: Dataset | GraphStore, batch_size: int = 32) -> Predictions:
    """Predictions of a model for the labels a data set carries; the model's mode (train, eval) is put back."""
    parameter = next(model.parameters())
    store = data if isinstance(data, GraphStore) else GraphStore(data.systems, model.needs, parameter.device)
    want = [name for name in ("energy", "forces", "stress") if store.has(name)] or ["energy"]
    found: dict[str, list[np.ndarray]] = {}
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for start in range(0, len(store), batch_size):
                graph, labels = store.batch(np.arange(start, min(start + batch_size, len(store))))
                _collect(found, model(graph, want), labels)
    finally:
        model.train(training)
    return _predictions(found, len(store))


def _collect(found: dict[str, list[np.ndarray]], output, labels) -> None:
    n_atoms = labels.n_atoms.cpu().numpy()
    masks = {
        "energy": labels.has_energy,
        "forces": np.repeat(labels.has_forces, n_atoms),
        "stress": labels.has_stress,
    }
    found.setdefault("n_atoms", []).append(n_atoms[masks["energy"]])
    found.setdefault("stress_n_atoms", []).append(n_atoms[masks["stress"]])
    found.setdefault("volume", []).append(labels.volume.cpu().numpy()[masks["stress"]])
    for name, mask in masks.items():
        if mask.any():
            found.setdefault(name, []).append(getattr(output, name).cpu().numpy()[mask])
            found.setdefault(f"{name}_label", []).append(getattr(labels, name).cpu().numpy()[mask])


def _predictions(found: Mapping[str, list[np.ndarray]], n_frames: int) -> Predictions:
    shapes = {"energy": (0,), "forces": (0, 3), "stress": (0, 3, 3)}
    empty = {k: np.zeros(s) for name, s in shapes.items() for k in (name, f"{name}_label")}
    return Predictions(**(empty | {k: np.concatenate(v) for k, v in found.items()}), n_frames=n_frames)


def evaluate(model, dataset: Dataset, batch_size: int = 32) -> Metrics:
    """Errors of a model on a data set, reported in the units of the data.

    Args:
        model: a Potential on any device; its weights as they are. dataset: frames with labels. batch_size: frames.
    """
    return Metrics.of(predict(model, dataset, batch_size), dataset.units)
