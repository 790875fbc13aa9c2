"""(K + ridge I) x = y by preconditioned conjugate gradients, with restarts, checkpoints and a clean end on Ctrl-C."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from torch import Tensor

from pyff._interrupt import Interrupt
from pyff.solvers import columns as choices
from pyff.solvers.checkpoint import SolverState, load_state, problem_fingerprint, save_state
from pyff.solvers.conjugate_gradients import ConjugateGradients, effectiveness
from pyff.solvers.nystroem import NystroemPreconditioner, nystroem
from pyff.solvers.operators import Operator
from pyff.solvers.partial_cholesky import Choose, partial_cholesky
from pyff.solvers.settings import IterativeSettings, Progress, Solution

__all__ = ["solve_iteratively"]

MAX_RESTARTS = 6
GROWTH = 1.2  # of the preconditioner at a restart
_TINY = 1e-300  # for logarithms of residuals that vanish


def solve_iteratively(
    operator: Operator, y: Tensor, ridge: float, settings: IterativeSettings | None = None, *,
    x: Tensor | None = None, columns: Tensor | None = None, progress: Callable[[Progress], object] | None = None,
    snapshot: Callable[[Solution], object] | None = None,
) -> Solution:  # fmt: skip
    """x with (K + ridge I) x = y, |residual| <= rtol |y|, from products with K and some of its columns.

    Where the last 100 changes of the residual cancel, conjugate gradients start again from there with 1.2 times the
    columns, at most six times and within the limit of memory. An existing checkpoint is gone on from, with the iterates
    that an uninterrupted run would have had. The first Ctrl-C ends after the step in hand (result: `interrupted`), or
    the building of a preconditioner; the second at once.

    Args:
        operator: K; see `Operator`.
        y: float64 [n].
        ridge: positive.
        x: where to start instead of at 0, float64 [n]; a checkpoint comes first.
        columns: int64 [k], of K, that the first preconditioner is made of; else they are chosen.
        progress: called after every step and while the preconditioner is built.
        snapshot: called with what there is whenever a checkpoint is due.

    Raises:
        ValueError: naming the argument. PyffError: the checkpoint is damaged or of another problem.
        NotPositiveDefiniteError: K + ridge I is not positive definite to rounding.
    """
    if y.shape != (operator.size,) or (x is not None and x.shape != y.shape):
        raise ValueError(f"y and x must have shape [{operator.size}]; received {list(y.shape)}")
    settings = settings or IterativeSettings()
    run = _Run(operator, y, ridge, settings, progress or (lambda _: None), snapshot or (lambda _: None))
    with run.interrupt as interrupt:
        try:
            run.begin_or_go_on(x, columns)
            while not interrupt.requested and run.advance():
                pass
        except _StoppedError:
            pass
        return run.end(x)


class _StoppedError(Exception):
    """Ctrl-C while a preconditioner was being built."""


class _Run:
    """One call of `solve_iteratively`."""

    def __init__(self, operator: Operator, y: Tensor, ridge: float, settings: IterativeSettings,
                 show: Callable[[Progress], object], snapshot: Callable[[Solution], object]) -> None:  # fmt: skip
        self.operator, self.y, self.ridge, self.settings = operator, y, ridge, settings
        self.show, self.snapshot = show, snapshot
        self.interrupt, self.is_building = Interrupt(self.hear), False
        self.norm_y = float(y.norm())
        self.rng = np.random.default_rng(settings.seed)
        self.path = None if settings.checkpoint is None else Path(settings.checkpoint)
        self.preconditioner: NystroemPreconditioner | None = None
        self.state: SolverState | None = None
        self.saved_at = time.monotonic()

    def product(self, v: Tensor) -> Tensor:
        return self.operator(v).add_(v, alpha=self.ridge)

    def hear(self, text: str) -> None:
        """The first Ctrl-C; a preconditioner that is being built, for minutes maybe, has nothing to keep."""
        if self.is_building:
            raise _StoppedError

    @contextlib.contextmanager
    def building(self) -> Iterator[None]:
        self.is_building = True
        try:
            yield
        finally:
            self.is_building = False

    def tick(self, stage: str, done: int, total: int) -> None:
        if self.interrupt.requested:
            raise _StoppedError
        self.show(Progress(stage, done, total))

    def begin_or_go_on(self, x: Tensor | None, columns: Tensor | None) -> None:
        self.fingerprint = problem_fingerprint(
            self.y, self.operator.diagonal(), self.ridge, self.settings.preconditioner
        )
        if self.path is not None and self.path.exists():
            self.go_on(load_state(self.path, self.fingerprint, self.y.device))
        else:
            self.begin(self.settings.rank(self.operator.size), x, columns)
        self.started, self.first = time.monotonic(), self.state.iterations

    def begin(self, rank: int, x: Tensor | None, columns: Tensor | None = None) -> None:
        """A new preconditioner, and conjugate gradients from x."""
        kind, scores, before = self.settings.preconditioner, None, self.state
        if self.preconditioner is not None and kind == "leverage":
            scores = self.preconditioner.leverage_scores()
        self.preconditioner = None  # its memory is needed
        with self.building():
            if columns is None:
                made = nystroem(self.operator, rank, self.ridge, kind, self.rng, scores=scores, progress=self.tick)
            else:
                made = self.from_columns(choices.in_blocks(columns), len(columns))
        cg = ConjugateGradients.start(self.product, made, self.y, x)
        earlier = () if before is None else (*before.earlier, before.cg.norms)
        self.preconditioner = made
        self.state = SolverState(cg, made.columns, made.blocks, made.rank, earlier, self.rng.bit_generator.state)

    def go_on(self, state: SolverState) -> None:
        """Take up a checkpoint: the same preconditioner from the same columns in the same blocks."""
        self.rng.bit_generator.state = state.random
        self.state = state
        with self.building():
            if self.settings.preconditioner == "eigen":
                self.preconditioner = nystroem(
                    self.operator, state.rank, self.ridge, "eigen", self.rng, progress=self.tick
                )
            else:
                self.preconditioner = self.from_columns(choices.fixed(state.columns, state.blocks), state.rank)

    def from_columns(self, choose: Choose, rank: int) -> NystroemPreconditioner:
        factor = partial_cholesky(self.operator, rank, choose, progress=self.tick)
        return NystroemPreconditioner(factor, self.ridge, progress=self.tick)

    def advance(self) -> bool:
        """One step, or a correction or restart in its place; False at the end."""
        cg, n = self.state.cg, self.operator.size
        if cg.norms[-1] <= self.settings.rtol * self.norm_y and not self.correct():
            return False
        if self.state.iterations >= self.settings.iterations(n):
            return False
        if effectiveness(cg.norms) <= 0.0 and self.state.rank < self.settings.largest_rank(n):
            return self.restart()
        cg.step(self.product, self.preconditioner)
        if time.monotonic() - self.saved_at > self.settings.checkpoint_seconds:
            self.save()
        self.show(self.standing())
        return True

    def restart(self) -> bool:
        """Go on from x with a larger preconditioner; False where there have been enough."""
        if len(self.state.earlier) == MAX_RESTARTS:
            return False
        largest = self.settings.largest_rank(self.operator.size)
        self.begin(min(largest, math.ceil(GROWTH * self.state.rank)), self.state.cg.x)
        return True

    def correct(self) -> bool:
        """Replace the residual kept up by the steps by the true one; False if that is small enough, too."""
        cg = self.state.cg
        cg.r = self.y - self.product(cg.x)
        cg.norms[-1] = float(cg.r.norm())
        if cg.norms[-1] <= self.settings.rtol * self.norm_y:
            return False
        cg.p = self.preconditioner(cg.r)
        cg.rho = float(cg.r @ cg.p)
        return True

    def standing(self) -> Progress:
        """The residual's mean slope over the later half of the steps tells how long it may still take."""
        norms, steps = self.state.cg.norms, self.state.iterations
        recent = [max(norm, _TINY) for norm in norms[len(norms) // 2 :]]
        slope = math.log(recent[0] / recent[-1]) / len(recent)
        elapsed = time.monotonic() - self.started
        rate = (steps - self.first) / elapsed if elapsed > 0 else 0.0
        missing = max(0.0, math.log(recent[-1] / (self.settings.rtol * self.norm_y)))
        left = missing / slope / rate if slope > 0 and rate > 0 else math.inf
        return Progress("steps", steps, self.settings.iterations(self.operator.size), recent[-1] / self.norm_y,
                        effectiveness(norms), self.state.rank, rate, left)  # fmt: skip

    def save(self) -> None:
        if self.path is not None and self.state is not None:
            save_state(self.path, self.state, self.fingerprint)
        self.snapshot(self.solution())
        self.saved_at = time.monotonic()

    def end(self, x: Tensor | None) -> Solution:
        solution = self.solution(x)
        if solution.converged and self.path is not None:
            self.path.unlink(missing_ok=True)
        elif not solution.converged:
            self.save()
        return solution

    def solution(self, x: Tensor | None = None) -> Solution:
        """What there is now."""
        state, interrupted = self.state, bool(self.interrupt.requested)
        if state is None:  # stopped before the first preconditioner was there
            x = self.y.new_zeros(self.y.shape) if x is None else x
            columns = self.y.new_empty(0).long()
            return Solution(x, float("nan"), self.norm_y, self.settings.rtol, 0, 0, 0, columns, (), interrupted)
        return Solution(
            x=state.cg.x.clone(), residual=state.cg.norms[-1], norm_y=self.norm_y, rtol=self.settings.rtol,
            iterations=state.iterations, restarts=len(state.earlier), rank=state.rank, columns=state.columns,
            history=tuple(v for norms in (*state.earlier, state.cg.norms) for v in norms), interrupted=interrupted,
        )  # fmt: skip
