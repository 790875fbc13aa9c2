"""Errors of a model on labelled frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from pyff.batch import LABELS, Output
from pyff.data.dataset import Dataset
from pyff.models.base import device_of
from pyff.train.graphs import GraphStore
from pyff.train.labels import Labels
from pyff.units import Units

__all__ = ["ErrorStats", "Metrics", "Predictions", "evaluate", "predict"]

_TITLES = {
    "energy": "energy", "energy_per_atom": "energy per atom", "forces": "force components",
    "stress": "stress components", "dipole": "dipole components", "charges": "atomic charges",
    "hirshfeld": "Hirshfeld ratios", "target": "target",
}  # fmt: skip


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
    """Labels and predictions side by side, only where a label exists; eV, eV/A, eV/A^3, e A, e, float64.

    NAME and NAME_label for every name of `pyff.batch.LABELS`, without rows where no frame carries the label; n_atoms of
    the frames of energy; volume (A^3) and stress_n_atoms of the frames of stress.
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
    dipole: np.ndarray
    dipole_label: np.ndarray
    charges: np.ndarray
    charges_label: np.ndarray
    hirshfeld: np.ndarray
    hirshfeld_label: np.ndarray
    target: np.ndarray
    target_label: np.ndarray
    n_frames: int = 0

    def pair(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """(predictions, labels) of a quantity."""
        return getattr(self, name), getattr(self, f"{name}_label")


@dataclass(frozen=True)
class Metrics:
    """Errors in eV, eV/atom, eV/A, eV/A^3, e A, e; None where no frame carries the label. units: of the data, for
    tables."""

    energy: ErrorStats | None
    energy_per_atom: ErrorStats | None
    forces: ErrorStats | None
    stress: ErrorStats | None
    dipole: ErrorStats | None
    charges: ErrorStats | None
    hirshfeld: ErrorStats | None
    target: ErrorStats | None
    n_frames: int
    units: Units = field(default_factory=Units)

    @classmethod
    def of(cls, p: Predictions, units: Units | None = None) -> Metrics:
        """Metrics of predictions."""
        found = {name: _stats(*p.pair(name), centred=name in ("energy", "target")) for name in LABELS}
        per_atom = _stats(p.energy / p.n_atoms, p.energy_label / p.n_atoms, centred=True)
        return cls(**found, energy_per_atom=per_atom, n_frames=p.n_frames, units=units or Units())

    def rows(self) -> list[tuple[str, float, float, float, str]]:
        """(quantity, MAE, RMSE, RMS of the labels, unit) in the units of the data."""
        found = []
        for name, title in _TITLES.items():
            stats: ErrorStats | None = getattr(self, name)
            factor, unit = self.units.of_label("energy" if name == "energy_per_atom" else name)
            unit += "/atom" if name == "energy_per_atom" else ""
            if stats is not None:
                found.append((title, stats.mae / factor, stats.rmse / factor, stats.rms / factor, unit))
        return found

    def table(self) -> str:
        """Text table in the units of the data, and in eV where these are others."""
        rows = self.rows()
        if self.units != Units():
            rows += [row for row in Metrics(**{**vars(self), "units": Units()}).rows() if row not in rows]
        lines = [f"{f'{self.n_frames} frames':<18}{'MAE':>12}{'RMSE':>12}{'RMS label':>12}  unit"]
        lines += [f"{name:<18}{mae:>12.5g}{rmse:>12.5g}{rms:>12.5g}  {unit}" for name, mae, rmse, rms, unit in rows]
        return "\n".join(line.rstrip() for line in lines)

    def as_dict(self) -> dict[str, float]:
        """Flat numbers for JSON: energy_mae, energy_rmse, energy_per_atom_mae, forces_mae, ... in eV, A and e."""
        found = {}
        for name in _TITLES:
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
    """Predictions of a model for the labels a data set carries and the model offers.

    The model's mode (train, eval) is put back.
    """
    store = data if isinstance(data, GraphStore) else GraphStore(data.systems, model.needs, device_of(model))
    want = _comparable(model, store)
    found: dict[str, list[np.ndarray]] = {}
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for start in range(0, len(store) if want else 0, batch_size):
                graph, labels = store.batch(np.arange(start, min(start + batch_size, len(store))))
                _collect(found, model(graph, want), labels, want)
    finally:
        model.train(training)
    return _predictions(found, len(store))


def _comparable(model, store: GraphStore) -> list[str]:
    """Labels of the store that the model can predict; no dipole moments where a structure is periodic."""
    offers = getattr(model, "offers", LABELS)
    names = [name for name in LABELS if store.has(name) and name in offers]
    return [name for name in names if name != "dipole" or not store.any_periodic]


def _collect(found: dict[str, list[np.ndarray]], output: Output, labels: Labels, names: Sequence[str]) -> None:
    n_atoms, volume = labels.n_atoms.cpu().numpy(), labels.volume.cpu().numpy()
    found.setdefault("n_atoms", []).append(n_atoms[labels.has["energy"]])
    found.setdefault("stress_n_atoms", []).append(n_atoms[labels.has["stress"]])
    found.setdefault("volume", []).append(volume[labels.has["stress"]])
    for name in names:
        rows = labels.rows(name)
        if rows.any():
            found.setdefault(name, []).append(getattr(output, name).cpu().numpy()[rows])
            found.setdefault(f"{name}_label", []).append(labels.values[name].cpu().numpy()[rows])


def _predictions(found: Mapping[str, list[np.ndarray]], n_frames: int) -> Predictions:
    shapes = {name: [0, *(x for x in shape if x != "N")] for name, (shape, _) in LABELS.items()}
    empty = {k: np.zeros(s) for name, s in shapes.items() for k in (name, f"{name}_label")}
    empty |= {"n_atoms": np.zeros(0), "stress_n_atoms": np.zeros(0), "volume": np.zeros(0)}
    values = empty | {k: np.concatenate(v) for k, v in found.items()}
    if not values["energy"].size:  # labelled, but the model does not predict energies
        values["n_atoms"] = np.zeros(0)
    return Predictions(**values, n_frames=n_frames)


def evaluate(model, dataset: Dataset, batch_size: int = 32) -> Metrics:
    """Errors of a model on a data set, reported in the units of the data.

    Args:
        model: a Potential on any device; its weights as they are. dataset: frames with labels. batch_size: frames.
    """
    return Metrics.of(predict(model, dataset, batch_size), dataset.units)
