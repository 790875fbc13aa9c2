"""How many columns a preconditioner should have."""

from __future__ import annotations

import math

__all__ = ["columns_in_memory", "default_columns", "preconditioner_bytes"]

_BYTES = 8


def default_columns(n: int, *, k_min: float = 25.0, m: float = 1.0) -> int:
    """k* = (m k_min^m n^2 / 2)^(1 / (m + 2)), the least work if n (k / k_min)^-m steps of n^2 are to be taken.

    m and k_min depend on the molecule. Published fits, for preconditioners of shift = ridge, have m from 0.7 to 1.2 and
    k_min from 10 to 320; they recommend 1 and 100. With the shift of `NystroemPreconditioner` GDML kernels of ethanol,
    malonaldehyde, toluene and uracil have k_min from 8 to 54; twice too many columns cost more than half of them. Never
    more than n.
    Source: Bluecher, Mueller & Chmiela, J. Chem. Theory Comput. 19, 4619 (2023).
    """
    return max(1, min(n, round((m * k_min**m * n**2 / 2) ** (1 / (m + 2)))))


def preconditioner_bytes(n: int, k: int) -> int:
    """Peak memory of building a preconditioner: its factor with k more rows, and three [k, k] matrices."""
    return _BYTES * k * (n + 4 * k)


def columns_in_memory(n: int, max_bytes: float) -> int:
    """The most columns, up to n, whose preconditioner can be built in so many bytes. ValueError if not even one can."""
    k = int((math.sqrt(n**2 + 16 * max_bytes / _BYTES) - n) / 8)
    if k < 1:
        raise ValueError(f"max_memory must hold at least one column, {preconditioner_bytes(n, 1) / 1e9:.3g} GB;"
                         f" received {max_bytes / 1e9:.3g} GB")  # fmt: skip
    return min(k, n)
