"""sgdml.torchtools: sGDML models as torch modules."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from pyff.compat.sgdml.predict import GDMLPredict, numbers_of

__all__ = ["GDMLTorchPredict"]


class GDMLTorchPredict(nn.Module):
    """Energies [B] and forces [B, N, 3] of positions [B, N, 3], as tensors of float64 on the device of the module.

    Forces are computed in closed form: nothing is recorded for automatic differentiation.

    Args:
        model: the arrays of a model file.
        lat_and_inv: lattice vectors as columns, and the inverse matrix; those of the model where None.
        batch_size, n_perm_batches, max_memory, max_processes, log_level: accepted and not used.
    """

    def __init__(
        self, model: Mapping, lat_and_inv: tuple[np.ndarray, np.ndarray] | None = None, batch_size: int | None = None,
        n_perm_batches: int = 1, max_memory: float | None = None, max_processes: int | None = None,
        log_level: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        arrays = numbers_of(model) | ({} if lat_and_inv is None else {"lattice": np.asarray(lat_and_inv[0])})
        self.gdml = GDMLPredict(arrays, log_level=log_level).model
        self.n_atoms, self.n_train = len(self.gdml.Z), self.gdml.n_train

    @torch.no_grad()
    def forward(self, Rs: Tensor, return_E: bool = True) -> tuple[Tensor, ...]:
        """Energies and forces; forces alone, as a tuple, without return_E."""
        energy, forces = self.gdml.predict(Rs.to(torch.float64))
        return (energy, forces) if return_E else (forces,)
