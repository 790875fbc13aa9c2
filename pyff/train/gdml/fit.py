"""From frames to a tested GDML model in one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pyff._progress import Live
from pyff.data import Dataset, read
from pyff.models.gdml import GDML, GDMLConfig
from pyff.train.gdml.data import GdmlData
from pyff.train.gdml.errors import GdmlErrors, prediction_errors
from pyff.train.gdml.search import (
    DEFAULT_LAM,
    DEFAULT_SIGMAS,
    Candidate,
    best_of,
    edge_warning,
    ridge_warning,
    search,
)
from pyff.train.gdml.task import EnergyUse, GdmlTask, create_task
from pyff.train.gdml.training import train_task

__all__ = ["GdmlReport", "fit"]


@dataclass(frozen=True)
class GdmlReport:
    """What `fit` found. best: the model returned; test: errors on the frames left over, None where there are none.

    candidates: one per sigma and lambda, ascending; warnings: what should be looked at. Errors are in the units of the
    data.
    """

    best: Candidate
    candidates: tuple[Candidate, ...]
    test: GdmlErrors | None
    warnings: tuple[str, ...] = field(default=())

    def text(self) -> str:
        """Validation errors of every sigma (and lambda, where several were tried), test errors, warnings."""
        config = self.best.trained.task.config
        several = len({c.lam for c in self.candidates}) > 1
        ridge = lambda text: f" {text:>8}" if several else ""  # noqa: E731
        lines = [f"{'sigma':>8}{ridge('lambda')}  {'energy MAE':>10} {'RMSE':>8}  {'forces MAE':>10} {'RMSE':>8}"]
        for c in self.candidates:
            mark = "  <- best" if c is self.best and len(self.candidates) > 1 else ""
            lines.append(f"{c.sigma:>8g}{ridge(f'{c.lam:g}')}  {_numbers(c.errors)}{mark}")
        if self.test is not None:
            lines.append(f"{'test':>8}{ridge('')}  {_numbers(self.test)}  on {self.test.n} frames")
        units = f"energies in {config.energy_unit}, forces in {config.energy_unit}/{config.length_unit}"
        return "\n".join([*lines, units, *(f"warning: {w}" for w in self.warnings)])


def _numbers(e: GdmlErrors) -> str:
    energy = f"{'-':>10} {'-':>8}" if e.energy is None else f"{e.energy.mae:>10.4f} {e.energy.rmse:>8.4f}"
    return f"{energy}  {e.forces.mae:>10.4f} {e.forces.rmse:>8.4f}"


def fit(
    data: GdmlData | Dataset | str | Path, n_train: int, n_valid: int = 100, *,
    sigma: float | Sequence[float] = DEFAULT_SIGMAS, refined: bool = False,
    lam: float | Sequence[float] = DEFAULT_LAM, profile: str = "matern52", perms: np.ndarray | None = None,
    use_sym: bool = True, use_energy: EnergyUse | None = None, test: bool = True, solver: str = "auto",
    max_memory: float | None = None, device: torch.device | str = "cpu", units: str | None = None, seed: int = 0,
    quiet: bool = False,
) -> tuple[GDML, GdmlReport]:  # fmt: skip
    """Train an sGDML model: draw points, find the symmetries, choose the length scale, test on the frames left over.

        model, report = pyff.train.gdml.fit("ethanol.npz", 200, units="kcal/mol,Angstrom")
        print(report.text()); pyff.save(model, "ethanol.safetensors")

    Args:
        data: frames of one molecule or one cell; a path is read by `pyff.data.read`.
        n_train, n_valid: numbers of frames, drawn such that their energies are spread as all are.
        sigma: length scale, or several from which validation chooses (ascending, until the error rises).
        refined: search between the grid points and beyond its ends, too.
        lam: ridge, or several from which validation chooses: larger ones do not follow noise in the labels. All are
            tried with every sigma (`search` says why), each at the cost of a training.
        profile: of the kernel, "matern52" or "rbf".
        perms: permutations of the atoms [P, N]; found in the training points if not given. use_sym: False ignores all.
        use_energy: "constant", "constraints" or "none", see `GdmlTask`; "constant" where the data have energies.
        test: False spares the prediction of the frames left over.
        solver: "auto", "closed" or "iterative". max_memory: of it, GiB; what is free on the device if not given.
        device: "cpu", "cuda", "cuda:1", ...: where systems are solved and points predicted; the model stays there.
        units: "energy,length" of a path, where the file states none.
        seed: of all random choices. quiet: no progress on stderr.

    Raises:
        DataError: data that are not of one molecule or cell, not finite, too few, or of unknown units.
        ValueError: perms that are no group, no sigma or lam, or other arguments out of range.
    """
    data = _gdml_data(data, units)
    sigmas, lams = ([float(x) for x in np.atleast_1d(values)] for values in (sigma, lam))
    if not sigmas:
        raise ValueError("sigma must be one length scale or several; received none")
    if not lams or not all(0 <= x < np.inf for x in lams):
        raise ValueError(f"lam must be one ridge or several, 0 or positive; received {lam}")
    config = GDMLConfig(sigma=1.0, profile=profile)
    use_energy = use_energy or ("none" if data.energy is None else "constant")
    task = create_task(data, n_train, n_valid, config, perms=perms, use_sym=use_sym, use_energy=use_energy,
                       rng=np.random.default_rng(seed))  # fmt: skip
    with _Show(quiet) as show:

        def train(sigma: float, lam: float) -> Candidate:
            show.name = f"sigma {sigma:g}" + (f", lambda {lam:g}" if len(lams) > 1 else "")
            trained = train_task(task.with_sigma(sigma, lam), solver=solver, max_memory=max_memory, device=device,
                                 progress=show, say=show.say)  # fmt: skip
            return Candidate(trained, _errors(trained.model.to(device), task, data, task.source.valid))

        found = search(train, sigmas, lams, refined)
        best = best_of(found)
        left = np.setdiff1d(np.arange(len(data)), np.concatenate([task.source.train, task.source.valid]))
        tested = _errors(best.trained.model, task, data, left) if test and len(left) else None
    warnings = [edge_warning([c.sigma for c in found], best.sigma), ridge_warning(lams, best.lam)]
    warnings += best.trained.labels.warnings() if best.trained.labels else []
    report = GdmlReport(best, found, tested, tuple(w for w in warnings if w))
    best.trained.model.info = _record(task, best, tested)
    return best.trained.model, report


def _record(task: GdmlTask, best: Candidate, test: GdmlErrors | None) -> dict[str, Any]:
    """What the model file remembers, as JSON values; errors in the units of the data."""
    source, errors = task.source, test or best.errors
    info = {
        "data": source.name, "theory": source.theory, "md5_train": source.train_md5, "md5_valid": source.valid_md5,
        "n_train": len(source.train), "n_valid": len(source.valid), "n_test": test.n if test else 0,
        "idxs_train": source.train.tolist(), "idxs_valid": source.valid.tolist(), "use_energy": task.use_energy,
        "solver": best.trained.solver, "forces_error": vars(errors.forces).copy(),
    }  # fmt: skip
    info |= {"md5_test": source.train_md5} if test else {}
    return info if errors.energy is None else info | {"energy_error": vars(errors.energy).copy()}


def _gdml_data(data: GdmlData | Dataset | str | Path, units: str | None) -> GdmlData:
    if isinstance(data, GdmlData):
        return data
    if isinstance(data, Dataset):
        return GdmlData.from_dataset(data)
    return GdmlData.from_dataset(read([Path(data)], units=units), Path(data).name.split(".")[0])


def _errors(model: GDML, task: GdmlTask, data: GdmlData, frames: np.ndarray) -> GdmlErrors:
    energy = None if task.use_energy == "none" or data.energy is None else data.energy[frames]
    return prediction_errors(model, data.pos[frames], data.forces[frames], energy)


class _Show:
    """Progress of `fit`: a line per training, named `name`, and stage."""

    def __init__(self, quiet: bool) -> None:
        from rich.console import Console

        self.name = ""
        self._live = Live(Console(stderr=True, highlight=False), 1.0, quiet=quiet)

    def __enter__(self) -> _Show:
        self._live.__enter__()
        return self

    def __exit__(self, *exception) -> None:
        self._live.__exit__(*exception)

    def __call__(self, stage: str, done: float, total: float) -> None:
        self._live.show(done / total, f"{self.name}: {stage} {100 * done / total:.0f} %")

    def say(self, text: str) -> None:
        self._live.say(text)
