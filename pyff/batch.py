"""The types every layer shares: System (one structure), GraphBatch (many, as tensors), Needs, Output.

Shape letters: N atoms, B systems, E directed edges, F features. Units: eV, A, e.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["LABELS", "Attention", "Features", "Geometry", "GraphBatch", "Needs", "Output", "PairList", "System"]

# label -> (shape with N for atoms, unit)
LABELS: dict[str, tuple[tuple, str]] = {
    "energy": ((), "eV"),
    "forces": (("N", 3), "eV/A"),
    "stress": ((3, 3), "eV/A^3"),
    "dipole": ((3,), "e A"),
    "charges": (("N",), "e"),
    "hirshfeld": (("N",), "1"),  # volume of the atom in the molecule over that of the free atom
    "target": ((), "as in the data"),  # a property of the whole structure, named by the user
}


@dataclass(frozen=True)
class System:
    """One structure: numpy, float64, validated once.

    Z [N] atomic numbers; pos [N,3] A; cell [3,3] A, rows are lattice vectors; pbc [3]; charge in e; spin in unpaired
    electrons; labels by the names of LABELS, in pyff's units.
    """

    Z: np.ndarray
    pos: np.ndarray
    cell: np.ndarray = field(default_factory=lambda: np.zeros((3, 3)))
    pbc: np.ndarray = field(default_factory=lambda: np.zeros(3, bool))
    charge: float = 0.0
    spin: float = 0.0
    labels: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731  the class is frozen
        put("Z", np.ascontiguousarray(self.Z, dtype=np.int64))
        put("pos", np.ascontiguousarray(self.pos, dtype=np.float64))
        put("cell", np.ascontiguousarray(self.cell, dtype=np.float64))
        put("pbc", np.ascontiguousarray(np.broadcast_to(self.pbc, 3), dtype=bool))
        n = len(self.Z)
        _require_shape("Z", self.Z, (n,))
        _require_shape("pos", self.pos, (n, 3))
        _require_shape("cell", self.cell, (3, 3))
        if n and (self.Z.min() < 1 or self.Z.max() > 118):
            raise ValueError(f"Z must be atomic numbers in 1..118; received {sorted(set(self.Z.tolist()))}")
        for name in ("pos", "cell"):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"{name} must be finite; received NaN or infinity")
        put("labels", {k: _checked_label(k, v, n) for k, v in self.labels.items()})

    def __len__(self) -> int:
        return len(self.Z)

    def with_labels(self, **labels) -> System:
        """The same structure with other labels."""
        return replace(self, labels=labels)


def _require_shape(name: str, value: np.ndarray, shape: tuple) -> None:
    if value.shape != shape:
        raise ValueError(f"{name} must have shape {shape}; received {value.shape}")


def _checked_label(name: str, value, n: int) -> np.ndarray:
    if name not in LABELS:
        raise ValueError(f"label must be one of {', '.join(LABELS)}; received {name!r}")
    value = np.asarray(value, dtype=np.float64)
    _require_shape(name, value, tuple(n if s == "N" else s for s in LABELS[name][0]))
    return value


@dataclass(frozen=True)
class Needs:
    """What a model needs in a GraphBatch beyond what is always there: edges within `cutoff` (A; None: no edges), and
    for pair energies of long range the pairs within `long_range_cutoff` (A; infinity: all pairs of an open structure).

    fixed_composition: the model is of one molecule or one cell; its structures have the same atoms in the same order.
    """

    cutoff: float | None
    long_range_cutoff: float | None = None
    fixed_composition: bool = False


@dataclass(frozen=True)
class PairList:
    """Pairs i <- j in both directions, sorted by i, for sums of pair energies: no features travel along them."""

    row_ptr: Tensor  # [N+1] int64, first pair of each receiver
    idx_j: Tensor  # [P] int64, senders
    shift: Tensor  # [P,3] int32, lattice translations of the sender

    def to(self, device: torch.device | str, non_blocking: bool = False) -> PairList:
        """The same pairs on another device."""
        return PairList(**{f.name: getattr(self, f.name).to(device, non_blocking=non_blocking) for f in fields(self)})


@dataclass(frozen=True)
class GraphBatch:
    """B structures as one graph, on one device.

    Geometry (pos, cell) is float64 whatever the network's precision, so that distances of far-away atoms keep their
    digits; the network casts what it reads. Edges i <- j are directed and sorted by idx_i;
    r_ij = pos[j] - pos[i] + shift @ cell. idx_i, idx_j, edge_rev, row_ptr, batch, ptr, Z are int64, shift int32.
    Charge and spin are always there, zero where the data do not give them.
    """

    Z: Tensor  # [N]
    pos: Tensor  # [N,3] A
    cell: Tensor  # [B,3,3] A
    pbc: Tensor  # [B,3] bool
    batch: Tensor  # [N] system of each atom
    ptr: Tensor  # [B+1] first atom of each system
    idx_i: Tensor  # [E] receivers
    idx_j: Tensor  # [E] senders
    shift: Tensor  # [E,3] lattice translations of the sender
    row_ptr: Tensor  # [N+1] first edge of each receiver
    edge_rev: Tensor  # [E] index of the reversed edge
    charge: Tensor  # [B] e
    spin: Tensor  # [B] unpaired electrons
    long_range: PairList | None = None  # where Needs.long_range_cutoff asks for it

    @property
    def n_atoms(self) -> int:
        return self.Z.shape[0]

    @property
    def n_systems(self) -> int:
        return self.ptr.shape[0] - 1

    @property
    def n_edges(self) -> int:
        return self.idx_j.shape[0]

    def named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """All tensors with their names, those of the long-range pairs as long_range.<name>."""
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, PairList):
                yield from ((f"{f.name}.{g.name}", getattr(value, g.name)) for g in fields(value))
            elif value is not None:
                yield f.name, value

    def to(self, device: torch.device | str, non_blocking: bool = False) -> GraphBatch:
        """The same batch on another device."""
        values = ((f.name, getattr(self, f.name)) for f in fields(self))
        return GraphBatch(**{k: x if x is None else x.to(device, non_blocking=non_blocking) for k, x in values})


@dataclass(frozen=True)
class Geometry:
    """The geometry of a GraphBatch as a model differentiates it: float64, on the leaves for forces and stress."""

    pos: Tensor  # [N,3] A
    cell: Tensor  # [B,3,3] A
    vec: Tensor  # [E,3] A, from receiver to sender
    distance: Tensor  # [E] A


@dataclass(frozen=True)
class Features:
    """What a network knows about each atom after its last layer, in the network's precision."""

    x: Tensor  # [N,F] invariant features
    ev: Tensor  # [N,M] Euclidean variables, degree by degree, m = -l .. l; M = 0 in an invariant model


@dataclass(frozen=True)
class Attention:
    """Attention coefficients of one layer along the edges, cutoff function and normalization included."""

    invariant: Tensor  # [E,H], one per head
    equivariant: Tensor  # [E,L], one per degree; L = 0 in an invariant model


@dataclass(frozen=True)
class Output:
    """What a model predicts; None where it was not asked for or is not offered.

    energy [B] eV (float64); forces [N,3] eV/A; stress [B,3,3] eV/A^3, (1/V) dE/dstrain, NaN where the cell has no
    volume or the structure is open; atom_energy [N] eV; charges [N] e; dipole [B,3] e A; target [B], an intensive or
    extensive property other than the energy; hirshfeld [N], volumes of atoms over those of free atoms; energy_terms:
    parts of the energy [B] by name, which add up to it; uncertainty: standard deviations by
    the name of what they belong to, in its shape and unit; features after the last layer; attention of each layer.
    """

    energy: Tensor | None = None
    forces: Tensor | None = None
    stress: Tensor | None = None
    atom_energy: Tensor | None = None
    charges: Tensor | None = None
    dipole: Tensor | None = None
    target: Tensor | None = None
    hirshfeld: Tensor | None = None
    energy_terms: Mapping[str, Tensor] | None = None
    uncertainty: Mapping[str, Tensor] | None = None
    features: Features | None = None
    attention: tuple[Attention, ...] | None = None
