"""Reading attention coefficients: which atoms, which pairs of elements and which distances a model looks at.

Coefficients alpha [E, H] belong to directed edges j -> i: with weight alpha atom idx_i takes up what atom idx_j sends.
They are no probabilities (there is no softmax), and may be negative; unless signed=True their magnitudes are used.
Arrays are numpy or anything numpy can read, such as a tensor on the CPU without gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "AtomAttention",
    "DistanceAttention",
    "PairAttention",
    "attention_by_distance",
    "attention_by_elements",
    "attention_panels",
    "attention_per_atom",
]


@dataclass(frozen=True)
class AtomAttention:
    """given [N, H]: sum over the edges an atom receives messages by, what it pays to its neighbors;
    received [N, H]: sum over the edges it sends by, what the others pay to it."""

    given: np.ndarray
    received: np.ndarray


@dataclass(frozen=True)
class PairAttention:
    """mean [S, S, H] over edges from an element j (column) to an element i (row); count [S, S] edges; elements [S].

    NaN where there is no edge.
    """

    elements: tuple[int, ...]
    mean: np.ndarray
    count: np.ndarray


@dataclass(frozen=True)
class DistanceAttention:
    """edges_of_bins [K + 1] in A; count [K] edges in a bin, mean and deviation [K, H] of theirs, NaN for none."""

    edges_of_bins: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    count: np.ndarray

    @property
    def centers(self) -> np.ndarray:
        return 0.5 * (self.edges_of_bins[1:] + self.edges_of_bins[:-1])


def attention_per_atom(
    alpha: ArrayLike, idx_i: ArrayLike, idx_j: ArrayLike, n_atoms: int, *, signed: bool = False
) -> AtomAttention:
    """Attention each atom gives and receives, summed over edges.

    Args:
        alpha: [E, H], or [E] for one head. idx_i, idx_j: [E] receivers and senders, below n_atoms.

    Raises:
        ValueError: shapes that do not fit, indices out of range, coefficients that are not finite.
    """
    alpha, (idx_i, idx_j) = _checked(alpha, signed, idx_i=idx_i, idx_j=idx_j)
    for name, index in (("idx_i", idx_i), ("idx_j", idx_j)):
        if index.size and not (index.min() >= 0 and index.max() < n_atoms):
            raise ValueError(f"{name} must be in 0..{n_atoms - 1}; received {index.min()}..{index.max()}")
    given, received = np.zeros((n_atoms, alpha.shape[1])), np.zeros((n_atoms, alpha.shape[1]))
    np.add.at(given, idx_i, alpha)
    np.add.at(received, idx_j, alpha)
    return AtomAttention(given, received)


def attention_by_elements(
    alpha: ArrayLike, idx_i: ArrayLike, idx_j: ArrayLike, Z: ArrayLike, *, signed: bool = False
) -> PairAttention:
    """Mean coefficient for every pair of elements; Z: atomic numbers [N]."""
    alpha, (idx_i, idx_j) = _checked(alpha, signed, idx_i=idx_i, idx_j=idx_j)
    elements, kind = np.unique(np.asarray(Z), return_inverse=True)
    n = len(elements)
    total, count = np.zeros((n, n, alpha.shape[1])), np.zeros((n, n), int)
    np.add.at(total, (kind[idx_i], kind[idx_j]), alpha)
    np.add.at(count, (kind[idx_i], kind[idx_j]), 1)
    mean = np.where(count[..., None] > 0, total / np.maximum(count, 1)[..., None], np.nan)
    return PairAttention(tuple(int(z) for z in elements), mean, count)


def attention_by_distance(
    alpha: ArrayLike, distance: ArrayLike, *, bins: int | Sequence[float] = 20, signed: bool = False
) -> DistanceAttention:
    """Mean coefficient against the distance [E] in A; bins: a number of equal ones up to the largest, or their edges.

    A distance on an edge belongs to the bin above; one outside the edges given is left out.
    """
    distance = np.asarray(distance, float)
    alpha, _ = _checked(alpha, signed, distance=distance)
    if isinstance(bins, (int, np.integer)):
        if bins < 1:
            raise ValueError(f"bins must be at least 1; received {bins}")
        # the largest distance belongs to the last bin
        bins = np.linspace(0, np.nextafter(distance.max(), np.inf) if distance.size else 1.0, bins + 1)
    limits = np.asarray(bins, float)
    if limits.ndim != 1 or len(limits) < 2 or not (np.diff(limits) > 0).all():
        raise ValueError(f"bins must be a number or ascending edges; received {bins}")
    where = np.searchsorted(limits, distance, side="right") - 1
    inside = (where >= 0) & (where < len(limits) - 1)
    shape = (len(limits) - 1, alpha.shape[1])
    count = np.bincount(where[inside], minlength=shape[0])
    total, square = np.zeros(shape), np.zeros(shape)
    np.add.at(total, where[inside], alpha[inside])
    some = np.maximum(count, 1)[:, None]
    np.add.at(square, where[inside], (alpha[inside] - (total / some)[where[inside]]) ** 2)
    empty = (count == 0)[:, None]
    mean, deviation = np.where(empty, np.nan, total / some), np.where(empty, np.nan, np.sqrt(square / some))
    return DistanceAttention(limits, mean, deviation, count)


def _checked(alpha: ArrayLike, signed: bool, **per_edge: ArrayLike) -> tuple[np.ndarray, list[np.ndarray]]:
    values = np.asarray(alpha, float)
    values = values[:, None] if values.ndim == 1 else values
    arrays = [np.asarray(x) for x in per_edge.values()]
    if values.ndim != 2 or any(x.shape != values.shape[:1] for x in arrays):
        shapes = ", ".join(f"{name} {x.shape}" for name, x in zip(per_edge, arrays))
        raise ValueError(f"alpha must be [E, H] and {', '.join(per_edge)} [E]; received {values.shape}, {shapes}")
    if not np.isfinite(values).all():
        raise ValueError("alpha must be finite; received NaN or infinity")
    return (values if signed else np.abs(values)), arrays


def attention_panels(
    alpha: ArrayLike, idx_i: ArrayLike, idx_j: ArrayLike, distance: ArrayLike, Z: ArrayLike
) -> list[Callable[[Axes], None]]:
    """Panels for `save_figure`: attention received per atom, by elements, and by distance; mean over heads."""
    Z = np.asarray(Z)
    atoms = attention_per_atom(alpha, idx_i, idx_j, len(Z))
    pairs = attention_by_elements(alpha, idx_i, idx_j, Z)
    radial = attention_by_distance(alpha, distance)
    return [_atom_panel(atoms, Z), _pair_panel(pairs), _distance_panel(radial)]


_CPK = {1: "#9aa0a6", 6: "#3c4043", 7: "#1f5fa8", 8: "#b3261e", 9: "#2c8a57", 15: "#d1701c", 16: "#c9a227"}


def _atom_panel(atoms: AtomAttention, Z: np.ndarray) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        received = atoms.received.mean(1)
        for z in np.unique(Z):
            mine = np.flatnonzero(z == Z)
            axes.bar(mine, received[mine], color=_CPK.get(int(z), "#8b3fa0"), label=chemical_symbols[z])
        axes.set(
            xlabel="atom", ylabel="attention received (sum of |alpha|)", ylim=(0, 1.2 * max(received.max(), 1e-12))
        )
        axes.set_title("which atoms the others look at", fontsize="medium")
        axes.legend(frameon=False, ncols=6, loc="upper center")

    return draw


def _pair_panel(pairs: PairAttention) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        mean = pairs.mean.mean(2)
        image = axes.imshow(mean, cmap="Blues", vmin=0)
        names = [chemical_symbols[z] for z in pairs.elements]
        axes.set_xticks(range(len(names)), names)
        axes.set_yticks(range(len(names)), names)
        for i, j in np.argwhere(np.isfinite(mean)):
            shade = "white" if mean[i, j] > 0.6 * np.nanmax(mean) else "black"
            axes.text(j, i, f"{mean[i, j]:.2g}", ha="center", va="center", color=shade, fontsize="small")
        axes.set(xlabel="attends to", ylabel="element")
        axes.set_title("mean |alpha| by elements", fontsize="medium")
        axes.figure.colorbar(image, ax=axes, shrink=0.8)

    return draw


def _distance_panel(radial: DistanceAttention) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        x, y, spread = radial.centers, radial.mean.mean(1), radial.deviation.mean(1)
        axes.fill_between(x, np.maximum(y - spread, 0), y + spread, color="#1f5fa8", alpha=0.2, linewidth=0)
        axes.plot(x, y, "o-", color="#1f5fa8", markersize=3, linewidth=1.2)
        axes.set(xlabel="distance (A)", ylabel="mean |alpha|", xlim=(0, radial.edges_of_bins[-1]))
        axes.set_ylim(bottom=0)
        axes.set_title("how far they look (band: standard deviation)", fontsize="medium")

    return draw
