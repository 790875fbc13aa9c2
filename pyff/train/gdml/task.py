"""A training task: everything that determines one GDML model."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from pyff.errors import DataError, PyffError
from pyff.models.gdml import GDMLConfig
from pyff.models.gdml.permutations import checked_permutations, find_permutations
from pyff.train.gdml.data import GdmlData
from pyff.train.gdml.sampling import stratified_sample

__all__ = ["EnergyUse", "GdmlTask", "Source", "Start", "create_task", "draw_points"]

EnergyUse = Literal["constant", "constraints", "none"]


@dataclass(frozen=True)
class Source:
    """Where training and validation points come from.

    train, valid: indices of frames; train_md5, valid_md5: fingerprints of the data sets they index. name, theory,
    energy_unit, length_unit: as the data set states them.
    """

    train: np.ndarray
    valid: np.ndarray
    train_md5: str = ""
    valid_md5: str = ""
    name: str = "unknown"
    theory: str = "unknown"
    energy_unit: str | None = None
    length_unit: str | None = None


@dataclass(frozen=True)
class Start:
    """Where an iterative solver begins: coefficients alpha (sGDML's sign) and what it knew."""

    alphas_F: np.ndarray
    alphas_E: np.ndarray | None = None
    solver_iters: int = 0
    inducing_pts_idxs: np.ndarray | None = None


@dataclass(frozen=True)
class GdmlTask:
    """Labels, hyper-parameters and symmetries of one model.

    Args:
        config: length scale, ridge, profile, cell and units.
        Z: atomic numbers [N].
        pos, forces: training points [M, N, 3]; energy: [M] or None.
        perms: permutations of the atoms [P, N], a group.
        use_energy: "constant": energies fix the integration constant; "constraints": they are learned too; "none".
        source: which frames these are.
        start: coefficients to begin with, of an iterative solver.

    Raises:
        DataError: shapes that do not fit each other, or no energies where they are to be used.
        ValueError: perms that are no group of permutations of like atoms.
    """

    config: GDMLConfig
    Z: np.ndarray
    pos: np.ndarray
    forces: np.ndarray
    energy: np.ndarray | None
    perms: np.ndarray
    use_energy: EnergyUse = "constant"
    source: Source = field(default_factory=lambda: Source(np.empty(0, np.int64), np.empty(0, np.int64)))
    start: Start | None = None

    def __post_init__(self) -> None:
        GdmlData(self.Z, self.pos, self.forces, self.energy, md5="-")  # for its checks
        checked_permutations(self.perms, self.Z)
        if self.use_energy not in ("constant", "constraints", "none"):
            raise ValueError(f"use_energy must be constant, constraints or none; received {self.use_energy!r}")
        if self.use_energy != "none" and self.energy is None:
            raise DataError(
                "the data have no energies: train with use_energy='none' (--no_E), which gives forces, and energies "
                "up to a constant"
            )

    @property
    def n_unknowns(self) -> int:
        """Size of the linear system."""
        return self.forces.size + (len(self.pos) if self.use_energy == "constraints" else 0)

    def with_sigma(self, sigma: float, lam: float | None = None) -> GdmlTask:
        """The same points with another length scale, and another ridge if given."""
        lam = self.config.lam if lam is None else lam
        return replace(self, config=self.config.model_copy(update={"sigma": float(sigma), "lam": float(lam)}))


def create_task(
    data: GdmlData, n_train: int, n_valid: int, config: GDMLConfig, *, valid_data: GdmlData | None = None,
    perms: np.ndarray | None = None, use_sym: bool = True, use_energy: EnergyUse = "constant",
    rng: np.random.Generator,
) -> GdmlTask:  # fmt: skip
    """Draw training and validation points, stratified by energy, and find the symmetries.

    Args:
        data: frames to train on. valid_data: frames to validate on; else those of `data` that are not trained on.
        config: hyper-parameters; units and cell are taken from the data.
        perms: permutations to use; else those of the data, else those found in the training points.
        use_sym: False: the identity only (GDML instead of sGDML).

    Raises:
        DataError, PyffError: too few frames, or data sets of different atoms.
    """
    valid_data = valid_data or data
    train, valid = draw_points(data, valid_data, n_train, n_valid, rng)
    if not np.array_equal(data.Z, valid_data.Z):
        raise DataError("the validation data must have the atoms of the training data, in the same order")
    pos = data.pos[train]
    if not use_sym:
        perms = np.arange(len(data.Z))[None]
    elif perms is None:
        perms = data.perms
    if perms is None:
        perms = find_permutations(pos, data.Z, data.cell, rng=rng)
    update = {"cell": None if data.cell is None else tuple(map(tuple, data.cell.tolist()))}
    update |= {k: getattr(data, k) for k in ("energy_unit", "length_unit") if getattr(data, k)}
    return GdmlTask(
        config=GDMLConfig.model_validate({**config.model_dump(), **update}), Z=data.Z, pos=pos,
        forces=data.forces[train], energy=None if data.energy is None else data.energy[train],
        perms=np.asarray(perms, dtype=np.int64), use_energy=use_energy,
        source=Source(train, valid, data.md5, valid_data.md5, data.name, data.theory, data.energy_unit,
                      data.length_unit),
    )  # fmt: skip


def draw_points(
    data: GdmlData, valid_data: GdmlData, n_train: int, n_valid: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Frames to train and to validate on, disjoint if both are of one data set. Raises PyffError for too few frames."""
    nothing = np.empty(0, np.int64)
    train = _draw(data, n_train, rng, nothing, "training")
    valid = _draw(valid_data, n_valid, rng, train if data.md5 == valid_data.md5 else nothing, "validation")
    return train, valid


def _draw(data: GdmlData, n: int, rng: np.random.Generator, exclude: np.ndarray, what: str) -> np.ndarray:
    left = len(data) - len(exclude)
    if not 0 < n <= left:
        others = f", {len(exclude)} of them are trained on" if len(exclude) else ""
        raise PyffError(f"the number of {what} points must be 1 .. {left}; received {n} ({len(data)} frames{others})")
    # frames without energies are all alike
    return stratified_sample(np.zeros(len(data)) if data.energy is None else data.energy, n, rng, exclude)
