"""What users' descriptors and kernels must be, asked of one geometry before anything is fitted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import grad, jacfwd, jacrev, vmap

__all__ = ["require_descriptor", "require_pair_kernel"]

_TORCH = "must be made of torch operations that torch.func can differentiate twice and vectorize"
_SYMMETRY = 1e-9


def require_descriptor(descriptor: Callable[[Tensor], Tensor], pos: Tensor) -> None:
    """Raise ValueError unless pos [N,3] -> x [D] in float64 has finite derivatives that are not all zero."""
    x = _evaluated("descriptor", lambda: descriptor(pos))
    if not isinstance(x, Tensor) or x.dim() != 1 or x.dtype != torch.float64:
        raise ValueError(f"descriptor must return a float64 tensor of shape [D] for pos [N, 3]; received {_shown(x)}")
    derivatives = _evaluated("descriptor", lambda: vmap(jacrev(descriptor))(pos[None]))
    _evaluated("descriptor", lambda: vmap(jacfwd(descriptor))(pos[None]))
    _require_finite("descriptor", derivatives)
    if not derivatives.any():
        raise ValueError("descriptor must change with positions; its derivatives are all zero")


def require_pair_kernel(k: Callable[[Tensor, Tensor], Tensor], pos: Tensor) -> None:
    """Raise ValueError unless k of geometries pos [M,N,3] is a symmetric scalar in float64 with finite derivatives."""
    first, last = pos[0], pos[-1]
    value = _evaluated("k", lambda: k(first, last))
    if not isinstance(value, Tensor) or value.dim() or value.dtype != torch.float64:
        raise ValueError(f"k must return a float64 tensor without axes; received {_shown(value)}")
    scale = max(float(k(first, first).abs()), float(k(last, last).abs()))
    if abs(float(k(last, first) - value)) > _SYMMETRY * scale:
        raise ValueError(
            f"k must be symmetric; k(R, R') = {float(value):.6g} and k(R', R) = {float(k(last, first)):.6g}"
        )
    block = vmap(jacfwd(grad(k, 0), 1), (None, 0))
    _require_finite("k", _evaluated("k", lambda: block(first, first[None])))


def _evaluated(name: str, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except (RuntimeError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()
        raise ValueError(f"{name} {_TORCH}: {reason[0] if reason else type(error).__name__}") from error


def _require_finite(name: str, derivatives: Tensor) -> None:
    if not bool(derivatives.isfinite().all()):
        raise ValueError(
            f"{name} must have finite derivatives; received NaN or infinity (a root or norm at distance zero? "
            "Leave out the diagonal, or use functions of squared distances)"
        )


def _shown(value: Any) -> str:
    return f"{value.dtype} of shape {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
