"""Fine-tuning: a trained model goes on learning from other data, whole or in part."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase.data import chemical_symbols

from pyff.data.dataset import Dataset
from pyff.data.reference import reference_energies
from pyff.errors import UnseenElementError
from pyff.models.base import EnergyModel
from pyff.models.file import load
from pyff.train.config import TrainConfig
from pyff.train.metrics import Predictions, predict
from pyff.train.report import Report
from pyff.train.trainer import Trainer

__all__ = ["FineTuned", "finetune", "refit_reference_energies", "trainable_parameters"]

FULL = "full"


@dataclass(frozen=True)
class FineTuned:
    """Result of `finetune`. model: the tuned one, in eval mode; before, after: predictions on the test frames (the
    validation frames where no test is given), with the refitted reference energies; text: what the refit did."""

    model: EnergyModel
    report: Report
    before: Predictions
    after: Predictions
    text: str


def finetune(
    parent: EnergyModel | str | Path,
    train: Dataset,
    valid: Dataset,
    run_dir: str | Path,
    *,
    strategy: str = FULL,
    test: Dataset | None = None,
    config: TrainConfig | None = None,
    quiet: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    on_start: Callable[[], None] | None = None,
) -> FineTuned:
    """Train a trained model further. The tuned model remembers its parent in model.info["parent"].

        tuned = pyff.finetune("so3lr.safetensors", train, valid, "run", strategy="last_layer")
        pyff.save(tuned.model, "mine.safetensors")

    Args:
        parent: a model file, or a model, which is changed.
        train, valid, test: labelled frames of elements the parent knows; test for the errors before and after.
        run_dir, quiet, resume, overwrite, on_start: as in Trainer. Its checkpoints are there, too.
        strategy: "full" trains every weight; "last_layer", "first_layer", "final_mlp" (the readouts) only those;
            joined by "+", several. The requires_grad of the weights is what it was when this returns.
        config: TrainConfig.for_data("finetune", train) where None.

    Raises:
        UnseenElementError: frames with elements the parent was not trained on.
        ValueError: an unknown strategy. PyffError and others: as Trainer.fit.
    """
    model, origin = _parent(parent)
    about = model.info
    for name, data in (("train", train), ("valid", valid), ("test", test)):
        _require_elements(model, name, data, origin["file"])
    chosen = set(trainable_parameters(model, strategy))
    text = refit_reference_energies(model, train)
    compared = test if test is not None and len(test) else valid
    before = predict(model, compared)
    config = config or TrainConfig.for_data("finetune", train)
    flags = {name: p.requires_grad for name, p in model.named_parameters()}
    try:
        for name, p in model.named_parameters():
            p.requires_grad_(name in chosen)
        trainer = Trainer(model, config, run_dir, quiet=quiet)
        report = trainer.fit(train, valid, resume=resume, overwrite=overwrite, on_start=on_start)
    finally:
        for name, p in model.named_parameters():
            p.requires_grad_(flags[name])
    model.info = {"parent": {**origin, "strategy": strategy, "info": about}}
    return FineTuned(model, report, before, predict(model, compared), text)


def trainable_parameters(model: EnergyModel, strategy: str) -> list[str]:
    """Names of the parameters that a strategy trains. Raises ValueError for one the model does not know."""
    names = [name for name, _ in model.named_parameters()]
    groups = {FULL: tuple(names), **model.parameter_groups()}
    parts = strategy.split("+")
    unknown = [part for part in parts if part not in groups]
    if unknown:
        raise ValueError(
            f"strategy must be one of {', '.join(groups)} for this {model.architecture} model, or several joined by +; "
            f"received {strategy!r}"
        )
    return [name for name in names if any(name in groups[part] for part in parts)]


def refit_reference_energies(model: EnergyModel, data: Dataset) -> str:
    """Move the model's energies to the zero of a data set; the sentence that says by how much.

    Reference energies change by the least-squares fit, per element in float64, of what the model's energies miss; where
    the compositions do not tell elements apart, by the same amount. Elements that the data lack keep theirs. Forces do
    not change.
    """
    labelled = [k for k, s in enumerate(data) if "energy" in s.labels]
    if not labelled or "energy" not in model.offers:
        return "reference energies: as they were, no frame has an energy"
    frames = data.subset(labelled)
    p = predict(model, frames)
    missed = tuple(s.with_labels(energy=e) for s, e in zip(frames, p.energy_label - p.energy))
    shift = reference_energies(Dataset(missed, frames.names))
    references = model.reference_energy
    model.set_reference_energy({z: e + shift.values.get(z, 0.0) for z, e in references.items()})
    moved = ", ".join(f"{chemical_symbols[z]} {e:+.4f}" for z, e in shift.values.items())
    return f"reference energies moved to the zero of the data, {shift.method} (eV): {moved}"


def _parent(parent: EnergyModel | str | Path) -> tuple[EnergyModel, dict[str, Any]]:
    """The model, and what its child remembers of it."""
    if isinstance(parent, EnergyModel):
        return parent, {"file": None, "sha256": None}
    path = Path(parent)
    model = load(path)
    return model, {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _require_elements(model: EnergyModel, name: str, data: Dataset | None, file: str | None) -> None:
    if data is None:
        return
    unseen = sorted({z for s in data for z in s.Z.tolist()} - set(model.elements))
    if not unseen:
        return
    symbols = lambda numbers: ", ".join(chemical_symbols[z] for z in numbers)  # noqa: E731
    with_them = [n for s, n in zip(data, data.names) if set(s.Z.tolist()) & set(unseen)]
    raise UnseenElementError(
        f"{name} holds {symbols(unseen)} in {len(with_them)} frames ({', '.join(with_them[:3])}), but "
        f"{file or 'the model'} was trained on {symbols(model.elements)} only, and fine-tuning cannot add elements: "
        "leave these frames out, start from a model that knows them, or train a new one with `pyff fit`"
    )
