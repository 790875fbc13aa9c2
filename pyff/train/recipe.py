"""Published training recipes, in the terms of TrainConfig."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["recipe"]

# what short runs do better with: force errors of aspirin after 146 to 800 steps, docs/training.md
_SHORT: dict[str, dict[str, Any]] = {"so3krates": {"lr": 3e-3}}


def recipe(name: str, n_train: int, n_atoms: float, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Values that differ from TrainConfig's defaults; what `changes` says wins.

    name: an architecture, or "finetune". n_train: training frames. n_atoms: their mean number of atoms.

    so3krates: Frank et al., Nat. Commun. 15, 6539 (2024) and its program: Adam 1e-3, times 0.7 per 100 000 steps until
    1e-5, 0.01 <DE^2> + 0.99 <DF^2>, 1, 5, 10 or 100 frames per step. finetune: the SO3LR authors' AdamW 1e-4, times
    0.75 per 125 000 steps. Both average the weights and clip gradients, which the programs do not.

    Within a limit in minutes (any recipe) or epochs (one with an end of its own) the learning rate follows a cosine
    that ends with it, for so3krates from 3e-3: the published rates are made for a million steps.
    """
    values = {"so3krates": _so3krates, "finetune": _finetune}.get(name, lambda *_: {})(n_train, n_atoms)
    limited = changes.get("max_time") is not None or ("stop_lr" in values and changes.get("max_epochs") is not None)
    if limited and not {"schedule", "stop_lr"} & changes.keys():
        values |= {"schedule": "cosine", "max_epochs": None, "patience": None, "stop_lr": None, **_SHORT.get(name, {})}
    return {**values, **changes}


def _so3krates(n_train: int, n_atoms: float) -> dict[str, Any]:
    return {
        **_mean_square_weights(n_atoms),
        "lr": 1e-3, "schedule": "exponential", "decay_rate": 0.7, "decay_steps": 100_000, "stop_lr": 1e-5,
        "max_epochs": None, "patience": None, "batch_size": _batch_size(n_train),
    }  # fmt: skip


def _finetune(n_train: int, n_atoms: float) -> dict[str, Any]:
    return {
        **_mean_square_weights(n_atoms),
        "optimizer": "adamw", "lr": 1e-4, "schedule": "exponential", "decay_rate": 0.75, "decay_steps": 125_000,
        "batch_size": _batch_size(n_train),
    }  # fmt: skip


def _mean_square_weights(n_atoms: float) -> dict[str, float]:
    """0.01 <DE^2> + 0.99 <DF^2>; pyff's loss divides DE^2 by the number of atoms."""
    return {"energy_weight": 0.01 * n_atoms, "forces_weight": 0.99}


def _batch_size(n_train: int) -> int:
    return next(size for limit, size in ((500, 1), (1000, 5), (10_000, 10), (float("inf"), 100)) if n_train < limit)
