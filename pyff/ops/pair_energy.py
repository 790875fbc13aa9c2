"""Sums of pair energies: nuclear repulsion, electrostatics, dispersion. Nothing is written per pair."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pyff.batch import GraphBatch, PairList
from pyff.ops._check import address, kernel, require, require_device
from pyff.ops._register import Triple, differentiable_op
from pyff.ops.radial import CUTOFFS, Cutoff
from pyff.units import CODATA_2014

__all__ = ["COULOMB_KINDS", "coulomb_energy", "dispersion_energy", "zbl_energy"]

COULOMB_KINDS = {"point": 0, "damped": 1, "erfc": 2, "softened": 3}  # csrc/math/pair_energy.hpp
_DISPERSION, _ZBL = 4, 5

# positions of the arrays that the native function takes
_ARRAYS = (
    "row_ptr", "idx_j", "shift", "batch", "pos", "cell", "atom", "law", "grad_energy", "cot_pos", "cot_cell",
    "cot_atom", "cot_law", "energy", "grad_pos", "virial", "grad_atom", "grad_law",
)  # fmt: skip


def _call(order: int, args, **arrays: Tensor | None) -> None:
    pos, cell, atom, law, batch, row_ptr, idx_j, shift, kind, constants = args
    arrays |= {"pos": pos, "cell": cell, "atom": atom, "law": law, "batch": batch}
    arrays |= {"row_ptr": row_ptr, "idx_j": idx_j, "shift": shift}
    addresses = [address(arrays.get(name)) for name in _ARRAYS]
    kernel("pair_energy", pos.device)(order, pos.shape[0], kind, constants, addresses, torch.get_num_threads())


def _dense(args):
    return tuple(x.contiguous() if isinstance(x, Tensor) else x for x in args)


def _outputs(pos: Tensor, *_) -> tuple[Tensor]:
    return (pos.new_empty(pos.shape[0]),)


def _forward(*args):
    args = _dense(args)
    (energy,) = _outputs(*args)
    _call(0, args, energy=energy)
    return (energy,)


def _gradients(order: int, args, needs, **arrays):
    """Gradients with respect to pos, cell, atom and law, None where they are not needed."""
    pos, cell, atom, law, batch = args[:5]
    n = pos.shape[0]
    grad_pos, grad_atom = (torch.empty_like(x) if f else None for x, f in ((pos, needs[0]), (atom, needs[2])))
    virial = pos.new_empty(n, 3, 3) if needs[1] else None
    per_atom = law.new_empty(n, law.shape[0]) if needs[3] else None
    _call(order, args, grad_pos=grad_pos, virial=virial, grad_atom=grad_atom, grad_law=per_atom, **arrays)
    grad_cell = None if virial is None else torch.zeros_like(cell).index_add_(0, batch, virial)
    return grad_pos, grad_cell, grad_atom, None if per_atom is None else per_atom.sum(0)


def _backward(grads, args, needs):
    return _gradients(1, _dense(args), needs, grad_energy=grads[0].contiguous())


def _double_backward(cotangents, grads, args, need_grads, need_args):
    args = _dense(args)
    cotangents = (torch.zeros_like(x) if c is None else c.contiguous() for c, x in zip(cotangents, args))
    names = ("cot_pos", "cot_cell", "cot_atom", "cot_law")
    energy = torch.empty_like(args[0][:, 0]) if need_grads[0] else None
    arrays = dict(zip(names, cotangents)) | {"grad_energy": grads[0].contiguous(), "energy": energy}
    return (energy,), _gradients(2, args, need_args, **arrays)


_op = differentiable_op(
    Triple(
        name="pair_energy",
        schema="Tensor pos, Tensor cell, Tensor atom, Tensor law, Tensor batch, Tensor row_ptr, Tensor idx_j, "
        "Tensor shift, int kind, float[] constants",
        n_diff=4,
        n_out=1,
        forward=_forward,
        fake=_outputs,
        backward=_backward,
        double_backward=_double_backward,
    )
)


def _constants(
    strength=CODATA_2014.coulomb, length=1.0, cutoff=None, width=math.inf, scale=1.0, radius_factor=1.0, local=None
) -> list[float]:
    """The constants of a law in the order of its native struct."""
    local = Cutoff("none", 1.0) if local is None else local
    cutoff = math.inf if cutoff is None else cutoff
    return [float(x) for x in (strength, length, cutoff, width, scale, radius_factor)] + [
        float(CUTOFFS[local.kind]), float(local.radius), float(local.onset),
    ]  # fmt: skip


def _require_pairs(
    op: str, pos: Tensor, cell: Tensor, batch: Tensor, pairs: PairList | GraphBatch, **atoms: Tensor
) -> None:
    require(op, "pos", pos, (None, 3), torch.float64)
    require(op, "cell", cell, (None, 3, 3), torch.float64)
    n = pos.shape[0]
    require(op, "batch", batch, (n,), torch.int64)
    if not all(hasattr(pairs, name) for name in ("row_ptr", "idx_j", "shift")):
        raise TypeError(f"{op}: pairs must be a PairList or a graph's edges; received {type(pairs).__name__}")
    require(op, "pairs.row_ptr", pairs.row_ptr, (n + 1,), torch.int64)
    require(op, "pairs.idx_j", pairs.idx_j, (None,), torch.int64)
    require(op, "pairs.shift", pairs.shift, (pairs.idx_j.shape[0], 3), torch.int32)
    if not pos.is_cuda and int(pairs.row_ptr[-1]) != pairs.idx_j.shape[0]:
        raise ValueError(f"{op}: pairs.row_ptr must start at 0 and end at the number of pairs, {pairs.idx_j.shape[0]}")
    for name, x in atoms.items():
        require(op, name, x, (n,), torch.int64 if name == "Z" else torch.float64)
    tensors = {"pairs.row_ptr": pairs.row_ptr, "pairs.idx_j": pairs.idx_j, "pairs.shift": pairs.shift}
    require_device(op, pos.device, cell=cell, batch=batch, **tensors, **atoms)


def _require_positive(op: str, **lengths: float | None) -> None:
    for name, x in lengths.items():
        if x is not None and not 0 < x < math.inf:
            raise ValueError(f"{op}: {name} must be a positive number; received {x}")


def coulomb_energy(
    pos: Tensor, cell: Tensor, batch: Tensor, pairs: PairList | GraphBatch, charges: Tensor, *,
    kind: str = "damped", length: float = 1.0, cutoff: float | None = None,
) -> Tensor:  # fmt: skip
    """Electrostatic energy of each atom, E_i = 1/2 sum_{p: i<-j} k q_i q_j h(|r_p|), eV, float64 [N].

        r_p = pos[j] - pos[i] + shift_p @ cell[batch[i]],   k = 14.39964535 eV A

    h(r) by kind, with b the function named and R the cutoff:

    * "point": 1/r; with a cutoff shifted in value and force, b - b(R) - b'(R) (r - R);
    * "damped": erf(r/length)/r; with a cutoff f (b - b(R)) + (1 - f) (b - b(R) - b'(R) (r - R)), f falling smoothly
      from 1 at 0.45 R to 0 at R (SO3LR);
    * "softened": f/sqrt(r^2 + 1 A^2) + (1 - f)/r, f falling from 1 at length/4 to 0 at 3 length/4, both terms shifted
      in value and force where there is a cutoff (SpookyNet; length is its local cutoff);
    * "erfc": erfc(r/length)/r, truncated at the cutoff: the real-space part of Ewald sums, length = 1/alpha.

    Args:
        pos: float64 [N, 3], A. cell: float64 [B, 3, 3], A. charges: float64 [N], e. Differentiable to second order.
        batch: int64 [N], system of each atom.
        pairs: a PairList or a GraphBatch (its edges), both directions; pairs at and beyond the cutoff weigh nothing.
        length: A. cutoff: A; None: no cutoff.

    Raises:
        ValueError, TypeError: naming the argument.
    Source: SO3LR (Kabylda et al. 2025); SpookyNet (Unke et al. 2021), equations for E_ele.
    """
    op = "coulomb_energy"
    if kind not in COULOMB_KINDS:
        raise ValueError(f"{op}: kind must be one of {', '.join(COULOMB_KINDS)}; received {kind!r}")
    _require_positive(op, length=length, cutoff=cutoff)
    if not torch.compiler.is_compiling():
        _require_pairs(op, pos, cell, batch, pairs, charges=charges)
    constants = _constants(length=length, cutoff=cutoff)
    return _apply(pos, cell, batch, pairs, charges[:, None], charges.new_empty(0), COULOMB_KINDS[kind], constants)


def dispersion_energy(
    pos: Tensor, cell: Tensor, batch: Tensor, pairs: PairList | GraphBatch, alpha: Tensor, c6: Tensor, *,
    scale: float = 1.2, cutoff: float | None = None, width: float = 2.0,
) -> Tensor:  # fmt: skip
    """Dispersion energy of each atom from quantum Drude oscillators, E_i = 1/2 sum_{p: i<-j} e(|r_p|), eV, float64 [N].

        e = -w Ha [C6/(r^6 + p^6) + C8/(r^8 + p^8) + C10/(r^10 + p^10)],   r in Bohr
        C8 = 5 C6/gamma,  C10 = 245/8 C6/gamma^2,  p = scale 2 2.54 alpha^(1/7)

    with the pair's alpha = (alpha_i + alpha_j)/2 and C6 = 2 C6_i C6_j alpha_i alpha_j / (alpha_i^2 C6_j +
    alpha_j^2 C6_i), and gamma a function of alpha. With a cutoff, w falls smoothly from 1 at cutoff - width to 0.

    Args:
        pos, cell, batch, pairs: see coulomb_energy.
        alpha: polarizabilities, float64 [N], Bohr^3. c6: float64 [N], Hartree Bohr^6. Both positive, differentiable to
            second order.
        scale: of the damping radius p. cutoff, width: A; None: no cutoff.

    Raises:
        ValueError, TypeError: naming the argument.
    Source: Khabibrakhmanov, Fedorov, Tkatchenko 2023, as used by SO3LR (Kabylda et al. 2025).
    """
    op = "dispersion_energy"
    _require_positive(op, scale=scale, cutoff=cutoff, width=width)
    if cutoff is not None and width > cutoff:
        raise ValueError(f"{op}: width must be at most the cutoff, {cutoff} A; received {width}")
    if not torch.compiler.is_compiling():
        _require_pairs(op, pos, cell, batch, pairs, alpha=alpha, c6=c6)
    u = CODATA_2014
    constants = _constants(u.hartree, u.bohr, cutoff, width, scale, u.fine_structure ** (-4 / 21))
    return _apply(pos, cell, batch, pairs, torch.stack([alpha, c6], 1), alpha.new_empty(0), _DISPERSION, constants)


def zbl_energy(
    pos: Tensor, cell: Tensor, batch: Tensor, pairs: PairList | GraphBatch, Z: Tensor,
    exponents: Tensor, weights: Tensor, power: Tensor, inverse_length: Tensor, *,
    cutoff: Cutoff, end: float | None = 1.5,
) -> Tensor:  # fmt: skip
    """Ziegler-Biersack-Littmark repulsion of each atom, E_i = 1/2 sum_{p: i<-j} e(|r_p|), eV, float64 [N].

        e = w(r) phi(r) k Z_i Z_j / r sum_{n=1..4} c_n exp(-a_n r D (Z_i^P + Z_j^P)),   k = 14.39964535 eV A

    phi is the cutoff function; w falls smoothly from 1 at r = 0 to 0 at `end` (SO3LR), or is 1 (None; SpookyNet).

    Args:
        pos, cell, batch, pairs: see coulomb_energy. Z: int64 [N].
        exponents a [4], weights c [4], power P [], inverse_length D [] (1/A): float64, differentiable to second order.
            The weights are used as given: they should sum to 1.
        cutoff: the model's cutoff function. end: A.

    Raises:
        ValueError, TypeError: naming the argument.
    Source: Ziegler, Biersack, Littmark 1985; SpookyNet (Unke et al. 2021), SO3LR (Kabylda et al. 2025).
    """
    op = "zbl_energy"
    _require_positive(op, end=end)
    if not torch.compiler.is_compiling():
        _require_pairs(op, pos, cell, batch, pairs, Z=Z)
        laws = {"exponents": exponents, "weights": weights, "power": power, "inverse_length": inverse_length}
        for name, x in laws.items():
            require(op, name, x, (4,) if name in ("exponents", "weights") else (), torch.float64)
        require_device(op, pos.device, **laws)
    charge = Z.to(pos.dtype)
    atom = torch.stack([charge, inverse_length * charge**power], 1)
    constants = _constants(width=math.inf if end is None else end, local=cutoff)
    return _apply(pos, cell, batch, pairs, atom, torch.cat([exponents, weights]), _ZBL, constants)


def _apply(pos, cell, batch, pairs, atom, law, kind: int, constants: list[float]) -> Tensor:
    return _op(pos, cell, atom, law, batch, pairs.row_ptr, pairs.idx_j, pairs.shift, kind, constants)
