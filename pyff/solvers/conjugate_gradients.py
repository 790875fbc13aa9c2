"""Preconditioned conjugate gradients on callables, one step at a time: a solution can be put down and taken up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

from torch import Tensor

from pyff.solvers.panel_cholesky import NotPositiveDefiniteError

__all__ = ["ConjugateGradients", "effectiveness"]

WINDOW = 100  # steps that `effectiveness` looks at

Product = Callable[[Tensor], Tensor]


@dataclass
class ConjugateGradients:
    """The iterates of A x = y; equal states give equal iterates, bit by bit for a fixed number of threads.

    x, r = y - A x, direction p: [n]; rho = r . P^-1 r; norms: |r| at the start and after every step.
    Source: Hestenes & Stiefel, J. Res. Natl. Bur. Stand. 49, 409 (1952).
    """

    x: Tensor
    r: Tensor
    p: Tensor
    rho: float
    norms: list[float] = field(default_factory=list)

    @classmethod
    def start(cls, product: Product, precondition: Product, y: Tensor, x: Tensor | None = None) -> ConjugateGradients:
        """The state before the first step, from x = 0 unless one is given."""
        r = y.clone() if x is None else y - product(x)
        z = precondition(r)
        return cls(y.new_zeros(y.shape) if x is None else x.clone(), r, z, float(r @ z), [float(r.norm())])

    def step(self, product: Product, precondition: Product) -> None:
        """One product with A and one with P^-1.

        Raises NotPositiveDefiniteError where A or P is not positive definite along the direction.
        """
        q = product(self.p)
        curvature = float(self.p @ q)
        if not (curvature > 0 and self.rho > 0):
            raise NotPositiveDefiniteError(
                f"conjugate gradients broke down: p A p = {curvature:.3e}, r P^-1 r = {self.rho:.3e}; the matrix plus "
                "its ridge is not positive definite to rounding. Take a larger ridge"
            )
        alpha = self.rho / curvature
        self.x.add_(self.p, alpha=alpha)
        self.r.sub_(q, alpha=alpha)
        z = precondition(self.r)
        rho = float(self.r @ z)
        self.p = z.add_(self.p, alpha=rho / self.rho)
        self.rho = rho
        self.norms.append(float(self.r.norm()))


def effectiveness(norms: list[float]) -> float:
    """Share of the last 100 changes of |r| that were decreases minus that of increases, by size: 1 falls, 0 stagnates.

    1 as long as there are fewer steps.
    """
    if len(norms) <= WINDOW:
        return 1.0
    recent = norms[-WINDOW - 1 :]
    changed = sum(abs(b - a) for a, b in pairwise(recent))
    return (recent[0] - recent[-1]) / changed if changed else 0.0
