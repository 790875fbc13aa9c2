"""GDML: a force field as one expansion in the training geometries (Chmiela et al., Sci. Adv. 2017, Nat. Commun. 2018).

    x = 1 / |r_a - r_b|, J = dx/dr            E(r) = std E0(x) + c,    F(r) = std J^T f(x),    f = -dE0/dx
    f, E0 = sum over training points x_j and permutations p of the kernel with coefficients a_j = J_j alpha_j (ops.gdml)
    stress = (1/V) dE/dstrain = (std/V) sum_k f_k v_k v_k^T / |v_k|^3,    v_k = r_a - r_b

One model is one molecule or one cell: the same atoms in the same order. Periodic models use nearest images.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, ClassVar, Literal, Self

import torch
from ase.data import chemical_symbols
from ase.formula import Formula
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat
from torch import Tensor

from pyff import ops
from pyff.batch import GraphBatch, Needs, Output
from pyff.errors import PyffError
from pyff.models.base import DirectModel
from pyff.models.gdml.variance import GDMLVariance
from pyff.models.registry import register
from pyff.units import parse_energy_unit, parse_length_unit

__all__ = ["GDML", "CompositionError", "GDMLConfig", "composition_difference"]

Vector = tuple[FiniteFloat, FiniteFloat, FiniteFloat]


class CompositionError(PyffError):
    """A structure of other atoms, or in another order, than the one molecule or cell that a model knows."""


class GDMLConfig(BaseModel):
    """Hyper-parameters, and the units of every number in the model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sigma: float = Field(gt=0, allow_inf_nan=False, description="length scale of the kernel, 1/length")
    profile: Literal["matern52", "rbf"] = "matern52"
    lam: float = Field(1e-10, ge=0, allow_inf_nan=False, description="ridge of the linear system")
    cell: tuple[Vector, Vector, Vector] | None = Field(None, description="training cell, rows; None: open structures")
    images: Literal["search", "round"] = Field(
        "search", description="nearest images among 27, or sGDML's rounding of fractional coordinates"
    )
    energy_unit: Annotated[str, AfterValidator(parse_energy_unit)] = "kcal/mol"
    length_unit: Annotated[str, AfterValidator(parse_length_unit)] = "Angstrom"
    cutoff: ClassVar[None] = None

    def kernel(self) -> ops.GdmlKernel:
        return ops.GdmlKernel(self.sigma, self.profile)


@register
class GDML(DirectModel):
    """GDML, sGDML (perms of atoms) and BIGDML (perms of a supercell); see the module's docstring for the equations.

    Args:
        config: hyper-parameters and units.
        Z: atomic numbers [N].
        train: descriptors of the training points [M, D], 1/length; the model is on their device.
        coef: coefficients J_j alpha_j [M, D].
        perms: permutations of the atoms [P, N], a group, the identity among them.
        coef_energy: coefficients of the training energies [M], or None.
        constant: c, the energy of a model whose expansion is zero.
        std: factor of the expansion.

    Raises:
        ValueError: shapes that do not fit each other, or perms that exchange unlike atoms.
    """

    architecture = "gdml"
    Config = GDMLConfig
    citations = (
        "S. Chmiela, H. E. Sauceda, K.-R. Mueller, A. Tkatchenko, Nat. Commun. 9, 3887 (2018)",
        "S. Chmiela, A. Tkatchenko, H. E. Sauceda, I. Poltavsky, K. T. Schuett, K.-R. Mueller, Sci. Adv. 3, e1603015 "
        "(2017)",
    )

    def __init__(
        self, config: GDMLConfig, Z: Iterable[int] | Tensor, *, train: Tensor, coef: Tensor, perms: Tensor,
        coef_energy: Tensor | None = None, constant: float | Tensor = 0.0, std: float | Tensor = 1.0,
    ) -> None:  # fmt: skip
        device = train.device
        Z = torch.as_tensor(Z).long().clone()
        super().__init__(config, Z.tolist())
        values = {"points": train, "coef": coef, "coef_energy": coef_energy, "constant": constant, "std": std}
        self.register_buffer("Z", Z.to(device))
        self.register_buffer("perms", torch.as_tensor(perms).long().to(device).contiguous())
        for name, value in values.items():
            x = None if value is None else torch.as_tensor(value, dtype=torch.float64, device=device).contiguous()
            self.register_buffer(name, x)
        self._require_shapes()
        self._require_permutations()
        self.register_buffer("_pair_perms", ops.descriptor_permutations(self.perms), persistent=False)
        self._expansion: ops.GdmlExpansion | None = None  # made when first needed
        self._variance: GDMLVariance | None = None
        self._knows_uncertainty, self._geometries = False, None

    @classmethod
    def from_tensors(cls, config: GDMLConfig, tensors: Mapping[str, Tensor]) -> Self:
        names = {"Z", "perms", "points", "coef", "constant", "std"}
        if not names <= set(tensors) <= names | {"coef_energy"}:
            raise ValueError(f"tensors must be {', '.join(sorted(names))}; received {', '.join(sorted(tensors))}")
        for name, value in tensors.items():
            dtype = torch.int64 if name in ("Z", "perms") else torch.float64
            if value.dtype != dtype:
                raise ValueError(f"{name} must be {dtype}; received {value.dtype}")
        tensors = dict(tensors)
        return cls(config, tensors.pop("Z"), train=tensors.pop("points"), **tensors)

    @property
    def needs(self) -> Needs:
        return Needs(cutoff=None, fixed_composition=True)

    @property
    def offers(self) -> frozenset[str]:
        extras = {"stress"} if self.is_periodic else set()
        return frozenset({"energy", "forces"} | extras | ({"uncertainty"} if self._knows_uncertainty else set()))

    @property
    def is_periodic(self) -> bool:
        return self.config.cell is not None

    @property
    def n_train(self) -> int:
        """Number of training points."""
        return self.points.shape[0]

    def predict(self, pos: Tensor, cell: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Energies [B] and forces [B, N, 3] of positions [B, N, 3], all in the model's own units.

        cell: [3, 3] or [B, 3, 3], rows; None: the cell of the training data.
        """
        cell = self._training_cell(pos) if cell is None else cell.expand(pos.shape[0], 3, 3)
        energy, forces, _ = self._evaluate(pos, cell)
        return energy, forces

    def prepare_uncertainty(self, pos: Tensor | None = None) -> None:
        """Offer "uncertainty" from now on: standard deviations of energies and forces, see GDMLVariance.

        pos: the training geometries [M, N, 3] in the model's length unit; may be left out for molecules.

        Raises:
            ValueError: pos is not what the model was trained on, or has to be given.
        """
        self._variance = GDMLVariance(self, pos)
        self._knows_uncertainty, self._geometries = True, pos

    @property
    def variance(self) -> GDMLVariance:
        """Variances in the model's units; needs `prepare_uncertainty`."""
        if not self._knows_uncertainty:
            raise RuntimeError("call prepare_uncertainty() first: a factor of the kernel matrix has to be made")
        if self._variance is None:  # the model has moved to another device
            self._variance = GDMLVariance(self, self._geometries)
        return self._variance

    def outputs(self, batch: GraphBatch, want: frozenset[str]) -> Output:
        self.check_composition(batch)
        self._require_same_periodicity(batch)
        energy_factor, length_factor = self.units.energy_factor, self.units.length_factor
        pos = batch.pos.reshape(batch.n_systems, -1, 3) / length_factor
        energy, forces, virial = self._evaluate(pos, batch.cell / length_factor, virial="stress" in want)
        stress = None
        if virial is not None:
            volume = torch.linalg.det(batch.cell).abs()
            stress = virial * (energy_factor / volume)[:, None, None]
        return Output(
            energy=energy * energy_factor,
            forces=forces.reshape(-1, 3) * (energy_factor / length_factor) if "forces" in want else None,
            stress=stress,
            uncertainty=self._uncertainty(pos, batch.cell / length_factor) if "uncertainty" in want else None,
        )

    def _uncertainty(self, pos: Tensor, cell: Tensor) -> dict[str, Tensor]:
        """Standard deviations in eV and eV/A."""
        if self.is_periodic:
            parts = zip(*(self.variance(p[None], c) for p, c in zip(pos, cell)))
            energy, forces = (torch.cat(part) for part in parts)
        else:
            energy, forces = self.variance(pos)
        per_energy, per_length = self.units.energy_factor, self.units.length_factor
        return {
            "energy": energy.sqrt() * per_energy,
            "forces": forces.sqrt().reshape(-1, 3) * (per_energy / per_length),
        }

    def check_composition(self, batch: GraphBatch) -> None:
        """Raise CompositionError unless every structure has the model's atoms in the model's order."""
        n = self.Z.shape[0]
        if bool((batch.ptr.diff() == n).all()) and bool((batch.Z.reshape(-1, n) == self.Z).all()):
            return
        for k, (a, b) in enumerate(zip(batch.ptr[:-1].tolist(), batch.ptr[1:].tolist())):
            if not torch.equal(batch.Z[a:b], self.Z):
                where = f"structure {k} of the batch" if batch.n_systems > 1 else "this structure"
                raise CompositionError(composition_difference(self.Z.tolist(), batch.Z[a:b].tolist(), where))

    def _evaluate(self, pos: Tensor, cell: Tensor | None, virial: bool = False) -> tuple[Tensor, Tensor, Tensor | None]:
        """Energies, forces and, where asked for, dE/dstrain [B, 3, 3], in the model's units."""
        if self._expansion is None:
            coef_energy = None if self.coef_energy is None else self.std * self.coef_energy
            self._expansion = ops.GdmlExpansion(
                self.points, self.std * self.coef, self._pair_perms, self.config.kernel(), coef_energy,
                constant=self.constant.item(),
            )  # fmt: skip
        if not self.is_periodic:
            cell = None
        elif bool((cell == cell[:1]).all()):
            cell = cell[0]
        return self._expansion.predict(pos, cell, images=self.config.images, virial=virial)

    def _apply(self, fn, *args, **kwargs):
        super()._apply(fn, *args, **kwargs)
        self._expansion = self._variance = None  # hold copies of the tensors
        return self

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_expansion": None, "_variance": None}

    def _training_cell(self, pos: Tensor) -> Tensor | None:
        if not self.is_periodic:
            return None
        return torch.tensor(self.config.cell, dtype=pos.dtype, device=pos.device).expand(pos.shape[0], 3, 3)

    def _require_same_periodicity(self, batch: GraphBatch) -> None:
        if not self.is_periodic:
            if bool(batch.pbc.any()):
                raise ValueError(
                    "this model was trained on open structures; received a periodic one. Set pbc to False, with the "
                    "molecule in one piece"
                )
        elif not bool(batch.pbc.any(1).all() & (torch.linalg.det(batch.cell).abs() > 0).all()):
            raise ValueError(
                "this model was trained on periodic structures; received one that is open or whose cell has no volume. "
                f"Set pbc to True and give it a cell; that of training is {self.config.cell} {self.config.length_unit}"
            )

    def _require_shapes(self) -> None:
        n, (m, d) = self.Z.shape[0], self.points.shape
        if n < 2:
            raise ValueError(f"Z must name at least two atoms; received {n}")
        wanted = {"points": (m, n * (n - 1) // 2), "coef": (m, d), "perms": (len(self.perms), n), "coef_energy": (m,),
                  "constant": (), "std": ()}  # fmt: skip
        for name, shape in wanted.items():
            value = getattr(self, name)
            if value is not None and tuple(value.shape) != shape:
                shown = "train" if name == "points" else name
                raise ValueError(f"{shown} must have shape {list(shape)}; received {list(value.shape)}")
        if not m or not len(self.perms):
            raise ValueError(f"train and perms must not be empty; received {m} points, {len(self.perms)} permutations")

    def _require_permutations(self) -> None:
        """What would make wrong energies without any error: rows that are no permutations, or exchange unlike atoms."""
        order = torch.arange(self.Z.shape[0], device=self.Z.device)
        if not bool((self.perms.sort(1).values == order).all()):
            raise ValueError("perms must hold permutations of 0 .. N - 1; received rows that are none")
        if not bool((self.Z[self.perms] == self.Z).all()):
            raise ValueError("perms must exchange atoms of the same element only")


def composition_difference(own: list[int], other: list[int], where: str) -> str:
    """A sentence on how the atoms of a structure differ from those of the model."""
    names = lambda Z: " ".join(chemical_symbols[z] for z in Z)  # noqa: E731
    formula = lambda Z: Formula.from_list([chemical_symbols[z] for z in Z]).format("hill")  # noqa: E731
    text = f"the model is of {formula(own)} with its atoms in the order {names(own)}; {where} "
    if sorted(own) == sorted(other):
        return text + f"has them in another order, {names(other)}. Sort its atoms like those of the training data"
    return text + f"is {formula(other)}. A kernel model predicts one composition only"
