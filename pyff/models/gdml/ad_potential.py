"""A force field by automatic differentiation as a Potential: for calculators, molecular dynamics, `pyff.testing`."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

from pyff.batch import GraphBatch, Needs, Output
from pyff.models.base import DirectModel
from pyff.models.gdml.ad import ForceField
from pyff.models.gdml.model import CompositionError, composition_difference
from pyff.units import Units

__all__ = ["ADGDML"]


class ADConfig(BaseModel):
    """Units of the data that the force field was fitted to."""

    model_config = ConfigDict(frozen=True)

    energy_unit: str
    length_unit: str
    cutoff: None = None


class ADGDML(DirectModel):
    """A fitted ForceField of one molecule, atoms Z [N] in this order.

        atoms.calc = pyff.Calculator(ADGDML(field, Z, "kcal/mol,Angstrom"))

    units: "energy,length" of the data. It holds functions, so it cannot be saved: save the data and fit again.
    """

    architecture = "ad_gdml"

    def __init__(self, field: ForceField, Z: Iterable[int], units: str) -> None:
        parsed, self._Z = Units.parse(units), [int(z) for z in Z]
        super().__init__(ADConfig(energy_unit=parsed.energy, length_unit=parsed.length), self._Z)
        if len(self._Z) != field.train.shape[1]:
            raise ValueError(f"Z must name {field.train.shape[1]} atoms; received {len(self._Z)}")
        self.field = field

    @property
    def needs(self) -> Needs:
        return Needs(cutoff=None, fixed_composition=True)

    @property
    def offers(self) -> frozenset[str]:
        return frozenset({"energy", "forces"})

    def outputs(self, batch: GraphBatch, want: frozenset[str]) -> Output:
        if bool(batch.pbc.any()):
            raise ValueError("the descriptor is that of a molecule; received a periodic structure. Set pbc to False")
        for a, b in zip(batch.ptr[:-1].tolist(), batch.ptr[1:].tolist()):
            if batch.Z[a:b].tolist() != self._Z:
                raise CompositionError(composition_difference(self._Z, batch.Z[a:b].tolist(), "this structure"))
        energy_factor, length_factor = self.units.energy_factor, self.units.length_factor
        energy, forces = self.field.predict(batch.pos.reshape(batch.n_systems, -1, 3) / length_factor)
        return Output(energy=energy * energy_factor, forces=forces.reshape(-1, 3) * (energy_factor / length_factor))
