"""The training set of a GDML expansion, arranged for the native kernel (csrc/api/gdml.hpp)."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from pyff.ops._check import kernel, require, require_device

__all__ = ["IMAGES", "PROFILES", "PackedExpansion", "require_expansion"]

IMAGES = {"round": 0, "search": 1}  # csrc/math/descriptor.hpp
PROFILES = {"matern52": 0, "rbf": 1}  # csrc/math/matern.hpp
_POINTS = 16  # of a block


def require_expansion(op: str, train: Tensor, coef: Tensor, perms: Tensor, coef_energy: Tensor | None) -> None:
    require(op, "train", train, (None, None), torch.float64)
    require(op, "coef", coef, tuple(train.shape), torch.float64)
    require(op, "perms", perms, (None, train.shape[1]), torch.int64)
    if coef_energy is not None:
        require(op, "coef_energy", coef_energy, (train.shape[0],), torch.float64)
    require_device(op, train.device, coef=coef, perms=perms, coef_energy=coef_energy)
    entries = torch.arange(perms.shape[1], device=perms.device)
    if perms.shape[0] == 0 or not bool((perms.sort(1).values == entries).all()):
        raise ValueError(
            f"{op}: perms must hold at least one row, and each entry 0..{perms.shape[1] - 1} once per row; use "
            "descriptor_permutations"
        )


class PackedExpansion:
    """Centred descriptors and coefficients in blocks of 16 training points; all arrays are copies."""

    def __init__(self, train: Tensor, coef: Tensor, perms: Tensor, radial, coef_energy: Tensor | None) -> None:
        n_points, self.n_pairs = train.shape
        self.device, self.n_perms = train.device, perms.shape[0]
        self._orders = perms.argsort(1).contiguous()
        # the permuted copies of a point have the same distance from this centre
        self._centre = train.mean(0)[perms].mean(0) if n_points else train.new_zeros(self.n_pairs)
        self._profile = (PROFILES[radial.profile], float(radial.sigma))
        self._x = self._blocked(train - self._centre)
        self._pack(coef, coef_energy)

    def with_coefficients(self, coef: Tensor, coef_energy: Tensor | None) -> Self:
        """The same training points with other coefficients."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._pack(coef, coef_energy)
        return other

    def _blocked(self, rows: Tensor) -> Tensor:
        """[M, n] -> [blocks, n, 16], the last block filled up with zeros."""
        n_points, n = rows.shape
        filled = rows.new_zeros(-(-n_points // _POINTS) * _POINTS, n)
        filled[:n_points] = rows
        return filled.reshape(-1, _POINTS, n).transpose(1, 2)

    def _pack(self, coef: Tensor, coef_energy: Tensor | None) -> None:
        x, a, n = self._x, self._blocked(coef), self.n_pairs
        packed = x.new_zeros(x.shape[0], 2 + (n + 3) // 4 * 4, 2, _POINTS)
        packed[:, 0, 0] = x.square().sum(1) / 2
        packed[:, 0, 1] = (x * a).sum(1)
        if coef_energy is not None:
            packed[:, 1, 0] = self._blocked(coef_energy[:, None])[:, 0]
        packed[:, 2 : 2 + n, 0] = x
        packed[:, 2 : 2 + n, 1] = a
        self._packed, self._has_energies = packed, coef_energy is not None
        self.args = self._native_args()

    def _native_args(self) -> tuple:
        addresses = (self._packed.data_ptr(), self._centre.data_ptr(), self._orders.data_ptr())
        sizes = (self._packed.shape[0], self.n_pairs, self.n_perms)
        return (*self._profile, self._has_energies, *sizes, *addresses)

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self.args = self._native_args()  # a copy has its own memory

    def product(self, query: Tensor) -> tuple[Tensor, Tensor]:
        """f [B, D] and E [B] of contiguous descriptors [B, D]."""
        f, energy = torch.empty_like(query), query.new_empty(query.shape[0])
        arrays = (query.data_ptr(), f.data_ptr(), energy.data_ptr())
        kernel("gdml_product", self.device)(self.args, query.shape[0], arrays, torch.get_num_threads())
        return f, energy
