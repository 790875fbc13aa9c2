"""GDML with any descriptor or any kernel: covariances of forces by automatic differentiation.

    kernel = DescriptorKernel(my_descriptor, ops.GdmlKernel(sigma=10.0))      # my_descriptor: pos [N,3] -> x [D]
    model = fit_force_field(kernel, pos, forces, energies)
    energy, forces = model.predict(new_pos)

With k(R, R') the covariance of energies and F = -dE/dR,

    cov(F, F') = d^2 k / dR dR'        cov(E, F') = -dk / dR'

A product with a vector needs neither Hessians nor Jacobians: (d^2 k / dR dR') v is the derivative along v, in R', of
the gradient in R (forward over reverse), at the cost of a few evaluations of k.

Source: Schmitz, Müller, Chmiela, J. Phys. Chem. Lett. 13, 10183 (2022). Everything is float64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor
from torch.func import grad, jacfwd, jacrev, jvp, vjp, vmap

from pyff import ops
from pyff.ops.reference.gdml import profile

__all__ = ["DescriptorKernel", "ForceField", "ForceKernel", "PairKernel", "fit_force_field"]

Expansion = Callable[[Tensor], tuple[Tensor, Tensor]]

_CHUNK = 256  # queries whose products with all training points are held at once


class ForceKernel(Protocol):
    """A covariance of energies as seen by forces."""

    def matrix(self, pos1: Tensor, pos2: Tensor) -> Tensor:
        """cov(F, F') of geometries [M1,N,3] and [M2,N,3]: [3N M1, 3N M2]."""

    def expansion(self, train: Tensor, weights: Tensor) -> Expansion:
        """For geometries and weights [M,N,3], the function of query [B,N,3] that returns sum_j cov(E_i, F_j) w_j [B]
        and sum_j cov(F_i, F_j) w_j [B,N,3]; nothing of size B x M x (3N)^2 is formed."""


@dataclass(frozen=True)
class DescriptorKernel:
    """k(R, R') = sum_p kappa(|x(R) - x(Pi_p R')|), kappa a radial profile, x any torch function of a geometry.

    descriptor: pos [N,3] -> x [D], differentiable where it is evaluated, made of operations that torch.func can
    vectorize. perms: permutations of atoms [P,N] that form a group and leave |x(R) - x(R')| as it is when both
    geometries are permuted; None: the identity.
    """

    descriptor: Callable[[Tensor], Tensor]
    kernel: ops.GdmlKernel
    perms: Tensor | None = None

    def matrix(self, pos1: Tensor, pos2: Tensor) -> Tensor:
        x1, j1 = self._described(pos1)
        (m1, d, width), m2 = j1.shape, len(pos2)
        out = x1.new_zeros(m1, width, m2, width)
        for perm, inverse in self._permutations(pos1.shape[1]):
            x2, j2 = self._described(pos2[:, perm])
            j2 = j2.unflatten(2, (-1, 3))[:, :, inverse].flatten(2)
            t = x1[:, None] - x2
            _, g1, g2 = profile(t.square().sum(-1), self.kernel)
            along1 = torch.bmm(t, j1)  # [m1,m2,3N]
            along2 = torch.bmm(t.transpose(0, 1), j2) * g2.T[..., None]  # [m2,m1,3N]
            inner = j1.transpose(1, 2).reshape(-1, d) @ j2.transpose(0, 1).reshape(d, -1)
            out += inner.reshape(out.shape) * g1[:, None, :, None]
            out -= along1.transpose(1, 2)[..., None] * along2.transpose(0, 1)[:, None]
        return out.reshape(m1 * width, m2 * width)

    def expansion(self, train: Tensor, weights: Tensor) -> Expansion:
        describe = vmap(self.descriptor)
        points, slopes = [], []
        for perm, _ in self._permutations(train.shape[1]):
            x, slope = jvp(describe, (train[:, perm],), (weights[:, perm],))
            points.append(x)
            slopes.append(slope)
        # the op's coefficients are those of sGDML's files: minus the weights of the covariance
        points, coefficients = torch.cat(points), -torch.cat(slopes)
        same = torch.arange(points.shape[1])[None]

        def evaluate(query: Tensor) -> tuple[Tensor, Tensor]:
            x, pull = vjp(describe, query)
            f, energy = ops.gdml_product(x, points, coefficients, same, self.kernel)
            return energy, pull(f)[0]

        return evaluate

    def _described(self, pos: Tensor) -> tuple[Tensor, Tensor]:
        """Descriptors [M,D] and Jacobians [M,D,3N]."""
        x = vmap(self.descriptor)(pos)
        jacobian = jacrev if x.shape[1] < pos[0].numel() else jacfwd
        return x, vmap(jacobian(self.descriptor))(pos).flatten(2)

    def _permutations(self, n_atoms: int) -> list[tuple[Tensor, Tensor]]:
        perms = torch.arange(n_atoms)[None] if self.perms is None else self.perms
        return [(perm, torch.argsort(perm)) for perm in perms]


@dataclass(frozen=True)
class PairKernel:
    """A kernel as a torch function of two geometries: k(R [N,3], R' [N,3]) -> scalar, symmetric, twice differentiable.

    It must be so also where R = R': a norm needs a form whose derivatives are finite at zero.
    """

    k: Callable[[Tensor, Tensor], Tensor]

    def matrix(self, pos1: Tensor, pos2: Tensor) -> Tensor:
        block = jacfwd(grad(self.k, 0), 1)  # [N,3,N,3]
        rows = vmap(vmap(block, (None, 0)), (0, None))
        return rows(pos1, pos2).permute(0, 2, 3, 1, 4, 5).reshape(pos1.numel(), pos2.numel())

    def expansion(self, train: Tensor, weights: Tensor) -> Expansion:
        def one(r: Tensor, other: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
            def value_and_gradient(r2):
                return self.k(r, r2), grad(self.k, 0)(r, r2)

            _, (slope, curvature) = jvp(value_and_gradient, (other,), (w,))
            return -slope, curvature

        def row(r: Tensor) -> tuple[Tensor, Tensor]:
            energy, force = vmap(one, (None, 0, 0))(r, train, weights)
            return energy.sum(0), force.sum(0)

        def evaluate(query: Tensor) -> tuple[Tensor, Tensor]:
            parts = [vmap(row)(chunk) for chunk in query.split(_CHUNK)]
            return torch.cat([e for e, _ in parts]), torch.cat([f for _, f in parts])

        return evaluate


@dataclass(frozen=True)
class ForceField:
    """A fitted expansion: E(R) = scale sum_j cov(E, F_j) w_j + constant, F = -dE/dR, in the units of the data."""

    kernel: ForceKernel
    train: Tensor  # [M,N,3]
    weights: Tensor  # [M,N,3]
    scale: float
    constant: float

    @cached_property
    def _expansion(self) -> Expansion:
        return self.kernel.expansion(self.train, self.weights)

    def predict(self, pos: Tensor) -> tuple[Tensor, Tensor]:
        """Energies [B] and forces [B,N,3] of geometries [B,N,3]."""
        pos = torch.as_tensor(pos, dtype=torch.float64)
        if pos.dim() != 3 or pos.shape[1:] != self.train.shape[1:]:
            raise ValueError(f"pos must have shape (any, {self.train.shape[1]}, 3); received {tuple(pos.shape)}")
        energy, forces = self._expansion(pos)
        return self.scale * energy + self.constant, self.scale * forces


def fit_force_field(
    kernel: ForceKernel, pos: Tensor, forces: Tensor, energies: Tensor | None = None, *, lam: float = 1e-10
) -> ForceField:
    """Solve (K + lam I) w = F / std(F) in closed form.

    Args:
        pos, forces: [M,N,3] in units of the data. energies: [M]; they fix the integration constant only.
        lam: ridge, relative to the variance of the forces.
    """
    pos, forces = (torch.as_tensor(x, dtype=torch.float64) for x in (pos, forces))
    if pos.dim() != 3 or pos.shape[-1] != 3 or forces.shape != pos.shape:
        raise ValueError(
            f"pos and forces must have shape (M, N, 3); received {tuple(pos.shape)}, {tuple(forces.shape)}"
        )
    scale = float(forces.std(unbiased=False))
    if not scale > 0:
        raise ValueError("forces must not all be the same; received forces without any spread")
    K = kernel.matrix(pos, pos)
    K.diagonal().add_(lam)
    factor, failed = torch.linalg.cholesky_ex(K)
    if failed:
        raise ValueError(f"the kernel matrix must be positive definite; raise lam (received {lam})")
    weights = torch.cholesky_solve(forces.reshape(-1, 1) / scale, factor).reshape(pos.shape)
    field = ForceField(kernel, pos, weights, scale, 0.0)
    if energies is None:
        return field
    constant = float((torch.as_tensor(energies, dtype=torch.float64) - field.predict(pos)[0]).mean())
    return ForceField(kernel, pos, weights, scale, constant)
