"""Free-energy surfaces over two angles, from samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FreeEnergySurface", "dihedral_angles", "free_energy_surface", "surface_panel"]

_UNSEEN = 0.5  # counts of a bin nobody visited, where two surfaces are compared


def dihedral_angles(pos: np.ndarray, quadruples) -> np.ndarray:
    """Torsion angles in (-pi, pi] of the atoms quadruples [K,4] in positions [..., N, 3]: [..., K].

    IUPAC sign: positive if the front bond has to turn clockwise to hide the back bond.
    """
    a, b, c, d = (np.asarray(pos, dtype=float)[..., np.asarray(quadruples)[:, k], :] for k in range(4))
    before, axis, after = a - b, c - b, d - c
    axis = axis / np.linalg.norm(axis, axis=-1, keepdims=True)
    # parts across the axis
    u = before - np.sum(before * axis, axis=-1, keepdims=True) * axis
    v = after - np.sum(after * axis, axis=-1, keepdims=True) * axis
    return np.arctan2(np.sum(np.cross(axis, u) * v, axis=-1), np.sum(u * v, axis=-1))


@dataclass(frozen=True)
class FreeEnergySurface:
    """F = -ln p in kT over two periodic angles, counts [n,n] per bin of [-pi, pi)^2; first axis: first angle."""

    counts: np.ndarray

    @property
    def energy(self) -> np.ndarray:
        """[n,n] in kT, the lowest bin at 0; infinite where no sample fell."""
        with np.errstate(divide="ignore"):
            energy = -np.log(self.counts / self.counts.sum())
        return energy - energy.min()

    @property
    def probability(self) -> np.ndarray:
        return self.counts / self.counts.sum()

    def mean_squared_difference(self, reference: FreeEnergySurface) -> float:
        """Mean over the reference's population of (F - F_ref - c)^2 in kT^2, c the constant that makes it smallest.

        Bins that only the reference visited count as half a sample here.
        """
        weight = reference.probability
        seen = weight > 0
        counts = np.maximum(self.counts[seen], _UNSEEN)
        difference = -np.log(counts / counts.sum()) + np.log(weight[seen])
        mean = np.sum(weight[seen] * difference)
        return float(np.sum(weight[seen] * (difference - mean) ** 2))

    def divergence(self, reference: FreeEnergySurface) -> float:
        """Jensen-Shannon divergence of the two distributions: 0 if equal, ln 2 if they do not overlap."""
        p, q = self.probability, reference.probability
        middle = 0.5 * (p + q)

        def entropy(x: np.ndarray) -> float:
            x = x[x > 0]
            return float(-np.sum(x * np.log(x)))

        return entropy(middle) - 0.5 * (entropy(p) + entropy(q))


def free_energy_surface(angles: np.ndarray, bins: int = 36) -> FreeEnergySurface:
    """Histogram of samples angles [..., 2] in rad.

    Raises:
        ValueError: the last axis is not of length 2, or a sample is not finite.
    """
    angles = np.asarray(angles, dtype=float)
    if angles.ndim < 1 or angles.shape[-1] != 2:
        raise ValueError(f"angles must have shape (..., 2); received {angles.shape}")
    if not np.isfinite(angles).all():
        raise ValueError("angles must be finite; received NaN or infinity")
    index = np.floor((angles.reshape(-1, 2) + np.pi) / (2 * np.pi) * bins).astype(int) % bins
    counts = np.zeros((bins, bins))
    np.add.at(counts, (index[:, 0], index[:, 1]), 1.0)
    return FreeEnergySurface(counts)


def surface_panel(surface: FreeEnergySurface, title: str = "", *, highest: float = 8.0) -> Callable[[Axes], None]:
    """A panel for pictures: the surface in kT, colours up to `highest`, white where no sample fell."""

    def draw(axes: Axes) -> None:
        image = axes.imshow(
            np.where(np.isfinite(surface.energy), surface.energy, np.nan).T,
            origin="lower", extent=(-180, 180, -180, 180), vmin=0, vmax=highest, cmap="viridis", aspect="auto",
        )  # fmt: skip
        axes.figure.colorbar(image, ax=axes, label="free energy (kT)")
        axes.set(xlabel=r"$\phi$ (degrees)", ylabel=r"$\psi$ (degrees)", title=title)

    return draw
