"""The training loss: energies, forces and stress, each over the frames that carry the label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pyff.batch import Output
from pyff.train.config import TrainConfig
from pyff.train.graphs import Labels
from pyff.train.metrics import Predictions

__all__ = ["Loss"]


@dataclass(frozen=True)
class Loss:
    """L = w_E <DE_b^2 / n_b> + w_F <DF_ic^2> + w_S <(V_b Dsigma_cd)^2 / n_b>, in eV and A, float64.

    Each average runs over the frames of the batch that carry the label; a term without any is left out. Energies are
    total energies: the model adds its reference energies in float64, so that the difference keeps 1e-9 eV whatever the
    size of the totals.
    """

    energy: float
    forces: float
    stress: float

    @classmethod
    def from_config(cls, config: TrainConfig) -> Loss:
        return cls(config.energy_weight, config.forces_weight, config.stress_weight)

    @property
    def want(self) -> tuple[str, ...]:
        """Quantities the model has to predict."""
        return tuple(name for name in ("energy", "forces", "stress") if getattr(self, name) > 0) or ("energy",)

    def __call__(self, output: Output, labels: Labels) -> tuple[Tensor, dict[str, Tensor]]:
        """(loss, the unweighted terms by name, detached)."""
        terms = self.terms(output, labels)
        if not terms:
            return output_zero(output), {}
        total = sum(getattr(self, name) * value for name, value in terms.items())
        return total, {name: value.detach() for name, value in terms.items()}

    def terms(self, output: Output, labels: Labels) -> dict[str, Tensor]:
        """Unweighted terms by name, over the labelled frames."""
        terms = {}
        if self.energy > 0 and labels.has_energy.any():
            pick = _picker(labels.has_energy, labels.energy.device)
            error = pick(output.energy) - pick(labels.energy)
            terms["energy"] = (error**2 / pick(labels.n_atoms)).mean()
        if self.forces > 0 and labels.has_forces.any():
            has = labels.has_forces
            pick = _picker(has if has.all() else np.repeat(has, labels.n_atoms.cpu().numpy()), labels.forces.device)
            terms["forces"] = ((pick(output.forces) - pick(labels.forces)) ** 2).mean()
        if self.stress > 0 and labels.has_stress.any():
            pick = _picker(labels.has_stress, labels.stress.device)
            virial = pick(labels.volume)[:, None, None] * (pick(output.stress) - pick(labels.stress))
            terms["stress"] = (virial**2 / pick(labels.n_atoms)[:, None, None]).mean()
        return terms

    def of_predictions(self, p: Predictions) -> float:
        """The loss over all frames of a data set at once."""
        value = 0.0
        if self.energy > 0 and p.energy.size:
            value += self.energy * float(np.mean((p.energy - p.energy_label) ** 2 / p.n_atoms))
        if self.forces > 0 and p.forces.size:
            value += self.forces * float(np.mean((p.forces - p.forces_label) ** 2))
        if self.stress > 0 and p.stress.size:
            virial = p.volume[:, None, None] * (p.stress - p.stress_label)
            value += self.stress * float(np.mean(virial**2 / p.stress_n_atoms[:, None, None]))
        return value


def output_zero(output: Output) -> Tensor:
    """A zero that is connected to the parameters, for a batch without any usable label."""
    return output.energy.sum() * 0.0


def _picker(has: np.ndarray, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Selects the labelled rows, before any arithmetic: NaN times a zero gradient would still be NaN."""
    if has.all():
        return lambda x: x
    mask = torch.from_numpy(has).to(device)
    return lambda x: x[mask]
