"""Langevin dynamics of many replicas at once, for models whose particles are no atoms: coarse-grained beads, toys.

Units are the caller's, consistently: with forces in E/L and kT in E, masses are in E t^2/L^2.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

__all__ = ["baoab", "overdamped"]

Force = Callable[[Tensor], Tensor]  # positions [R,N,3] -> forces [R,N,3]


def overdamped(
    force: Force, pos: Tensor, *, kT: float, dt: float, steps: int, save_every: int = 100, mobility: float = 1.0,
    seed: int = 0,
) -> np.ndarray:  # fmt: skip
    """Brownian dynamics x <- x + mu F dt + sqrt(2 mu kT dt) xi (Euler-Maruyama).

    Args:
        force: of all replicas in one call. pos: [R,N,3], where they start.
        kT, dt, mobility: in units of the caller; stable for dt < 2 / (mu k) with the stiffest spring k.
        save_every: steps between two frames.

    Returns:
        frames [steps // save_every, R, N, 3].

    Raises:
        RuntimeError: a replica is lost (a position is not finite); the step and the replica are named.
    """
    _require_positive(kT=kT, dt=dt, mobility=mobility, steps=steps, save_every=save_every)
    noise = _Noise(pos, seed)
    width = math.sqrt(2 * mobility * kT * dt)

    def step(x: Tensor) -> Tensor:
        return x + (mobility * dt) * force(x) + width * noise()

    return _run(step, _start(pos), lambda x: x, steps, save_every)


def baoab(
    force: Force, pos: Tensor, *, mass: Tensor | float, kT: float, friction: float, dt: float, steps: int,
    save_every: int = 100, seed: int = 0,
) -> np.ndarray:  # fmt: skip
    """Langevin dynamics by the BAOAB splitting; its configurations are second-order right in dt, and exact for
    harmonic forces.

        dv = F/m dt - gamma v dt + sqrt(2 gamma kT / m) dW

    mass: a number or [N]; friction gamma in 1/t; velocities start from the Maxwell distribution. The rest as in
    `overdamped`. Source: Leimkuhler, Matthews, Appl. Math. Res. Express 2013, 34 (2013).
    """
    _require_positive(kT=kT, dt=dt, friction=friction, steps=steps, save_every=save_every)
    x = _start(pos)
    m = torch.as_tensor(mass, dtype=x.dtype).expand(x.shape[1])[None, :, None]
    if not bool((m > 0).all()):
        raise ValueError(f"mass must be positive; received {mass}")
    noise = _Noise(x, seed)
    thermal = torch.sqrt(kT / m)
    keep = math.exp(-friction * dt)
    kick = math.sqrt(1 - keep**2)

    def step(state: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        x, v, f = state
        v = v + (0.5 * dt) * f / m
        x = x + (0.5 * dt) * v
        v = keep * v + kick * thermal * noise()
        x = x + (0.5 * dt) * v
        f = force(x)
        return x, v + (0.5 * dt) * f / m, f

    return _run(step, (x, thermal * noise(), force(x)), lambda state: state[0], steps, save_every)


class _Noise:
    """Normal random numbers of the positions' shape."""

    def __init__(self, pos: Tensor, seed: int) -> None:
        self.shape = pos.shape
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self) -> Tensor:
        return torch.randn(self.shape, dtype=torch.float64, generator=self.generator)


def _start(pos: Tensor) -> Tensor:
    pos = torch.as_tensor(pos, dtype=torch.float64)
    if pos.dim() != 3 or pos.shape[2] != 3:
        raise ValueError(f"pos must have shape (replicas, beads, 3); received {tuple(pos.shape)}")
    return pos.clone()


def _run(step, state, position, steps: int, save_every: int) -> np.ndarray:
    if save_every > steps:
        raise ValueError(f"save_every must be 1 .. steps = {steps}, or there are no frames; received {save_every}")
    frames = []
    for k in range(1, steps + 1):
        state = step(state)
        if k % save_every == 0:
            frames.append(_checked(position(state), k).numpy().copy())
    return np.array(frames)


def _checked(x: Tensor, step: int) -> Tensor:
    lost = ~x.isfinite().all(dim=(1, 2)) if x.shape[0] else x
    if bool(lost.any()):
        raise RuntimeError(
            f"replica {int(lost.nonzero()[0])} is lost at step {step}: its positions are not finite. Take a shorter "
            "time step, or a model that keeps beads together (a prior)."
        )
    return x


def _require_positive(**values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name} must be positive; received {value}")
