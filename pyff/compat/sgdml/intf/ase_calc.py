"""sgdml.intf.ase_calc: the ASE calculator. `pyff.Calculator` does more: units from the file, stress, checks."""

from __future__ import annotations

import os

from ase.calculators.calculator import Calculator, all_changes
from ase.units import kcal, mol

from pyff._npz import read_npz
from pyff.compat.sgdml.predict import GDMLPredict

__all__ = ["SGDMLCalculator"]


class SGDMLCalculator(Calculator):
    """Energy and forces of an sGDML model file.

    Args:
        model_path: model file (.npz).
        E_to_eV: eV per unit of energy of the model. F_to_eV_Ang: eV/A per unit of force.
        use_torch: run on a GPU where there is one.

    Raises (when a property is asked for):
        ValueError: other atoms than the model's, or in another order.
    """

    implemented_properties = ("energy", "forces")

    def __init__(
        self, model_path: str | os.PathLike, E_to_eV: float = kcal / mol, F_to_eV_Ang: float = kcal / mol,
        use_torch: bool = False, *args, **kwargs,
    ) -> None:  # fmt: skip
        super().__init__(*args, **kwargs)
        model = read_npz(model_path)
        self.gdml_predict = GDMLPredict(model, use_torch=use_torch)
        self.E_to_eV, self.F_to_eV_Ang = E_to_eV, F_to_eV_Ang
        self.Ang_to_R = F_to_eV_Ang / E_to_eV
        self._numbers = model["z"].ravel().tolist()

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        """Called by ASE."""
        super().calculate(atoms, properties, system_changes)
        numbers = self.atoms.numbers.tolist()
        if numbers != self._numbers:
            raise ValueError(f"atoms must have the numbers {self._numbers} in this order; received {numbers}")
        energy, forces = self.gdml_predict.predict(self.atoms.positions.ravel() * self.Ang_to_R)
        self.results = {"energy": float(energy[0]) * self.E_to_eV, "forces": forces.reshape(-1, 3) * self.F_to_eV_Ang}
