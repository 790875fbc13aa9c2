"""The linear system of a training task."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyff import ops
from pyff.errors import DataError
from pyff.train.gdml.task import GdmlTask

__all__ = ["LinearSystem"]


@dataclass(frozen=True)
class LinearSystem:
    """(K + lam I) beta = y, K of `ops.gdml_matrix`.

        y = F / std,   with energy constraints y = [F, E - mean E] / std,   std over all entries of y

    x [M, D], g [M, D, 3]: descriptors and their gradients; perms [P, D]: of descriptors; y [n], n = 3 N M, or
    (3 N + 1) M with energies, those of all points last.
    """

    x: Tensor
    g: Tensor
    perms: Tensor
    kernel: ops.GdmlKernel
    lam: float
    y: Tensor
    std: float
    energies: bool

    @classmethod
    def of(cls, task: GdmlTask, device: torch.device | str = "cpu") -> LinearSystem:
        config, energies = task.config, task.use_energy == "constraints"
        tensor = lambda array: torch.as_tensor(array, dtype=torch.float64, device=device)  # noqa: E731
        cell = None if config.cell is None else tensor(config.cell)
        x, g = ops.inverse_distances(tensor(task.pos), cell, config.images)
        _require_apart(x)
        y = tensor(task.forces).reshape(-1)
        if energies:
            energy = tensor(task.energy)
            y = torch.cat([y, energy - energy.mean()])
        std = float(y.std(correction=0))
        if not std > 0:
            raise ValueError("forces must differ from each other; all labels of this task are the same")
        perms = ops.descriptor_permutations(torch.as_tensor(task.perms, dtype=torch.int64, device=device))
        return cls(x, g, perms, config.kernel(), config.lam, y / std, std, energies)

    @property
    def n_points(self) -> int:
        return self.x.shape[0]

    @property
    def n_unknowns(self) -> int:
        return self.y.shape[0]

    @property
    def per_point(self) -> int:
        """Unknowns of one training point."""
        return self.n_unknowns // self.n_points

    def split(self, beta: Tensor) -> tuple[Tensor, Tensor | None]:
        """Coefficients of the forces [M, N, 3] and of the energies [M], or None."""
        n_forces = self.n_unknowns - (self.n_points if self.energies else 0)
        forces = beta[:n_forces].reshape(self.n_points, -1, 3)
        return forces, (beta[n_forces:] if self.energies else None)

    def coefficients(self, beta: Tensor) -> tuple[Tensor, Tensor | None]:
        """Coefficients of the expansion: J alpha [M, D], alpha = -beta, and those of the energies [M], or None."""
        forces, energies = self.split(beta)
        return -ops.jacobian_product(self.g, forces), energies


def _require_apart(x: Tensor) -> None:
    coincide = ~torch.isfinite(x).all(1)
    if bool(coincide.any()):
        raise DataError(
            f"atoms must not coincide; {int(coincide.sum())} of {len(x)} training points have two atoms at one place"
        )
