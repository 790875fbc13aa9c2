"""Atomic reference energies: what is subtracted from total energies before a float32 network sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from pyff.data.dataset import Dataset

__all__ = ["ReferenceEnergies", "reference_energies"]


@dataclass(frozen=True)
class ReferenceEnergies:
    """E0 per element and what is left of the energies.

    values: eV by atomic number. method: "isolated atoms", "least squares", "mean per atom" or "none".
    residual_mean: mean over atoms of E - sum E0, eV per atom; residual_rms: its spread over frames, eV per atom.
    text: a sentence for the report.
    """

    values: Mapping[int, float] = field(default_factory=dict)
    method: str = "none"
    residual_mean: float = 0.0
    residual_rms: float = 0.0
    text: str = ""

    def total(self, Z: np.ndarray) -> float:
        """Sum of E0 over atoms, eV, float64."""
        return float(sum(self.values[int(z)] for z in Z))


def reference_energies(dataset: Dataset, method: str | None = None) -> ReferenceEnergies:
    """Reference energies of the elements of a data set (use the training part), in float64.

    Energies of isolated atoms where the data give one for every element. Else least squares of the total energies on
    the compositions, the deviation from the mean energy per atom having minimum norm, so that elements the
    compositions cannot tell apart share one value. With one composition only, that is the mean energy per atom.

    Args:
        dataset: frames with energies; frames without are passed over.
        method: None chooses as above; "isolated atoms", "least squares" or "mean per atom" insists.

    Raises:
        ValueError: isolated atoms insisted on, but an element has none; an unknown method.
    """
    known = (None, "isolated atoms", "least squares", "mean per atom")
    if method not in known:
        raise ValueError(f"method must be one of {known}; received {method!r}")
    elements = [z for z in dataset.elements if any((z == s.Z).any() for s in dataset)]
    missing = [z for z in elements if z not in dataset.isolated_atoms]
    if method == "isolated atoms" and missing:
        raise ValueError(f"method 'isolated atoms' needs one frame per element; missing Z = {missing}")
    labelled = [s for s in dataset if "energy" in s.labels]
    counts = np.array([[np.sum(z == s.Z) for z in elements] for s in labelled], dtype=np.float64)
    energy = np.array([float(s.labels["energy"]) for s in labelled])
    if method in (None, "isolated atoms") and elements and not missing:
        values, used = np.array([dataset.isolated_atoms[z] for z in elements]), "isolated atoms"
    elif not labelled:
        return ReferenceEnergies(dict.fromkeys(elements, 0.0), text="reference energies: none, no frame has an energy")
    else:
        values, used = _fit(counts, energy, method)
    return _summary(elements, values, used, counts, energy, missing if dataset.isolated_atoms else [])


def _fit(counts: np.ndarray, energy: np.ndarray, method: str | None) -> tuple[np.ndarray, str]:
    """Mean energy per atom plus the minimum-norm correction that fits the compositions."""
    mean = energy.sum() / counts.sum()
    values = np.full(counts.shape[1], mean)
    rank = np.linalg.matrix_rank(np.unique(counts, axis=0))
    if method == "mean per atom" or (method is None and rank < 2 and counts.shape[1] > 1):
        return values, "mean per atom"
    for _ in range(2):  # the second pass removes the rounding of the first where totals are 1e6 eV
        values = values + np.linalg.lstsq(counts, energy - counts @ values, rcond=1e-10)[0]
    return values, "least squares"


def _summary(elements, values, used, counts, energy, missing) -> ReferenceEnergies:
    from ase.data import chemical_symbols

    residual = np.zeros(1)
    if len(energy):
        residual = (energy - counts @ values) / counts.sum(axis=1)
    listed = ", ".join(f"{chemical_symbols[z]} {v:.4f}" for z, v in zip(elements, values))
    text = f"reference energies from {used} (eV): {listed}; left: {residual.mean():.4f} +- {residual.std():.4f} eV/atom"
    if missing:
        text += f"; isolated atoms were not used, none for {', '.join(chemical_symbols[z] for z in missing)}"
    return ReferenceEnergies(
        values={z: float(v) for z, v in zip(elements, values)},
        method=used,
        residual_mean=float(residual.mean()),
        residual_rms=float(residual.std()),
        text=text,
    )
