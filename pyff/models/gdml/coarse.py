"""Coarse-grained potentials: harmonic bonds and angles keep the beads together where there are no data, a kernel field
adds what they leave over."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyff.models.gdml.ad import ForceField

__all__ = ["CoarseGrainedModel", "HarmonicPrior"]


@dataclass(frozen=True)
class HarmonicPrior:
    """E = sum_b k_b/2 (d_b - d0_b)^2 + sum_a k_a/2 (theta_a - theta0_a)^2.

    bonds int64 [b,2], angles int64 [a,3] (the vertex in the middle); lengths and angles at rest; constants in the
    energy unit of kT over length^2 or rad^2.
    """

    bonds: Tensor
    lengths: Tensor
    bond_constants: Tensor
    angles: Tensor
    rest_angles: Tensor
    angle_constants: Tensor

    @classmethod
    def fit(cls, pos: Tensor, bonds, angles, kT: float) -> HarmonicPrior:
        """From samples pos [S,N,3] in equilibrium: the mean, and kT over the variance."""
        pos = torch.as_tensor(pos, dtype=torch.float64)
        bonds = torch.as_tensor(bonds, dtype=torch.int64).reshape(-1, 2)
        angles = torch.as_tensor(angles, dtype=torch.int64).reshape(-1, 3)
        if len(pos) < 2 or not kT > 0:
            raise ValueError(f"a prior needs at least two samples and a positive kT; received {len(pos)}, {kT}")
        distance, theta = _lengths(pos, bonds)[1], _angles(pos, angles)[0]
        spread = [x.var(0) if x.numel() else x.new_zeros(0) for x in (distance, theta)]  # var of nothing warns
        for name, variance in zip(("bond", "angle"), spread):
            if bool((variance <= 0).any()):
                raise ValueError(f"a {name} does not change in the samples (a constraint?); leave it out of the prior")
        return cls(bonds, distance.mean(0), kT / spread[0], angles, theta.mean(0), kT / spread[1])

    def predict(self, pos: Tensor) -> tuple[Tensor, Tensor]:
        """Energies [B] and forces [B,N,3] of positions [B,N,3]."""
        pos = torch.as_tensor(pos, dtype=torch.float64)
        unit, distance = _lengths(pos, self.bonds)
        stretch = distance - self.lengths
        forces = torch.zeros_like(pos)
        pull = (self.bond_constants * stretch)[..., None] * unit  # on the first atom, towards the second
        forces = forces.index_add(1, self.bonds[:, 0], pull).index_add(1, self.bonds[:, 1], -pull)
        theta, first, last = _angles(pos, self.angles)
        bend = theta - self.rest_angles
        torque = -(self.angle_constants * bend)[..., None]
        forces = forces.index_add(1, self.angles[:, 0], torque * first).index_add(1, self.angles[:, 2], torque * last)
        forces = forces.index_add(1, self.angles[:, 1], -torque * (first + last))
        energy = 0.5 * (self.bond_constants * stretch**2).sum(-1) + 0.5 * (self.angle_constants * bend**2).sum(-1)
        return energy, forces


def _lengths(pos: Tensor, bonds: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vectors from the first to the second atom [B,b,3] and distances [B,b]."""
    vec = pos[:, bonds[:, 1]] - pos[:, bonds[:, 0]]
    distance = vec.norm(dim=-1)
    return vec / distance[..., None], distance


def _angles(pos: Tensor, angles: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Angles [B,a] and their gradients by the first and the last atom [B,a,3]."""
    u, v = pos[:, angles[:, 0]] - pos[:, angles[:, 1]], pos[:, angles[:, 2]] - pos[:, angles[:, 1]]
    nu, nv = u.norm(dim=-1, keepdim=True), v.norm(dim=-1, keepdim=True)
    u, v = u / nu, v / nv
    cosine = (u * v).sum(-1, keepdim=True)
    across = torch.linalg.cross(u, v)
    sine = across.norm(dim=-1, keepdim=True)
    # a straight angle has no direction in which to bend: its gradient is zero by symmetry
    safe = torch.where(sine > 1e-12, sine, torch.inf)
    return torch.atan2(sine, cosine)[..., 0], (cosine * u - v) / (nu * safe), (cosine * v - u) / (nv * safe)


@dataclass(frozen=True)
class CoarseGrainedModel:
    """A potential of mean force: prior plus a fitted field for what the prior leaves over."""

    prior: HarmonicPrior
    field: ForceField

    def predict(self, pos: Tensor) -> tuple[Tensor, Tensor]:
        """Energies [B] and mean forces [B,N,3] of bead positions [B,N,3], in the units of the data."""
        energy, forces = self.prior.predict(pos)
        more_energy, more_forces = self.field.predict(pos)
        return energy + more_energy, forces + more_forces
