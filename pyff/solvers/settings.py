"""What solvers are told and what they tell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from pyff.solvers.nystroem import KINDS
from pyff.solvers.size import columns_in_memory, default_columns

__all__ = ["IterativeSettings", "Progress", "Solution"]


@dataclass(frozen=True)
class IterativeSettings:
    """How to solve.

    preconditioner: one of `pyff.solvers.KINDS`. columns: of it; None follows `default_columns`. max_memory: bytes that
    building it may take; None for no limit. rtol: of |y - A x| / |y|. max_iterations: None for 10 n. seed: of the
    random columns. checkpoint: a file that an interrupted or killed run goes on from, written every checkpoint_seconds
    and on Ctrl-C, and removed once the solution is found.
    """

    preconditioner: str = "rpcholesky"
    columns: int | None = None
    max_memory: float | None = None
    rtol: float = 1e-4
    max_iterations: int | None = None
    seed: int = 0
    checkpoint: str | Path | None = None
    checkpoint_seconds: float = 120.0

    def __post_init__(self) -> None:
        if self.preconditioner not in KINDS:
            raise ValueError(f"preconditioner must be one of {', '.join(KINDS)}; received {self.preconditioner!r}")
        if not 0 < self.rtol < 1:
            raise ValueError(f"rtol must be between 0 and 1; received {self.rtol}")
        if self.columns is not None and self.columns < 1:
            raise ValueError(f"columns must be positive or None; received {self.columns}")

    def iterations(self, n: int) -> int:
        """The most steps for an [n, n] matrix."""
        return 10 * n if self.max_iterations is None else self.max_iterations

    def rank(self, n: int) -> int:
        """Columns of the first preconditioner of an [n, n] matrix."""
        return min(self.largest_rank(n), self.columns or default_columns(n))

    def largest_rank(self, n: int) -> int:
        """Columns of the largest preconditioner that memory allows."""
        return n if self.max_memory is None else columns_in_memory(n, self.max_memory)


@dataclass(frozen=True)
class Progress:
    """Where a solution stands. stage: what is being done, done and total: of it; for stage "steps" also the residual
    |r| / |y|, its effectiveness, the columns of the preconditioner, steps per second and the seconds that seem left."""

    stage: str
    done: int
    total: int
    residual: float = 1.0
    effectiveness: float = 1.0
    columns: int = 0
    rate: float = 0.0
    seconds_left: float = math.inf


@dataclass(frozen=True)
class Solution:
    """x [n] and how it was found.

    residual: |y - A x|, recomputed from x when it converges. history: |r| before and after every step, across restarts.
    rank and columns: the last preconditioner and the columns of K that it is made of. interrupted: by Ctrl-C.
    """

    x: Tensor
    residual: float
    norm_y: float
    rtol: float
    iterations: int
    restarts: int
    rank: int
    columns: Tensor
    history: tuple[float, ...]
    interrupted: bool = False

    @property
    def converged(self) -> bool:
        return self.residual <= self.rtol * self.norm_y
