"""How sure a GDML model is: the variance of the Gaussian process whose mean its predictions are.

With K the covariance of the training labels, k* that of a prediction with them and k** of the prediction with itself,

    var = s^2 [k** - k*^T (K + lam)^-1 k*],    s^2 = y^T K^-1 y / n

s is the scale of the process that makes the labels y likeliest, n the number of independent labels: a molecule has
3N - 6 forces (3N - 3 in a cell). The variance is that of the energy surface; labels scatter about it by s^2 lam more.

Forces say nothing about the constant of the energy. It comes from reference energies at the training points, whose
mean the model reproduces. So the variance of an energy is that of its difference from the mean energy of the training
points; with energies among the labels it is that of the energy itself.

Variances do not change when training geometries are rotated or mirrored, each on its own: K + lam and k* turn alike.
So the distances, which a model keeps, suffice for molecules. Source: Rasmussen & Williams, Gaussian Processes for
Machine Learning (2006), chapter 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pyff import ops
from pyff.models.gdml.panels import KernelPanels
from pyff.ops.gdml import atoms_of

if TYPE_CHECKING:
    from pyff.models.gdml.model import GDML

__all__ = ["GDMLVariance", "geometries_of"]

_CHUNK_BYTES = 2**28  # covariances of queries with the training points that are held at once


class GDMLVariance:
    """Variances of a model's energies and forces, in its own units.

    Made once: a Cholesky factor of n (n + 1) / 2 numbers (n^2 up to 256 MiB), n = 3 N M, in n^3 / 3 steps; each
    geometry then takes 3 N n^2. Nothing of it is saved with the model.

    Args:
        model: its training points, kernel and coefficients.
        pos: training geometries [M, N, 3] in the model's length unit; None: from the distances, for molecules.

    Raises:
        ValueError: pos is not what the model was trained on, or has to be given.
        NotPositiveDefiniteError: the matrix has no factor in float64; train with a larger lam.
    """

    def __init__(self, model: GDML, pos: Tensor | None = None) -> None:
        self.kernel, self.images, self.perms = model.config.kernel(), model.config.images, model._pair_perms
        self.energies = model.coef_energy is not None
        self.x = model.points
        self.cell = self.x.new_tensor(model.config.cell) if model.is_periodic else None
        self.g = self._gradients(model, pos)
        self.scale = float(model.std) ** 2 * _likeliest_scale(model)
        panels = KernelPanels(self.x, self.g, self.perms, self.kernel, self.energies)
        self.factor, self._order = panels.empty(), panels.order
        panels.write(self.factor)
        for _ in self.factor.factor(model.config.lam):
            pass
        self._mean = None if self.energies else self._mean_energy()

    def __call__(self, pos: Tensor, cell: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Variances of energies [B] and of the components of forces [B, N, 3] at positions [B, N, 3].

        cell: [3, 3], rows; None: the cell of the training data.
        """
        x, g = ops.inverse_distances(pos, self.cell if cell is None else cell, self.images)
        per_query = (3 * pos.shape[1] + 1) * self.factor.n * 8
        parts = [self._variances(*part) for part in zip(*(t.split(max(1, _CHUNK_BYTES // per_query)) for t in (x, g)))]
        energy, forces = (torch.cat(part) for part in zip(*parts))
        return energy, forces.reshape(pos.shape)

    def _variances(self, x: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        across = ops.gdml_matrix(x, g, self.x, self.g, self.perms, self.kernel, True)
        prior = ops.gdml_diagonal(x, g, self.perms, self.kernel, True)
        b = len(x)
        if not self.energies:
            across = across[:, : self.factor.n]
            energy, with_forces, own = self._mean
            across[-b:] -= with_forces
            prior[-b:] += own - 2 * energy.product(x)[1]
        known = self.factor.half_solve(across.index_select(1, self._order).T).square().sum(0)
        # rounding can leave less than nothing where everything is known
        left = self.scale * (prior - known).clamp(min=0)
        return left[-b:], left[:-b]

    def _gradients(self, model: GDML, pos: Tensor | None) -> Tensor:
        """dx/dr of the training points, from their geometries."""
        if pos is None:
            if model.is_periodic:
                raise ValueError(
                    "pos must be given for a periodic model: its nearest-image distances fix no geometry. Call "
                    "model.prepare_uncertainty(train_pos), then Calculator(model, uncertainty=True)"
                )
            pos = geometries_of(self.x)
        pos = torch.as_tensor(pos, dtype=torch.float64, device=self.x.device)
        if pos.shape != (len(self.x), len(model.Z), 3):
            raise ValueError(f"pos must have shape {[len(self.x), len(model.Z), 3]}; received {list(pos.shape)}")
        x, g = ops.inverse_distances(pos, self.cell, self.images)
        # models of four decimals and old files round; another training set differs in the first digits
        if not torch.allclose(x, self.x, rtol=1e-5, atol=1e-6):
            raise ValueError(
                "pos must be the model's training geometries in their order; their distances differ by up to "
                f"{float((1 / x - 1 / self.x).abs().max()):.2g} of the model's length unit"
            )
        return g

    def _mean_energy(self) -> tuple[ops.GdmlExpansion, Tensor, Tensor]:
        """The mean energy of the training points: its covariances with energies, with their forces, with itself."""
        weights = self.x.new_full((len(self.x),), 1 / len(self.x))
        mean = ops.GdmlExpansion(self.x, torch.zeros_like(self.x), self.perms, self.kernel, weights)
        f, energy = mean.product(self.x)
        return mean, ops.jacobian_transpose_product(self.g, f).reshape(-1), energy.mean()


def geometries_of(x: Tensor) -> Tensor:
    """Geometries [M, N, 3] with these inverse distances [M, D], centred, up to rotation and reflection.

    The three leading eigenvectors of the Gram matrix that the squared distances determine (classical scaling).
    """
    n = atoms_of("geometries_of", x.shape[1])
    a, b = torch.tril_indices(n, n, -1, device=x.device)
    squared = x.new_zeros(len(x), n, n)
    squared[:, a, b] = squared[:, b, a] = x**-2
    centred = squared - squared.mean(1, keepdim=True)
    gram = -0.5 * (centred - centred.mean(2, keepdim=True))
    values, vectors = torch.linalg.eigh(gram)
    pos = vectors[:, :, -3:] * values[:, None, -3:].clamp(min=0).sqrt()
    return torch.nn.functional.pad(pos, (0, 3 - pos.shape[2]))  # two atoms span one axis


def _likeliest_scale(model: GDML) -> float:
    """y^T K^-1 y / n of labels in units of model.std: coefficients times what the expansion predicts for them."""
    m, n = len(model.points), len(model.Z)
    f, energy = ops.gdml_product(
        model.points, model.points, model.coef, model._pair_perms, model.config.kernel(), model.coef_energy
    )
    explained, independent = -(model.coef * f).sum(), 3 * n - 3 if model.is_periodic else max(1, 3 * n - 6)
    if model.coef_energy is not None:
        explained, independent = explained + model.coef_energy @ energy, independent + 1
    return float(explained) / (m * independent)
