"""Electrostatics of periodic systems: Ewald sums and particle-mesh Ewald."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pyff.batch import GraphBatch, PairList
from pyff.ops._check import require, require_device
from pyff.ops._fourier_sum import fourier_potential, n_vectors
from pyff.ops._particle_mesh import mesh_potential, mesh_shape
from pyff.ops.mesh import ORDERS
from pyff.ops.neighbor_list import neighbor_list
from pyff.ops.pair_energy import coulomb_energy
from pyff.units import CODATA_2014

__all__ = ["EWALD_METHODS", "EwaldSplit", "ewald_energy", "ewald_split"]

EWALD_METHODS = ("auto", "ewald", "pme")
ACCURACY = (1e-12, 1e-2)
LONGEST_CUTOFF = 9.0  # A: from there on the mesh is cheaper than more pairs
# relative error of the forces from splines of each order: _MESH_ERROR (alpha spacing)^(order - 1), an upper envelope of
# errors measured for random charges in a triclinic cell with alpha spacing from 0.1 to 0.6
_MESH_ERROR = {4: 0.06, 6: 0.02}


@dataclass(frozen=True)
class EwaldSplit:
    """1/r = erfc(alpha r)/r, summed over pairs within cutoff, + erf(alpha r)/r, over vectors within k_cutoff or on a
    mesh. alpha and k_cutoff in 1/A, cutoff and spacing in A; cutoff 0: nothing is left for pairs."""

    alpha: float
    cutoff: float
    k_cutoff: float
    spacing: float


def ewald_split(
    accuracy: float, *, cutoff: float | None = None, length: float | None = None, order: int = 6
) -> EwaldSplit:
    """The EwaldSplit whose parts are all truncated at the same relative accuracy of the forces.

    Given the cutoff (A) of the pairs, alpha = s / cutoff with s = sqrt(-ln accuracy); given the damping length (A) of
    erf(r/length)/r, alpha = 1 / length and there are no pairs. k_cutoff = 2 s alpha; spacing (A) is that of a mesh with
    B-splines of this order, 4 or 6. ValueError, naming the argument, for values out of range.
    """
    if not ACCURACY[0] <= accuracy <= ACCURACY[1]:
        raise ValueError(f"accuracy must lie in {ACCURACY[0]}..{ACCURACY[1]}; received {accuracy}")
    if order not in ORDERS:
        raise ValueError(f"order must be one of {ORDERS}; received {order}")
    for name, x in (("cutoff", cutoff), ("length", length)):
        if x is not None and not 0 < x < math.inf:
            raise ValueError(f"{name} must be positive and finite; received {x}")
    if (cutoff is None) == (length is None):
        raise ValueError(f"give either cutoff (point charges) or length (damped); received {cutoff} and {length}")
    s = math.sqrt(-math.log(accuracy))
    alpha = s / cutoff if length is None else 1 / length
    spacing = (accuracy / _MESH_ERROR[order]) ** (1 / (order - 1)) / alpha
    return EwaldSplit(alpha, cutoff or 0.0, 2 * s * alpha, spacing)


def ewald_energy(
    pos: Tensor, cell: Tensor, batch: Tensor, charges: Tensor, *, kind: str = "point", length: float | None = None,
    pairs: PairList | GraphBatch | None = None, cutoff: float | None = None, accuracy: float = 1e-6,
    method: str = "auto", order: int = 6,
) -> Tensor:  # fmt: skip
    """Electrostatic energy of each atom in a fully periodic system, E_i = 1/2 q_i phi_i, eV, float64 [N].

        E = k/2 sum_ij sum_R' q_i q_j h(|r_ij + R|),   k = 14.39964535 eV A

    over all lattice vectors R, without i = j at R = 0, in a conducting surrounding (no surface term), with
    h = 1/r (kind "point") or erf(r/length)/r (kind "damped": SO3LR). A cell that is not neutral is neutralised by a
    uniform background with the same interaction, which adds -pi k Q^2 / (2 V alpha^2) to the parts of point charges.

    Point charges are split by Ewald's alpha; damped charges are a sum over reciprocal vectors alone, with
    alpha = 1/length, less the interaction of each charge with itself, k alpha / sqrt(pi) q_i^2.

    Args:
        pos: float64 [N, 3], A; cell: float64 [B, 3, 3], A, any three vectors that span a volume; charges: float64 [N],
            e. All differentiable to second order.
        batch: int64 [N], system of each atom, ascending.
        length: A, the damping length of kind "damped".
        pairs: for kind "point" the pairs within `cutoff`, both directions; None: they are searched for.
        cutoff: A, of the pairs; None: chosen from the density. Pairs beyond it are ignored.
        accuracy: relative error of the forces; chooses alpha, the vectors and the mesh.
        method: "ewald", a sum over vectors with N^1.5 operations or more; "pme", a mesh with N log N; "auto": the one
            that takes less time, system by system.
        order: of the mesh's B-splines, 4 or 6: the energy is then 2 or 4 times continuously differentiable.

    Raises:
        ValueError, TypeError: naming the argument. An open structure has no lattice: sum over its pairs instead.
    Source: Ewald 1921; Essmann et al., J. Chem. Phys. 103, 8577 (1995).
    """
    counts = _checked(pos, cell, batch, charges, kind, length, method)
    if kind == "point":
        cutoff = _default_cutoff(cell, counts, accuracy) if cutoff is None else cutoff
    split = ewald_split(accuracy, cutoff=cutoff if kind == "point" else None, length=length, order=order)
    parts = [
        _reciprocal(r, c, q, split, method, order) for r, c, q in zip(pos.split(counts), cell, charges.split(counts))
    ]
    potential = torch.cat(parts) - 2 * split.alpha / math.sqrt(math.pi) * charges
    if kind == "point":
        potential = potential + _background(cell, batch, charges, split.alpha)
    energy = 0.5 * CODATA_2014.coulomb * charges * potential
    return energy + _pair_energy(pos, cell, batch, charges, pairs, split) if kind == "point" else energy


def _checked(pos, cell, batch, charges, kind, length, method) -> list[int]:
    """Atoms of each system."""
    op = "ewald_energy"
    if kind not in ("point", "damped"):
        raise ValueError(f"{op}: kind must be 'point' or 'damped'; received {kind!r}")
    if (kind == "damped") != (length is not None):
        raise ValueError(f"{op}: length belongs to kind 'damped', which needs it; received {length} with {kind!r}")
    if method not in EWALD_METHODS:
        raise ValueError(f"{op}: method must be one of {', '.join(EWALD_METHODS)}; received {method!r}")
    require(op, "pos", pos, (None, 3), torch.float64)
    require(op, "cell", cell, (None, 3, 3), torch.float64)
    require(op, "batch", batch, (pos.shape[0],), torch.int64)
    require(op, "charges", charges, (pos.shape[0],), torch.float64)
    require_device(op, pos.device, cell=cell, batch=batch, charges=charges)
    flat = (torch.linalg.det(cell.detach()) == 0).nonzero().flatten().tolist()
    if flat:
        raise ValueError(
            f"{op}: every cell must span a volume; that of system {flat[0]} does not. Sum over the pairs of an open "
            "structure instead (coulomb_energy without cutoff)"
        )
    return torch.bincount(batch, minlength=cell.shape[0]).tolist()


def _default_cutoff(cell: Tensor, counts: list[int], accuracy: float) -> float:
    """Where pairs cost as much as vectors, from alpha^6 = pi^3 c N / V^2: a pair takes about 20 times the time of an
    atom and a vector."""
    volume = torch.linalg.det(cell.detach()).abs().max().item()
    alpha = math.sqrt(math.pi) * (20 * max(*counts, 1) / volume**2) ** (1 / 6)
    return min(math.sqrt(-math.log(min(accuracy, 0.1))) / alpha, LONGEST_CUTOFF)


def _reciprocal(pos: Tensor, cell: Tensor, charges: Tensor, split: EwaldSplit, method: str, order: int) -> Tensor:
    if method == "auto":
        method = _cheaper(pos.shape[0], cell, split, order)
    if method == "ewald":
        return fourier_potential(pos, cell, charges, split.alpha, split.k_cutoff)
    return mesh_potential(pos, cell, charges, split.alpha, mesh_shape(cell, split.spacing, order), order)


def _cheaper(n_atoms: int, cell: Tensor, split: EwaldSplit, order: int) -> str:
    points = math.prod(mesh_shape(cell, split.spacing, order))
    mesh = 1.5 * n_atoms * order**3 + 20 * points  # in units of one atom times one vector, measured
    return "ewald" if n_atoms * n_vectors(cell, split.k_cutoff) < mesh else "pme"


def _background(cell: Tensor, batch: Tensor, charges: Tensor, alpha: float) -> Tensor:
    """The mean of erfc(alpha r)/r over the cell times minus the cell's charge."""
    total = charges.new_zeros(cell.shape[0]).index_add(0, batch, charges)
    return -(math.pi / alpha**2 * total / torch.linalg.det(cell).abs())[batch]


def _pair_energy(pos, cell, batch, charges, pairs: PairList | GraphBatch | None, split: EwaldSplit) -> Tensor:
    """k/2 sum_j q_i q_j erfc(alpha r)/r over the pairs within the cutoff."""
    if pairs is None:
        pbc = torch.ones(cell.shape[0], 3, dtype=torch.bool, device=pos.device)
        pairs = neighbor_list(pos.detach(), cell.detach(), pbc, split.cutoff, batch=batch)
    length = 1 / split.alpha
    return coulomb_energy(pos, cell, batch, pairs, charges, kind="erfc", length=length, cutoff=split.cutoff)
