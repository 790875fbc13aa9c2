"""The structure that a command starts from and how a model computes it: the same options for all such commands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from ase import Atoms

from pyff.calculators import Calculator
from pyff.cli.console import Console
from pyff.data.from_ase import total_charge, unpaired_electrons
from pyff.errors import PyffError, UnseenElementError
from pyff.md import read_structure
from pyff.models.base import EnergyModel
from pyff.models.gdml import GDML
from pyff.models.gdml.model import CompositionError, composition_difference
from pyff.models.identity import IDENTITY

__all__ = ["Start", "described", "warn_of_ignored", "warn_of_moving_cell"]

CELL_TOLERANCE = 1e-2  # A


@dataclass(frozen=True)
class Start:
    """charge (e), spin (unpaired electrons), long_range_cutoff (A): None leaves them to the file of the structure or
    of the model."""

    path: Path
    charge: float | None = None
    spin: float | None = None
    device: str = "cpu"
    dtype: str | None = None
    long_range_cutoff: float | None = None
    ewald: bool = False

    def atoms(self) -> Atoms:
        """The structure, without a calculator."""
        atoms = read_structure(self.path, charge=self.charge, spin=self.spin)
        # a frame of another run says which model made it: not what is computed now
        atoms.info = {name: value for name, value in atoms.info.items() if name not in IDENTITY}
        return atoms

    def calculator(self, console: Console, model: Path, atoms: Atoms, needs_forces: bool = True) -> Calculator:
        """The model in a file, for `atoms`.

        Raises UnseenElementError if it does not know their elements, PyffError if it has no forces where it needs them.
        """
        calculator = Calculator(
            model, self.device, self.dtype, long_range_cutoff=self.long_range_cutoff, ewald=self.ewald or None
        )
        if needs_forces and "forces" not in calculator.implemented_properties:
            raise PyffError(
                f"{model} gives energies and no forces: nothing can move by it. `pyff scan` draws its energy"
            )
        try:
            calculator.model.check_elements(torch.as_tensor(atoms.numbers, device=calculator.device))
        except UnseenElementError as error:
            raise UnseenElementError(f"{model} cannot compute {self.path}: {error}") from None
        warn_of_ignored(console, model, calculator.model, atoms)
        if isinstance(calculator.model, GDML):
            _require_structure(console, calculator.model, self.path, atoms)
        return calculator


def warn_of_moving_cell(console: Console, model: EnergyModel) -> None:
    """Warn where a cell is to change under a model that was trained in one."""
    if isinstance(model, GDML):
        console.warn("the model was trained in one cell: what it says of others, and its stress, is worth little")


def _require_structure(console: Console, model: GDML, path: Path, atoms: Atoms) -> None:
    """Raise CompositionError unless a structure has the atoms of a GDML model in their order; warn of another cell."""
    own, numbers = model.Z.tolist(), atoms.numbers.tolist()
    if own != numbers:
        raise CompositionError(composition_difference(own, numbers, str(path)))
    if model.is_periodic and atoms.cell.rank == 3:
        trained = model.units.length_factor * np.array(model.config.cell)
        if np.abs(trained - atoms.cell.array).max() > CELL_TOLERANCE:
            console.warn(f"the cell of {path} is not that of the training data: energies are worth little in others")


def warn_of_ignored(console: Console, path: Path, model: EnergyModel, atoms: Atoms) -> None:
    """Warn where a structure has a charge or unpaired electrons and one of pyff's models does not read them."""
    if not type(model).__module__.startswith("pyff.models."):
        return  # what others read, only they know
    reads = lambda *names: any(getattr(model.config, name, False) for name in names)  # noqa: E731
    ignored = []
    if total_charge(atoms) and not reads("charge_embedding", "electrostatics"):
        ignored.append("total charge")
    if unpaired_electrons(atoms) and not reads("spin_embedding"):
        ignored.append("number of unpaired electrons")
    if ignored:
        console.warn(
            f"the energy of {path.name} does not depend on the {' and '.join(ignored)}: what it learned counts"
        )


def described(atoms: Atoms) -> str:
    """Formula, number of atoms; charge and unpaired electrons where there are some."""
    text = f"{atoms.get_chemical_formula()}, {len(atoms)} atoms"
    if charge := total_charge(atoms):
        text += f", charge {charge:+g}"
    if spin := unpaired_electrons(atoms):
        text += f", {spin:g} unpaired electron{'s' * (spin != 1)}"
    return text
