"""Learning-rate schedules as functions of step, progress and validation loss; their state is a few numbers."""

from __future__ import annotations

import math

from pyff.train.config import TrainConfig

__all__ = ["Schedule"]


class Schedule:
    """Learning rate of a run.

    plateau: times plateau_factor after plateau_patience epochs without a better validation loss.
    exponential: lr decay_rate^(step / decay_steps). cosine: min_lr + (lr - min_lr) (1 + cos(pi progress)) / 2, where
    progress is the larger of epochs / max_epochs and time / max_time. constant: lr.
    Each rises linearly over warmup_steps and never falls below min_lr afterwards.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self._factor, self._best, self._waited, self._cooldown = 1.0, math.inf, 0, 0

    def lr(self, step: int, progress: float) -> float:
        """Learning rate of a step (counted from 0) at a progress in 0..1."""
        return self.value(step, progress) * min(1.0, (step + 1) / max(1, self.config.warmup_steps))

    def value(self, step: int, progress: float) -> float:
        """The same without the rise at the start."""
        c = self.config
        value = c.lr
        if c.schedule == "plateau":
            value = c.lr * self._factor
        elif c.schedule == "exponential":
            value = c.lr * c.decay_rate ** (step / c.decay_steps)
        elif c.schedule == "cosine":
            value = c.min_lr + (c.lr - c.min_lr) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        return max(value, c.min_lr)

    def after_validation(self, loss: float) -> None:
        """Tell the schedule the validation loss of an epoch."""
        if loss < self._best * (1 - 1e-4):
            self._best, self._waited = loss, 0
            return
        if self._cooldown > 0:
            self._cooldown -= 1
            return
        self._waited += 1
        if self._waited > self.config.plateau_patience:
            self._factor *= self.config.plateau_factor
            self._waited, self._cooldown = 0, self.config.plateau_cooldown

    def state(self) -> dict:
        best = None if math.isinf(self._best) else self._best
        return {"factor": self._factor, "best": best, "waited": self._waited, "cooldown": self._cooldown}

    def restore(self, state: dict) -> None:
        self._factor, self._waited, self._cooldown = state["factor"], state["waited"], state["cooldown"]
        self._best = math.inf if state["best"] is None else state["best"]
