"""Length scale and ridge: a grid from below, as sGDML searches, then between its points if asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from pyff.train.gdml.errors import GdmlErrors
from pyff.train.gdml.training import Trained

__all__ = [
    "DEFAULT_LAM",
    "DEFAULT_SIGMAS",
    "Candidate",
    "best_of",
    "edge_warning",
    "refine",
    "ridge_warning",
    "search",
    "search_grid",
]

DEFAULT_SIGMAS = tuple(range(10, 100, 10))
DEFAULT_LAM = 1e-10  # sGDML's
REFINEMENT = 0.03  # relative precision of a refined sigma: the error is flat there
EXTENSION, MOST_EXTENSIONS = 1.6, 8  # beyond the grid


@dataclass(frozen=True)
class Candidate:
    """A trained model and its errors on the validation points."""

    trained: Trained
    errors: GdmlErrors

    @property
    def sigma(self) -> float:
        return self.trained.task.config.sigma

    @property
    def lam(self) -> float:
        return self.trained.task.config.lam

    @property
    def rmse(self) -> float:
        """Of the validation forces, what a search makes small."""
        return self.errors.forces.rmse


class Tried(Protocol):
    """A length scale that was tried, and the root mean square error of the validation forces it gave."""

    @property
    def sigma(self) -> float: ...

    @property
    def rmse(self) -> float: ...


T = TypeVar("T", bound=Tried)


def search(
    train: Callable[[float, float], Candidate], sigmas: Sequence[float], lams: Sequence[float], refined: bool
) -> tuple[Candidate, ...]:
    """All trainings of a search for sigma in which each sigma stands with its best ridge, ascending in both.

    Every ridge is tried with every sigma: noise in the labels that a small ridge follows makes small sigmas look best,
    so the best sigma of one ridge is not that of another. Each is a training of its own; only the assembly of the
    matrix is common to them, which for molecules takes a fraction of its factorization.
    """
    tried: list[Candidate] = []

    def best_at(sigma: float) -> Candidate:
        here = [train(sigma, lam) for lam in sorted(set(lams))]
        tried.extend(here)
        return best_of(here)

    found = search_grid(best_at, sigmas)
    if refined:
        refine(best_at, found)
    return tuple(sorted(tried, key=lambda c: (c.sigma, c.lam)))


def search_grid(train: Callable[[float], T], sigmas: Sequence[float]) -> list[T]:
    """Train with ascending sigmas until the root mean square error of the validation forces rises."""
    found: list[T] = []
    for sigma in sorted(set(sigmas)):
        found.append(train(sigma))
        if len(found) > 1 and found[-1].rmse > found[-2].rmse:
            break
    return found


def best_of(candidates: Sequence[T]) -> T:
    """The one with the least root mean square error of the validation forces."""
    return min(candidates, key=lambda c: c.rmse)


def edge_warning(tried: Sequence[float], best: float, name: str = "sigma") -> str | None:
    """What to say where the best of several values has others on one side only."""
    if len(set(tried)) < 2 or min(tried) < best < max(tried):
        return None
    side = "smaller" if best == min(tried) else "larger"
    return f"the best {name}, {best:g}, lies at the edge of the grid: {side} ones may be better"


def ridge_warning(tried: Sequence[float], best: float) -> str | None:
    """As `edge_warning`; below sGDML's ridge, which labels do not feel, there is nothing to be found."""
    return None if best == min(tried) <= DEFAULT_LAM else edge_warning(tried, best, "lambda")


def refine(train: Callable[[float], T], candidates: Sequence[T]) -> list[T]:
    """The candidates and those of a search for the minimum over log sigma.

    From an edge of the grid it goes on outwards until the error rises. Then Brent's method (parabolas, golden section
    where they fail) between the neighbours of the best sigma, to 3 % in sigma: about five more trainings.
    """
    from scipy.optimize import minimize_scalar

    known = {c.sigma: c for c in candidates}
    for _ in range(MOST_EXTENSIONS):
        order = sorted(known)
        k = order.index(best_of(list(known.values())).sigma)
        if 0 < k < len(order) - 1:
            break
        sigma = order[k] * EXTENSION if k else order[k] / EXTENSION
        known[sigma] = train(sigma)
    else:
        return [known[s] for s in sorted(known)]
    low, high = order[k - 1], order[k + 1]
    places = {s: 1 + float(np.log(s / low)) for s in (low, order[k], high)}

    def error(place: float) -> float:
        sigma = next((s for s, known_place in places.items() if place == known_place), None)
        if sigma is None:
            sigma = float(f"{low * np.exp(place - 1):.4g}")
        if sigma not in known:
            known[sigma] = train(sigma)
        return known[sigma].rmse

    if error(places[order[k]]) < min(error(places[low]), error(places[high])):
        # Brent's tolerance is relative to the place, which begins at 1 for that reason
        options = {"xtol": REFINEMENT / places[order[k]]}
        minimize_scalar(error, bracket=tuple(places.values()), method="brent", options=options)
    return [known[s] for s in sorted(known)]
