"""EnergyModel: physics in the base, novelty in the subclass.

A subclass returns atomic energies; the base adds reference energies in float64, sums, and differentiates once for
forces and stress.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from pyff import ops
from pyff.batch import GraphBatch, Needs, Output
from pyff.errors import UnseenElementError

__all__ = ["EnergyModel"]

MAX_Z = 118


class EnergyModel(nn.Module):
    """Total energy E = sum_i (E0[Z_i] + E_i), forces F = -dE/dpos, stress = (1/V) dE/dstrain.

    config: the architecture's hyper-parameters (a pydantic model with at least `cutoff`, in A).
    elements: atomic numbers the model may be used on.
    reference_energy: E0 per element in eV; zero where not given.
    info: what the model file should remember about the training (data, errors, ranges); JSON values only.

    Subclasses set `architecture` and implement `atomic_energy(batch, vec, distance) -> [N]` in eV.
    """

    architecture: str

    def __init__(self, config, elements: Iterable[int], reference_energy: Mapping[int, float] | None = None) -> None:
        super().__init__()
        self.config = config
        self.elements = tuple(sorted({int(z) for z in elements}))
        if not self.elements or self.elements[0] < 1 or self.elements[-1] > MAX_Z:
            raise ValueError(f"elements must be atomic numbers in 1..{MAX_Z}; received {self.elements}")
        self.info: dict = {}
        self.register_buffer("_seen", torch.zeros(MAX_Z + 1, dtype=torch.bool), persistent=False)
        self._seen[list(self.elements)] = True
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

    def check_elements(self, Z: Tensor) -> None:
        """Raise UnseenElementError if Z holds an element the model was not trained on."""
        if bool(self._seen[Z].all()):
            return
        from ase.data import chemical_symbols

        names = lambda numbers: ", ".join(chemical_symbols[z] for z in numbers)  # noqa: E731
        unseen = sorted(set(Z[~self._seen[Z]].tolist()))
        raise UnseenElementError(
            f"the model was trained on {names(self.elements)} only; received {names(unseen)}. "
            "Train or fine-tune on data that contain these elements."
        )

    def atomic_energy(self, batch: GraphBatch, vec: Tensor, distance: Tensor) -> Tensor:
        """E_i [N] in eV, in the network's dtype; vec [E,3] and distance [E] are float64."""
        raise NotImplementedError(f"{type(self).__name__} must implement atomic_energy")

    def forward(self, batch: GraphBatch, want: Iterable[str] = ("energy", "forces")) -> Output:
        """Predict the quantities named in want: energy, forces, stress, atom_energy.

        Differentiable with respect to the parameters where grad mode is on. Works inside no_grad.
        """
        want = frozenset(want)
        unknown = want - {"energy", "forces", "stress", "atom_energy"}
        if unknown:
            raise ValueError(f"want must name quantities this model offers; received {sorted(unknown)}")
        self.check_elements(batch.Z)
        derivative = bool(want & {"forces", "stress"})
        create_graph = torch.is_grad_enabled() and any(p.requires_grad for p in self.parameters())
        with torch.enable_grad() if derivative else torch.set_grad_enabled(create_graph):
            pos, strain = _leaves(batch, "forces" in want or derivative, "stress" in want)
            vec, distance = ops.edge_geometry(
                pos, batch.cell, batch.shift, batch.idx_i, batch.idx_j, batch.row_ptr, batch.edge_rev, batch.batch,
                strain=strain,
            )
            atom_energy = self.atomic_energy(batch, vec, distance).double()
            atom_energy = atom_energy + self._reference[batch.Z]
            energy = torch.zeros(batch.n_systems, dtype=torch.float64, device=pos.device)
            energy = energy.index_add(0, batch.batch, atom_energy)
            grads = _gradients(energy, pos if derivative else None, strain, create_graph)
        keep = (lambda x: x) if create_graph else Tensor.detach
        return Output(
            energy=keep(energy),
            forces=-grads[0] if "forces" in want else None,
            stress=_stress(grads[1], batch) if "stress" in want else None,
            atom_energy=keep(atom_energy) if "atom_energy" in want else None,
        )


def _leaves(batch: GraphBatch, positions: bool, strained: bool) -> tuple[Tensor, Tensor | None]:
    pos = batch.pos.detach().requires_grad_(positions)
    if not strained:
        return pos, None
    strain = torch.zeros(batch.n_systems, 3, 3, dtype=torch.float64, device=pos.device)
    return pos, strain.requires_grad_()


def _gradients(energy: Tensor, pos: Tensor | None, strain: Tensor | None, create_graph: bool):
    leaves = [x for x in (pos, strain) if x is not None]
    if not leaves:
        return None, None
    if not energy.requires_grad:  # a batch without edges whose atomic energies are constants
        return tuple(None if x is None else torch.zeros_like(x) for x in (pos, strain))
    grads = list(
        torch.autograd.grad(energy.sum(), leaves, create_graph=create_graph, materialize_grads=True)
    )
    return grads.pop(0) if pos is not None else None, grads.pop(0) if strain is not None else None


def _stress(grad_strain: Tensor, batch: GraphBatch) -> Tensor:
    """(1/V) dE/dstrain, symmetric. NaN for a structure whose cell has no volume."""
    volume = torch.linalg.det(batch.cell).abs()
    symmetric = 0.5 * (grad_strain + grad_strain.transpose(1, 2))
    return torch.where(volume > 0, 1.0 / volume, torch.nan)[:, None, None] * symmetric
