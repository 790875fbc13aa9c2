"""Asking a model for its attention on a structure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from ase import Atoms

from pyff.data.collate import collate
from pyff.data.from_ase import from_ase
from pyff.errors import PyffError

if TYPE_CHECKING:
    from pyff.models.base import EnergyModel

__all__ = ["ModelAttention", "read_attention"]


@dataclass(frozen=True)
class ModelAttention:
    """Attention of one layer on one structure.

    invariant [E, H] per head; equivariant [E, L] per degree, L = 0 in an invariant model; idx_i receivers and idx_j
    senders [E]; distance [E] in A; Z [N].
    """

    invariant: np.ndarray
    equivariant: np.ndarray
    idx_i: np.ndarray
    idx_j: np.ndarray
    distance: np.ndarray
    Z: np.ndarray


def read_attention(model: EnergyModel, atoms: Atoms) -> list[ModelAttention]:
    """The attention coefficients of every layer, cutoff function included.

    Raises PyffError if the model has no attention.
    """
    if "attention" not in model.offers:
        raise PyffError(
            f"the model must have attention; {type(model).__name__} offers {', '.join(sorted(model.offers))}"
        )
    device = next(model.parameters()).device
    batch = collate([from_ase(atoms)], model.needs, device)
    with torch.no_grad():
        layers = model(batch, want=("energy", "attention")).attention
    shift = batch.shift.to(batch.pos.dtype) @ batch.cell[0].to(batch.pos.dtype)
    vec = batch.pos[batch.idx_j] - batch.pos[batch.idx_i] + shift
    array = lambda tensor: tensor.detach().cpu().numpy()  # noqa: E731
    common = {"idx_i": array(batch.idx_i), "idx_j": array(batch.idx_j), "distance": array(vec.norm(dim=1))}
    return [
        ModelAttention(
            array(layer.invariant.double()), array(layer.equivariant.double()), Z=atoms.numbers.copy(), **common
        )
        for layer in layers
    ]
