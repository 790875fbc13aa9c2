"""Kernel ridge regression on Coulomb matrices: energies, or another number, of molecules of any composition.

    E(x) = sum_Z n_Z E0_Z + c + 1/T sum_t sum_j k(x_t, x_j) a_j        k = exp(-|x - x'|_1 / sigma)         laplacian
                                                                       k = exp(-|x - x'|^2 / (2 sigma^2))   gaussian

with n_Z the number of atoms of element Z and x one of the descriptors of coulomb_matrix.py (T > 1 for random orders).
Sources: Rupp et al., Phys. Rev. Lett. 108, 058301 (2012); Hansen et al., J. Chem. Theory Comput. 9, 3404 (2013).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from pyff import ops
from pyff.batch import GraphBatch, Needs, Output
from pyff.models.base import DirectModel
from pyff.models.coulomb_matrix import coulomb_matrices, eigenvalues, norm_sorted, randomly_sorted
from pyff.models.registry import register

__all__ = ["CoulombKRR", "CoulombKRRConfig"]


class CoulombKRRConfig(BaseModel):
    """Hyper-parameters. Energies are kept in eV, Coulomb matrices in Hartree."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    representation: Literal["sorted", "random", "eigenvalues"] = "sorted"
    kernel: Literal["laplacian", "gaussian"] = "laplacian"
    sigma: float = Field(gt=0, allow_inf_nan=False, description="length scale of the kernel, Hartree")
    lam: float = Field(1e-10, ge=0, allow_inf_nan=False, description="ridge; the kernel's diagonal is 1")
    size: int = Field(ge=1, le=1000, description="atoms of the largest molecule")
    realizations: int = Field(4, ge=1, le=1000, description="orders per molecule, of the random representation")
    noise: float = Field(1.0, ge=0, allow_inf_nan=False, description="of the random orders, Hartree")
    seed: int = Field(0, ge=0, description="of the random orders")
    baseline: Literal["composition", "mean"] = Field(
        "composition", description="regression on the numbers of atoms, or the mean label; the kernel learns the rest"
    )
    quantity: Literal["energy", "target"] = "energy"
    cutoff: ClassVar[None] = None
    energy_unit: ClassVar[str] = "eV"
    length_unit: ClassVar[str] = "Angstrom"

    @property
    def orders(self) -> int:
        """T, descriptors per molecule."""
        return self.realizations if self.representation == "random" else 1

    @property
    def norm(self) -> str:
        """Of the distances that the kernel is a function of."""
        return "l1" if self.kernel == "laplacian" else "l2"

    def describe(self, Z: Tensor, pos: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Descriptors [M, T, F] of padded structures, Z [M, size] and pos [M, size, 3] (A).

        generator: draws the random orders of each structure; None: of `seed`, the same for every structure.
        """
        C = coulomb_matrices(Z, pos)
        if self.representation == "eigenvalues":
            return eigenvalues(C)[:, None]
        if self.representation == "sorted":
            return norm_sorted(C)[:, None]
        shape = (1 if generator is None else Z.shape[0], self.realizations, self.size)
        generator = generator or torch.Generator().manual_seed(self.seed)
        noise = torch.randn(shape, generator=generator, dtype=torch.float64).to(C.device)
        return randomly_sorted(C, self.noise * noise)


@register
class CoulombKRR(DirectModel):
    """Kernel ridge regression on Coulomb matrices; see the module's docstring for the equation.

    Args:
        config: hyper-parameters.
        Z: atomic numbers of the elements that the model knows [K].
        points: descriptors of the training molecules [R, F], T rows each.
        coef: a [R], eV (or the target's unit).
        reference: E0 of the elements [K]. constant: c.

    Raises:
        ValueError: shapes that do not fit each other.
    """

    architecture = "coulomb_krr"
    Config = CoulombKRRConfig
    citations = (
        "M. Rupp, A. Tkatchenko, K.-R. Mueller, O. A. von Lilienfeld, Phys. Rev. Lett. 108, 058301 (2012)",
        "K. Hansen et al., J. Chem. Theory Comput. 9, 3404 (2013)",
    )

    def __init__(
        self, config: CoulombKRRConfig, Z: Iterable[int] | Tensor, *, points: Tensor, coef: Tensor, reference: Tensor,
        constant: float | Tensor = 0.0,
    ) -> None:  # fmt: skip
        Z = torch.as_tensor(Z).long().clone()
        super().__init__(config, Z.tolist())
        self.register_buffer("Z", Z)
        values = {"points": points, "coef": coef, "reference": reference, "constant": constant}
        for name, value in values.items():
            self.register_buffer(name, torch.as_tensor(value).double().contiguous())
        n, rows = config.size, self.points.shape[0]
        width = n if config.representation == "eigenvalues" else n * (n + 1) // 2
        wanted = {"points": (rows, width), "coef": (rows,), "reference": (len(Z),), "constant": ()}
        for name, shape in wanted.items():
            received = tuple(getattr(self, name).shape)
            if received != shape:
                raise ValueError(f"{name} must have shape {list(shape)}; received {list(received)}")

    @classmethod
    def from_tensors(cls, config: CoulombKRRConfig, tensors: Mapping[str, Tensor]) -> Self:
        names = {"Z", "points", "coef", "reference", "constant"}
        if set(tensors) != names:
            raise ValueError(f"tensors must be {', '.join(sorted(names))}; received {', '.join(sorted(tensors))}")
        for name, value in tensors.items():
            dtype = torch.int64 if name == "Z" else torch.float64
            if value.dtype != dtype:
                raise ValueError(f"{name} must be {dtype}; received {value.dtype}")
        return cls(config, **tensors)

    @property
    def needs(self) -> Needs:
        return Needs(cutoff=None)

    @property
    def offers(self) -> frozenset[str]:
        return frozenset({self.config.quantity})

    @property
    def n_train(self) -> int:
        """Number of training molecules."""
        return self.points.shape[0] // self.config.orders

    def outputs(self, batch: GraphBatch, want: frozenset[str]) -> Output:
        x = self.config.describe(*self._padded(batch))
        k = ops.kernel_matrix(x.flatten(0, 1), self.points, self.config.sigma, self.config.kernel)
        value = (k @ self.coef).reshape(x.shape[:2]).mean(1) + self.constant
        counts = (batch.Z[:, None] == self.Z).double()
        value = value + value.new_zeros(value.shape).index_add(0, batch.batch, counts @ self.reference)
        return Output(**{self.config.quantity: value})

    def _padded(self, batch: GraphBatch) -> tuple[Tensor, Tensor]:
        """Atomic numbers [B, size] and positions [B, size, 3]."""
        if bool(batch.pbc.any()):
            raise ValueError("a Coulomb matrix describes a molecule; received a periodic structure. Set pbc to False")
        largest = int(batch.ptr.diff().max())
        if largest > self.config.size:
            raise ValueError(
                f"the model describes molecules of up to {self.config.size} atoms; received one of {largest}. Train it "
                "on molecules of that size"
            )
        own = torch.arange(batch.n_atoms, device=batch.pos.device) - batch.ptr[batch.batch]
        Z = batch.Z.new_zeros(batch.n_systems, self.config.size)
        pos = batch.pos.new_zeros(batch.n_systems, self.config.size, 3)
        Z[batch.batch, own], pos[batch.batch, own] = batch.Z, batch.pos
        return Z, pos
