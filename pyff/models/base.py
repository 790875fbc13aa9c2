"""EnergyModel and DirectModel: physics in the base, novelty in the subclass.

A subclass of EnergyModel returns atomic energies; the base adds reference energies in float64, sums, and differentiates
once for forces and stress. A subclass of DirectModel knows its forces and stress in closed form.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import chain
from typing import Self

import torch
from ase.data import atomic_masses, chemical_symbols
from torch import Tensor, nn

from pyff import ops
from pyff.batch import Attention, Features, Geometry, GraphBatch, Needs, Output
from pyff.errors import UnseenElementError
from pyff.units import Units

__all__ = ["AtomOutputs", "DirectModel", "EnergyModel", "conserved_charges", "device_of", "is_learning", "is_wanted"]

MAX_Z = 118
_learning: ContextVar[bool] = ContextVar("learning", default=False)
_wanted: ContextVar[frozenset[str]] = ContextVar("wanted", default=frozenset())


def is_learning() -> bool:
    """Inside a model's forward: whether the outputs will be differentiated with respect to the parameters.

    Grad mode does not tell: forces need it too.
    """
    return _learning.get()


def is_wanted(*names: str) -> bool:
    """Inside a model's forward: whether any of these quantities was asked for. Saves what nobody would read."""
    return not _wanted.get().isdisjoint(names)


@dataclass(frozen=True)
class AtomOutputs:
    """What a subclass computes per atom; what it does not have stays as it is here.

    energy [N] eV, of the network (or the contributions to another target); terms: energies [N] of physics terms by
    name, eV, which are added; charge [N] e, conserved in each structure; hirshfeld [N], volume over that of the free
    atom; features and attention where `is_wanted`.
    """

    energy: Tensor
    charge: Tensor | None = None
    terms: Mapping[str, Tensor] = field(default_factory=dict)
    hirshfeld: Tensor | None = None
    features: Features | None = None
    attention: tuple[Attention, ...] | None = None


def device_of(model: nn.Module) -> torch.device:
    """Where a model's weights are. Kernel models have buffers only."""
    return next(chain(model.parameters(), model.buffers())).device


class _Model(nn.Module):
    """What EnergyModel and DirectModel have in common: description, elements, and the checks before a prediction."""

    architecture: str

    def __init__(self, config, elements: Iterable[int]) -> None:
        super().__init__()
        self.config = config
        self.elements = tuple(sorted({int(z) for z in elements}))
        if not self.elements or self.elements[0] < 1 or self.elements[-1] > MAX_Z:
            raise ValueError(f"elements must be atomic numbers in 1..{MAX_Z}; received {self.elements}")
        self.info: dict = {}
        self.register_buffer("_seen", torch.zeros(MAX_Z + 1, dtype=torch.bool), persistent=False)
        self._seen[list(self.elements)] = True

    @property
    def offers(self) -> frozenset[str]:
        """Quantities that forward can be asked for."""
        raise NotImplementedError(f"{type(self).__name__} must say what it offers")

    def check_elements(self, Z: Tensor) -> None:
        """Raise UnseenElementError if Z holds an element the model was not trained on."""
        if bool(self._seen[Z].all()):
            return
        names = lambda numbers: ", ".join(chemical_symbols[z] for z in numbers)  # noqa: E731
        unseen = sorted(set(Z[~self._seen[Z]].tolist()))
        raise UnseenElementError(
            f"the model was trained on {names(self.elements)} only; received {names(unseen)}. "
            "Train or fine-tune on data that contain these elements."
        )

    def _offered(self, want: Iterable[str]) -> frozenset[str]:
        """The names wanted, all of which the model offers; else ValueError."""
        want = frozenset(want)
        if not want <= self.offers:
            raise ValueError(
                f"want must name quantities that this model offers ({', '.join(sorted(self.offers))}); "
                f"received {', '.join(sorted(want - self.offers))}"
            )
        return want


class EnergyModel(_Model):
    """Total energy E = sum_i (E0[Z_i] + E_i), forces F = -dE/dpos, stress = (1/V) dE/dstrain.

    config: the architecture's hyper-parameters (a pydantic model with at least `cutoff`, in A).
    elements: atomic numbers the model may be used on.
    reference_energy: E0 per element in eV; zero where not given.
    info: what the model file should remember about the training (data, errors, ranges); JSON values only.

    Subclasses set `architecture` and implement `atom_outputs(batch, geometry)`; those that offer more than energies
    say so in `also_offers`. A config with output="intensive" makes the mean of the atomic contributions the target.
    """

    def __init__(self, config, elements: Iterable[int], reference_energy: Mapping[int, float] | None = None) -> None:
        super().__init__(config, elements)
        self.register_buffer("_reference", torch.zeros(MAX_Z + 1, dtype=torch.float64), persistent=False)
        self.set_reference_energy(reference_energy or {})

    @property
    def needs(self) -> Needs:
        return Needs(cutoff=self.config.cutoff)

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the network; geometry, reference energies and sums are float64."""
        return next(p.dtype for p in self.parameters() if p.is_floating_point())

    @property
    def reference_energy(self) -> dict[int, float]:
        return {z: float(self._reference[z]) for z in self.elements}

    def set_reference_energy(self, energy: Mapping[int, float]) -> None:
        """Set E0 (eV) of the given elements; the others are zero."""
        unknown = sorted(set(energy) - set(self.elements))
        if unknown:
            raise ValueError(f"reference_energy must name the model's elements {self.elements}; received {unknown}")
        self._reference.zero_()
        for z, value in energy.items():
            self._reference[z] = value

    def _apply(self, fn, *args, **kwargs):
        reference = self._reference
        super()._apply(fn, *args, **kwargs)
        # model.float() must not round the reference energies
        self._reference = reference.to(self._reference.device)
        return self

    def parameter_groups(self) -> dict[str, tuple[str, ...]]:
        """Names of the parameters of the parts that fine-tuning can train alone.

        first_layer, last_layer: of the model's one list of layers; final_mlp: of everything that is called a readout.
        A model built otherwise overrides this; parts it does not have are left out.
        """
        names = [name for name, _ in self.named_parameters()]
        lists = [name for name, child in self.named_children() if isinstance(child, nn.ModuleList) and len(child)]
        groups = {"final_mlp": tuple(name for name in names if "readout" in name.split(".")[0])}
        if len(lists) == 1:
            last = len(self.get_submodule(lists[0])) - 1
            for group, k in (("first_layer", 0), ("last_layer", last)):
                groups[group] = tuple(name for name in names if name.startswith(f"{lists[0]}.{k}."))
        return {group: found for group, found in groups.items() if found}

    def atom_outputs(self, batch: GraphBatch, geometry: Geometry) -> AtomOutputs:
        """Per-atom outputs in the network's dtype; vec [E,3] and distance [E] are float64."""
        raise NotImplementedError(f"{type(self).__name__} must implement atom_outputs")

    @property
    def offers(self) -> frozenset[str]:
        """Quantities that forward can be asked for."""
        if getattr(self.config, "output", "energy") == "intensive":
            offers = {"target"}
        else:
            offers = {"energy", "forces", "stress", "atom_energy"}
        return frozenset(offers | self.also_offers)

    @property
    def also_offers(self) -> frozenset[str]:
        """What a subclass can be asked for beside energies, by the names of Output."""
        return frozenset()

    def forward(self, batch: GraphBatch, want: Iterable[str] = ("energy", "forces")) -> Output:
        """Predict the quantities named in want, a subset of `offers`.

        Differentiable with respect to the parameters where grad mode is on. Works inside no_grad.

        Raises:
            ValueError: a quantity that the model does not offer, or an element it was not trained on.
            TypeError: a model in another precision than float32 and float64.
            RuntimeError: inside torch.inference_mode, which allows no forces.
        """
        self._require_usual_tensors(batch)
        want = self._offered(want)
        self.check_elements(batch.Z)
        derivative = bool(want & {"forces", "stress"})
        learning = torch.is_grad_enabled() and any(p.requires_grad for p in self.parameters())
        with torch.set_grad_enabled(derivative or learning), _call(learning, want):
            pos, strain = _leaves(batch, derivative, "stress" in want)
            # a view: whether a leaf's gradient is wanted, the ops could only ask the engine by way of an exception
            moved, cell = pos.view_as(pos), batch.cell
            if strain is not None:
                moved, cell = ops.strained(moved, cell, strain, batch.batch)
            vec, distance = ops.edge_geometry(
                moved, cell, batch.shift, batch.row_ptr, batch.idx_i, batch.idx_j, batch.edge_rev, batch.batch
            )
            atoms = self.atom_outputs(batch, Geometry(moved, cell, vec, distance))
            out = self._collect(batch, pos, atoms, want)
            forces, stress = (
                _derivatives(out.get("energy"), pos, strain, batch, learning) if derivative else (None,) * 2
            )
        out = {k: v if learning else _detached(v) for k, v in out.items()}
        return Output(**out, forces=forces if "forces" in want else None, stress=stress)

    def _require_usual_tensors(self, batch: GraphBatch) -> None:
        """Also for energies alone: tables made in inference mode and kept could never give forces."""
        if torch.is_inference_mode_enabled() or batch.pos.is_inference():
            raise RuntimeError(
                "a model must be called outside torch.inference_mode(), with a batch made outside: forces are "
                "derivatives, which inference tensors do not have; use torch.no_grad()"
            )
        dtype = next((p.dtype for p in self.parameters() if p.is_floating_point()), torch.float64)
        if dtype not in (torch.float32, torch.float64):
            raise TypeError(
                f"the model must be in float32 or float64; received {str(dtype).removeprefix('torch.')}, for which "
                "there are no kernels. Convert it with model.float()"
            )

    def _collect(self, batch: GraphBatch, pos: Tensor, atoms: AtomOutputs, want: frozenset) -> dict[str, Tensor]:
        """Sums over atoms, in float64."""
        out = {}
        value = atoms.energy.double()
        if "target" in want:
            out["target"] = _sum(value, batch) / (batch.ptr[1:] - batch.ptr[:-1])
        elif want & {"energy", "forces", "stress", "atom_energy", "energy_terms"}:
            reference = self._reference[batch.Z]
            if "energy_terms" in want:
                terms = {"network": value, **atoms.terms, "reference": reference}
                out["energy_terms"] = {name: _sum(energy, batch) for name, energy in terms.items()}
            value = sum(atoms.terms.values(), value + reference)
            out["energy"] = _sum(value, batch)
            if "atom_energy" in want:
                out["atom_energy"] = value
        if want & {"dipole", "charges"}:
            out["charges"] = atoms.charge.double()
        if "dipole" in want:
            out["dipole"] = _dipole(out["charges"], pos, batch)
        for name in want & {"hirshfeld", "features", "attention"}:
            out[name] = getattr(atoms, name)
        return out


class DirectModel(_Model):
    """Energies, forces and stress in closed form: kernel models, whose parameters come from a linear system.

    config: hyper-parameters (a pydantic model) with `energy_unit` and `length_unit`, the units of the numbers that the
    model keeps; `forward` speaks eV and A all the same.
    elements: atomic numbers the model may be used on.
    info: what the model file should remember about the training (data, errors, ranges); JSON values only.

    Everything is float64: coefficients of kernel expansions cancel to the last digits. Subclasses set `architecture`
    and implement `needs`, `offers`, `outputs(batch, want)` and `from_tensors(config, tensors)`.
    """

    dtype = torch.float64

    @property
    def reference_energy(self) -> dict[int, float]:
        """None: the constant of a kernel model holds them."""
        return {}

    @cached_property
    def units(self) -> Units:
        """Units of the numbers that the model keeps."""
        return Units(self.config.energy_unit, self.config.length_unit)

    @property
    def needs(self) -> Needs:
        raise NotImplementedError(f"{type(self).__name__} must implement needs")

    @classmethod
    def from_tensors(cls, config, tensors: Mapping[str, Tensor]) -> Self:
        """The model whose `state_dict` these are. Raises ValueError where they do not fit."""
        raise NotImplementedError(f"{cls.__name__} must implement from_tensors")

    def outputs(self, batch: GraphBatch, want: frozenset[str]) -> Output:
        """At least the quantities wanted, in eV and A; called without grad mode."""
        raise NotImplementedError(f"{type(self).__name__} must implement outputs")

    def forward(self, batch: GraphBatch, want: Iterable[str] = ("energy", "forces")) -> Output:
        """Predict the quantities named in want, a subset of `offers`. Not differentiable.

        Raises:
            ValueError: a quantity that the model does not offer, or a structure it was not trained on.
        """
        want = self._offered(want)
        self.check_elements(batch.Z)
        with torch.no_grad():
            return self.outputs(batch, want)

    def _apply(self, fn, *args, **kwargs):
        dtype = fn(torch.empty(0, dtype=torch.float64)).dtype
        if dtype != torch.float64:
            raise TypeError(
                f"a {type(self).__name__} model must stay in float64: its coefficients cancel to the last digits; "
                f"received {str(dtype).removeprefix('torch.')}. Leave dtype out"
            )
        return super()._apply(fn, *args, **kwargs)


@contextmanager
def _call(learning: bool, want: frozenset[str]) -> Iterator[None]:
    """What `is_learning` and `is_wanted` answer inside."""
    tokens = _learning.set(learning), _wanted.set(want)
    try:
        yield
    finally:
        _learning.reset(tokens[0])
        _wanted.reset(tokens[1])


def _detached(value):
    """A tensor, or a container of tensors in Output, without its graph."""
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, Mapping):
        return {name: x.detach() for name, x in value.items()}
    if isinstance(value, tuple):
        return tuple(map(_detached, value))
    return type(value)(**{f.name: _detached(getattr(value, f.name)) for f in fields(value)})


def _sum(per_atom: Tensor, batch: GraphBatch) -> Tensor:
    shape = (batch.n_systems, *per_atom.shape[1:])
    return per_atom.new_zeros(shape).index_add(0, batch.batch, per_atom)


def conserved_charges(charge: Tensor, batch: GraphBatch) -> Tensor:
    """q_i + (Q - sum q) / N [N] float64: atomic charges that add up to the total charge."""
    charge = charge.double()
    excess = (batch.charge.double() - _sum(charge, batch)) / (batch.ptr[1:] - batch.ptr[:-1])
    return charge + excess[batch.batch]


def _dipole(charge: Tensor, pos: Tensor, batch: GraphBatch) -> Tensor:
    """sum_i q_i (r_i - centre of mass), e A."""
    if bool(batch.pbc.any()):
        raise ValueError("the dipole moment of a periodic structure is not defined; ask for charges instead")
    mass = torch.as_tensor(atomic_masses, dtype=pos.dtype, device=pos.device)[batch.Z]
    centre = _sum(mass[:, None] * pos, batch) / _sum(mass, batch)[:, None]
    return _sum(charge[:, None] * (pos - centre[batch.batch]), batch)


def _leaves(batch: GraphBatch, positions: bool, strained: bool) -> tuple[Tensor, Tensor | None]:
    pos = batch.pos.detach().requires_grad_(positions)
    if not strained:
        return pos, None
    strain = torch.zeros(batch.n_systems, 3, 3, dtype=torch.float64, device=pos.device)
    return pos, strain.requires_grad_()


def _derivatives(energy: Tensor, pos: Tensor, strain: Tensor | None, batch: GraphBatch, create_graph: bool):
    """Forces and, where the strain is a leaf, stress."""
    leaves = [pos] if strain is None else [pos, strain]
    if energy.requires_grad:
        grads = torch.autograd.grad(energy.sum(), leaves, create_graph=create_graph, materialize_grads=True)
    else:  # a batch without edges: the atomic energies are constants
        grads = [torch.zeros_like(x) for x in leaves]
    return -grads[0], None if strain is None else _stress(grads[1], batch)


def _stress(grad_strain: Tensor, batch: GraphBatch) -> Tensor:
    """(1/V) dE/dstrain, symmetric. NaN for a structure whose cell has no volume."""
    volume = torch.linalg.det(batch.cell).abs()
    symmetric = 0.5 * (grad_strain + grad_strain.transpose(1, 2))
    closed = volume > 0
    # both branches stay finite: a NaN factor would poison the gradient of the other structures' stress
    inverse = 1.0 / torch.where(closed, volume, 1.0)
    return torch.where(closed[:, None, None], inverse[:, None, None] * symmetric, torch.nan)
