"""A Morse pair potential as a registered EnergyModel: cheap, smooth, bound, with parameters to save."""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict
from torch import nn

from pyff.models import EnergyModel, register
from pyff.models.base import AtomOutputs


class ToyConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    cutoff: float = 4.0
    steepness: float = 1.5


@register
class ToyModel(EnergyModel):
    """E_i = 1/2 sum_j D_ij [(1 - exp(-a (d - r0)))^2 - 1] (1 - (d/rc)^2)^3."""

    architecture = "toy_morse"
    Config = ToyConfig

    def __init__(self, config, elements, reference_energy=None) -> None:
        super().__init__(config, elements, reference_energy)
        generator = torch.Generator().manual_seed(3)
        depth = 0.5 + torch.rand(119, generator=generator)
        self.depth = nn.Parameter(depth)
        self.bond = nn.Parameter(torch.tensor(1.6))

    def atom_outputs(self, batch, geometry):
        d = geometry.distance.to(self.depth.dtype)
        a, x = self.config.steepness, d / self.config.cutoff
        depth = self.depth[batch.Z[batch.idx_i]] * self.depth[batch.Z[batch.idx_j]]
        morse = (1 - torch.exp(-a * (d - self.bond))).square() - 1
        pair = 0.5 * depth * morse * (1 - x * x).clamp(min=0) ** 3
        return AtomOutputs(torch.zeros(batch.n_atoms, dtype=d.dtype).index_add(0, batch.idx_i, pair))


def toy_model(**config) -> ToyModel:
    model = ToyModel(ToyConfig(**config), [1, 6, 8], {1: -13.6, 6: -1029.123456789012, 8: -2041.8})
    model.info = {"data": "none", "energy_mae": 0.25}
    return model.eval()
