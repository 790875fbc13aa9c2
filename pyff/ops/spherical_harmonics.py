"""Real spherical harmonics of unit vectors."""

from __future__ import annotations

import torch
from torch import Tensor

from pyff.ops import reference
from pyff.ops._check import require

__all__ = ["spherical_harmonics"]

MAX_DEGREE = 4


def spherical_harmonics(unit: Tensor, degrees: tuple[int, ...]) -> Tensor:
    """Orthonormal real spherical harmonics Y_lm of unit vectors, for each l of degrees in order, m = -l..l.

    unit [n,3], float32 or float64, of length 1; degrees within 1..4, which may repeat. Returns [n, sum (2l + 1)],
    with l = 1 as sqrt(3 / 4 pi) (y, z, x). Polynomials of the components, differentiable to any order; kernels that
    need them per edge evaluate the same polynomials inside (csrc/math/harmonics.hpp).
    Raises ValueError for degrees out of range and for a wrong shape.
    """
    if not torch.compiler.is_compiling():
        require("spherical_harmonics", "unit", unit, (None, 3), (torch.float32, torch.float64))
    if not degrees or any(not 1 <= degree <= MAX_DEGREE for degree in degrees):
        raise ValueError(
            f"spherical_harmonics: degrees must be one or more numbers in 1..{MAX_DEGREE}; received {tuple(degrees)}"
        )
    return reference.spherical_harmonics(unit, degrees)
