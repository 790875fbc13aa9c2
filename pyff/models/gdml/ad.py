"""GDML with any descriptor or any kernel: covariances of forces by automatic differentiation.

    kernel = DescriptorKernel(my_descriptor, ops.GdmlKernel(sigma=10.0))      # my_descriptor: pos [N,3] -> x [D]
    model = fit_force_field(kernel, pos, forces, energies)
    energy, forces = model.predict(new_pos)

With k(R, R') the covariance of energies and F = -dE/dR,

    cov(F, F') = d^2 k / dR dR'        cov(E, F') = -dk / dR'

A product with a vector needs neither Hessians nor Jacobians: (d^2 k / dR dR') v is the derivative along v, in R', of
the gradient in R (forward over reverse), at the cost of a few evaluations of k. With `inverse_distances` as descriptor
and a profile that is built in, the native kernels of sGDML do the work.

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
from pyff.models.gdml.ad_checks import require_descriptor, require_pair_kernel
from pyff.models.gdml.ad_operator import ForceOperator
from pyff.ops.reference.gdml import profile
from pyff.solvers import IterativeSettings, solve_iteratively

__all__ = [
    "DescriptorKernel", "ForceField", "ForceKernel", "PairKernel", "fit_force_field", "inverse_distances",
]  # fmt: skip

Expansion = Callable[[Tensor], tuple[Tensor, Tensor]]
Profile = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]

_CHUNK = 256  # queries whose products with all training points are held at once


class ForceKernel(Protocol):
    """A covariance of energies as seen by forces."""

    def matrix(self, pos1: Tensor, pos2: Tensor) -> Tensor:
        """cov(F, F') of geometries [M1,N,3] and [M2,N,3]: [3N M1, 3N M2]."""

    def expansion(self, train: Tensor, weights: Tensor) -> Expansion:
        """For geometries and weights [M,N,3], the function of query [B,N,3] that returns sum_j cov(E_i, F_j) w_j [B]
        and sum_j cov(F_i, F_j) w_j [B,N,3]; nothing of size B x M x (3N)^2 is formed."""


def inverse_distances(pos: Tensor) -> Tensor:
    """x [D] = 1 / |r_a - r_b| of pos [N,3], pairs a > b: sGDML's descriptor."""
    a, b = torch.tril_indices(pos.shape[0], pos.shape[0], -1)
    return (pos[a] - pos[b]).square().sum(-1).rsqrt()


@dataclass(frozen=True)
class DescriptorKernel:
    """k(R, R') = sum_p kappa(|x(R) - x(Pi_p R')|), kappa a radial profile, x any torch function of a geometry.

    descriptor: pos [N,3] -> x [D], differentiable where it is evaluated, made of operations that torch.func can
    vectorize. kernel: a profile of pyff.ops, or a function r2 -> (k, -k'/r, (k'' - k'/r)/r^2) of squared distances of
    any shape, finite at 0. perms: permutations of atoms [P,N] that form a group and leave |x(R) - x(R')| as it is when
    both geometries are permuted; None: the identity.
    """

    descriptor: Callable[[Tensor], Tensor]
    kernel: ops.GdmlKernel | Profile
    perms: Tensor | None = None

    @property
    def is_native(self) -> bool:
        """Whether this is sGDML's kernel, for which there is native code."""
        return self.descriptor is inverse_distances and isinstance(self.kernel, ops.GdmlKernel)

    def matrix(self, pos1: Tensor, pos2: Tensor) -> Tensor:
        if self.is_native:
            perms = self._on_descriptors(pos1.shape[1])
            return ops.gdml_matrix(*ops.inverse_distances(pos1), *ops.inverse_distances(pos2), perms, self.kernel)
        x1, j1 = self._described(pos1)
        (m1, d, width), m2 = j1.shape, len(pos2)
        out = x1.new_zeros(m1, width, m2, width)
        for perm, inverse in self._permutations(pos1.shape[1]):
            x2, j2 = self._described(pos2[:, perm])
            j2 = j2.unflatten(2, (-1, 3))[:, :, inverse].flatten(2)
            t = x1[:, None] - x2
            _, g1, g2 = self._radial(t.square().sum(-1))
            along1 = torch.bmm(t, j1)  # [m1,m2,3N]
            along2 = torch.bmm(t.transpose(0, 1), j2) * g2.T[..., None]  # [m2,m1,3N]
            inner = j1.transpose(1, 2).reshape(-1, d) @ j2.transpose(0, 1).reshape(d, -1)
            out += inner.reshape(out.shape) * g1[:, None, :, None]
            out -= along1.transpose(1, 2)[..., None] * along2.transpose(0, 1)[:, None]
        return out.reshape(m1 * width, m2 * width)

    def expansion(self, train: Tensor, weights: Tensor) -> Expansion:
        if self.is_native:
            x, g = ops.inverse_distances(train)
            perms = self._on_descriptors(train.shape[1])
            native = ops.GdmlExpansion(x, -ops.jacobian_product(g, weights), perms, self.kernel)
            return lambda query: native.predict(query)[:2]
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
            if isinstance(self.kernel, ops.GdmlKernel):
                f, energy = ops.gdml_product(x, points, coefficients, same, self.kernel)
            else:
                f, energy = self._product(x, points, coefficients)
            return energy, pull(f)[0]

        return evaluate

    def _product(self, query: Tensor, points: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """ops.gdml_product with a profile of the user's."""
        forces, energies = [], []
        for x in query.split(_CHUNK):
            t = x[:, None] - points
            _, g1, g2 = self._radial(t.square().sum(-1))
            s = (t * coefficients).sum(-1)
            forces.append(torch.einsum("bm,bmd->bd", g2 * s, t) - g1 @ coefficients)
            energies.append((g1 * s).sum(1))
        return torch.cat(forces), torch.cat(energies)

    def _radial(self, r2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return profile(r2, self.kernel) if isinstance(self.kernel, ops.GdmlKernel) else self.kernel(r2)

    def _described(self, pos: Tensor) -> tuple[Tensor, Tensor]:
        """Descriptors [M,D] and Jacobians [M,D,3N]."""
        x = vmap(self.descriptor)(pos)
        jacobian = jacrev if x.shape[1] < pos[0].numel() else jacfwd
        return x, vmap(jacobian(self.descriptor))(pos).flatten(2)

    def _permutations(self, n_atoms: int) -> list[tuple[Tensor, Tensor]]:
        return [(perm, torch.argsort(perm)) for perm in _group(self.perms, n_atoms)]

    def _on_descriptors(self, n_atoms: int) -> Tensor:
        return ops.descriptor_permutations(_group(self.perms, n_atoms))


def _group(perms: Tensor | None, n_atoms: int) -> Tensor:
    return torch.arange(n_atoms)[None] if perms is None else perms


@dataclass(frozen=True)
class PairKernel:
    """A kernel as a torch function of two geometries: sum_p k(R [N,3], Pi_p R' [N,3]), k a scalar, stationary or not.

    k must be symmetric, and twice differentiable also where R = R': `radial_profile` is, a norm is not. perms:
    permutations of atoms [P,N], a group under which k(Pi R, Pi R') = k(R, R'); None: the identity.
    """

    k: Callable[[Tensor, Tensor], Tensor]
    perms: Tensor | None = None

    def __call__(self, r: Tensor, other: Tensor) -> Tensor:
        """Covariance of the energies of two geometries [N,3]."""
        if self.perms is None:
            return self.k(r, other)
        return vmap(self.k, (None, 0))(r, other[self.perms]).sum()

    def matrix(self, pos1: Tensor, pos2: Tensor) -> Tensor:
        block = jacfwd(grad(self, 0), 1)  # [N,3,N,3]
        rows = vmap(vmap(block, (None, 0)), (0, None))
        return rows(pos1, pos2).permute(0, 2, 3, 1, 4, 5).reshape(pos1.numel(), pos2.numel())

    def expansion(self, train: Tensor, weights: Tensor) -> Expansion:
        def one(r: Tensor, other: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
            def value_and_gradient(r2):
                return self(r, r2), grad(self, 0)(r, r2)

            _, (slope, curvature) = jvp(value_and_gradient, (other,), (w,))
            return -slope, curvature

        def row(r: Tensor) -> tuple[Tensor, Tensor]:
            energy, force = vmap(one, (None, 0, 0))(r, train, weights)
            return energy.sum(0), force.sum(0)

        def evaluate(query: Tensor) -> tuple[Tensor, Tensor]:
            parts = [vmap(row)(chunk) for chunk in query.split(_CHUNK)]
            return torch.cat([e for e, _ in parts]), torch.cat([f for _, f in parts])

        return evaluate


@dataclass(frozen=True, repr=False)
class ForceField:
    """A fitted expansion: E(R) = scale sum_j cov(E, F_j) w_j + constant, F = -dE/dR, in the units of the data."""

    kernel: ForceKernel
    train: Tensor  # [M,N,3]
    weights: Tensor  # [M,N,3]
    scale: float
    constant: float

    def __repr__(self) -> str:
        m, n = self.train.shape[:2]
        return f"{type(self).__name__}({m} training points of {n} atoms, {type(self.kernel).__name__})"

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
    kernel: ForceKernel, pos: Tensor, forces: Tensor, energies: Tensor | None = None, *, lam: float = 1e-10,
    iterative: IterativeSettings | None = None,
) -> ForceField:  # fmt: skip
    """Solve (K + lam I) w = F / std(F): in closed form, or iteratively, without the matrix.

    Args:
        pos, forces: [M,N,3] in units of the data. energies: [M]; they fix the integration constant only.
        lam: ridge, relative to the variance of the forces.
        iterative: settings of pyff.solvers' preconditioned conjugate gradients; None: Cholesky.

    Raises:
        ValueError: shapes, forces without spread, a descriptor or kernel that cannot be differentiated, or a matrix
            without a Cholesky factor.
        RuntimeError: conjugate gradients ended before they converged.
    """
    pos, forces = (torch.as_tensor(x, dtype=torch.float64) for x in (pos, forces))
    if pos.dim() != 3 or pos.shape[-1] != 3 or forces.shape != pos.shape:
        raise ValueError(
            f"pos and forces must have shape (M, N, 3); received {tuple(pos.shape)}, {tuple(forces.shape)}"
        )
    scale = float(forces.std(unbiased=False))
    if not scale > 0:
        raise ValueError("forces must not all be the same; received forces without any spread")
    if isinstance(kernel, DescriptorKernel):
        require_descriptor(kernel.descriptor, pos[0])
    elif isinstance(kernel, PairKernel):
        require_pair_kernel(kernel.k, pos)
    y = forces.reshape(-1) / scale
    weights = _closed_form(kernel, pos, y, lam) if iterative is None else _iterate(kernel, pos, y, lam, iterative)
    weights = weights.reshape(pos.shape)
    field = ForceField(kernel, pos, weights, scale, 0.0)
    if energies is None:
        return field
    constant = float((torch.as_tensor(energies, dtype=torch.float64) - field.predict(pos)[0]).mean())
    return ForceField(kernel, pos, weights, scale, constant)


def _closed_form(kernel: ForceKernel, pos: Tensor, y: Tensor, lam: float) -> Tensor:
    K = kernel.matrix(pos, pos)
    K.diagonal().add_(lam)
    factor, failed = torch.linalg.cholesky_ex(K)
    if failed:
        raise ValueError(
            f"the kernel matrix must be positive definite; raise lam (received {lam}), unless the kernel computes in "
            "single precision or is no covariance"
        )
    return torch.cholesky_solve(y[:, None], factor)[:, 0]


def _iterate(kernel: ForceKernel, pos: Tensor, y: Tensor, lam: float, settings: IterativeSettings) -> Tensor:
    solution = solve_iteratively(ForceOperator(kernel, pos), y, lam, settings)
    if not solution.converged:
        raise RuntimeError(
            f"conjugate gradients ended after {solution.iterations} steps with a residual of "
            f"{solution.residual / solution.norm_y:.1e}, above {settings.rtol:g}; allow more steps or columns"
        )
    return solution.x
