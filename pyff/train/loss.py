"""The training loss: energies, forces, stress and other labels, each over the frames that carry it."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from pyff.batch import Output
from pyff.train.config import TrainConfig
from pyff.train.labels import Labels, squared_error
from pyff.train.metrics import Predictions

__all__ = ["Loss"]


@dataclass(frozen=True)
class Loss:
    """L = w_E <DE_b^2 / n_b> + w_F <DF_ic^2> + w_S <(V_b Dsigma_cd)^2 / n_b> + w_mu <Dmu_bc^2> + w_q <Dq_i^2>
    + w_h <Dh_i^2> + w_t <Dt_b^2>, in eV, A and e, float64.

    Each average runs over the frames of the batch that carry the label; a term without any is left out. Energies are
    total energies: the model adds its reference energies in float64, so that the difference keeps 1e-9 eV whatever the
    size of the totals.
    """

    energy: float
    forces: float
    stress: float
    dipole: float = 0.0
    charges: float = 0.0
    hirshfeld: float = 0.0
    target: float = 0.0

    @classmethod
    def from_config(cls, config: TrainConfig) -> Loss:
        return cls(**{f.name: getattr(config, f"{f.name}_weight") for f in fields(cls)})

    @property
    def want(self) -> tuple[str, ...]:
        """Quantities the model has to predict."""
        return tuple(f.name for f in fields(self) if getattr(self, f.name) > 0) or ("energy",)

    def __call__(self, output: Output, labels: Labels) -> tuple[Tensor, dict[str, Tensor]]:
        """(loss, the unweighted terms by name, detached)."""
        terms = self.terms(output, labels)
        if not terms:
            return output_zero(output), {}
        total = sum(getattr(self, name) * value for name, value in terms.items())
        return total, {name: value.detach() for name, value in terms.items()}

    def terms(self, output: Output, labels: Labels) -> dict[str, Tensor]:
        """Unweighted terms by name, over the labelled frames."""
        names = [f.name for f in fields(self) if getattr(self, f.name) > 0 and labels.has[f.name].any()]
        return {name: _mean_square(name, getattr(output, name), labels) for name in names}

    def of_predictions(self, p: Predictions) -> float:
        """The loss over all frames of a data set at once."""
        value = 0.0
        for f in fields(self):
            predicted, label = p.pair(f.name)
            if getattr(self, f.name) > 0 and predicted.size:
                n_atoms = p.n_atoms if f.name == "energy" else p.stress_n_atoms
                value += getattr(self, f.name) * float(
                    np.mean(squared_error(f.name, predicted, label, n_atoms, p.volume))
                )
        return value


def output_zero(output: Output) -> Tensor:
    """A zero that is connected to the parameters, for a batch without any usable label."""
    values = (getattr(output, f.name) for f in fields(output))
    return next(x for x in values if isinstance(x, Tensor) and x.requires_grad).sum() * 0.0


def _mean_square(name: str, predicted: Tensor, labels: Labels) -> Tensor:
    label, n_atoms, volume = labels.values[name], labels.n_atoms, labels.volume
    if not labels.has[name].all():
        # before any arithmetic: NaN times a zero gradient would still be NaN
        frames = torch.from_numpy(labels.has[name]).to(label.device)
        rows = torch.from_numpy(labels.rows(name)).to(label.device)
        predicted, label, n_atoms, volume = predicted[rows], label[rows], n_atoms[frames], volume[frames]
    return squared_error(name, predicted, label, n_atoms, volume).mean()
