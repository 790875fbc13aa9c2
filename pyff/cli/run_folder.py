"""What `pyff fit` and `pyff finetune` share: the split of the frames, and what a model remembers of its training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pyff.cli.run_config import DataConfig, SplitConfig
from pyff.data import Dataset, Split, split
from pyff.errors import PyffError
from pyff.train import Metrics, Report

__all__ = ["choose_split", "errors_info", "require_known_elements", "run_info"]


def choose_split(s: SplitConfig, data: Dataset, folder: Path, *, resume: bool, overwrite: bool, again: str) -> Split:
    """The split of a run: that of the folder where the run is resumed, a saved one, or a new one.

    Raises PyffError if the folder holds a run and neither flag is set; `again`: the command that would continue it.
    """
    path = folder / "split.npz"
    if resume and path.is_file():
        return Split.load(path, data)
    if (folder / "last.safetensors").exists() and not overwrite:
        raise PyffError(
            f"{folder} holds a run already: add --overwrite to replace it, choose another --out, or continue it with "
            f"{again}"
        )
    return Split.load(s.file, data) if s.file else split(data, s.train, s.valid, s.test, seed=s.seed, order=s.order)


def require_known_elements(train: Dataset, *others: Dataset) -> None:
    """Raise PyffError if a validation or test frame has an element that no training frame has."""
    from ase.data import chemical_symbols

    known = {z for s in train for z in s.Z.tolist()}
    strange = [(name, set(s.Z.tolist()) - known) for data in others for s, name in zip(data, data.names)]
    strange = [(name, unseen) for name, unseen in strange if unseen]
    if strange:
        symbols = ", ".join(chemical_symbols[z] for z in sorted(set.union(*(unseen for _, unseen in strange))))
        names = ", ".join(name for name, _ in strange[:5]) + (", ..." if len(strange) > 5 else "")
        raise PyffError(
            f"validation and test frames must have elements of the training frames only; {len(strange)} have {symbols}:"
            f" {names}. Train on such frames too (another --seed, --order or --split), or leave them out"
        )


def run_info(config: DataConfig, data: Dataset, train: Dataset, valid: Dataset, report: Report) -> dict[str, Any]:
    """Data, training and ranges of a run, as JSON values."""
    return {
        "data": {
            "files": [Path(f).name for f in config.files],
            "fingerprint": data.fingerprint(),
            "units": {"energy": data.units.energy, "length": data.units.length},
            "n_train": len(train),
            "n_valid": len(valid),
        },
        "training": {"epochs": report.epochs, "steps": report.steps, "seconds": round(report.seconds, 1)},
        "ranges": _ranges(train),
    }


def errors_info(report: Report, test: Metrics | None) -> dict[str, Any]:
    """Validation and test errors, in eV, A and e."""
    return {"valid": report.valid.as_dict(), "test": test.as_dict() if test else None}


def _ranges(train: Dataset) -> dict[str, Any]:
    """What the model has seen: sizes of structures, energies per atom, largest force."""
    per_atom = [float(s.labels["energy"]) / len(s) for s in train if "energy" in s.labels]
    forces = [float(np.abs(s.labels["forces"]).max()) for s in train if "forces" in s.labels]
    return {
        "n_atoms": [min(len(s) for s in train), max(len(s) for s in train)],
        "energy_per_atom": [min(per_atom), max(per_atom)] if per_atom else None,
        "largest_force": max(forces) if forces else None,
        "periodic": any(bool(s.pbc.any()) for s in train),
    }
