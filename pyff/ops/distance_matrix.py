"""Distances between all rows of two arrays, and the radial kernels of kernel ridge regression."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pyff.ops._check import kernel, require, require_device

__all__ = ["distance_matrix", "kernel_matrix"]

KINDS = {"l1": 0, "l2": 1, "laplacian": 2, "gaussian": 3}  # csrc/api/distance.hpp


def distance_matrix(x: Tensor, y: Tensor | None = None, norm: str = "l2") -> Tensor:
    """d[i, j] = sum_f |x_if - y_jf| ("l1") or sqrt(sum_f (x_if - y_jf)^2) ("l2"), float64 [n, m].

    x [n, F], y [m, F] float64; y None: between the rows of x, half the work. Kernels with many length scales share one
    such matrix. Not differentiable.

    Raises:
        ValueError, TypeError: naming the argument.
    """
    if norm not in ("l1", "l2"):
        raise ValueError(f"distance_matrix: norm must be l1 or l2; received {norm!r}")
    return _matrix("distance_matrix", x, y, norm, 1.0)


def kernel_matrix(x: Tensor, y: Tensor | None, sigma: float, kind: str = "laplacian") -> Tensor:
    """k[i, j] = exp(-d1 / sigma) ("laplacian") or exp(-d2^2 / (2 sigma^2)) ("gaussian"), float64 [n, m].

    d1, d2: the distances of `distance_matrix`, of which nothing is stored; x, y as there.

    Raises:
        ValueError, TypeError: naming the argument.
    """
    if kind not in ("laplacian", "gaussian"):
        raise ValueError(f"kernel_matrix: kind must be laplacian or gaussian; received {kind!r}")
    if not 0 < sigma < math.inf:
        raise ValueError(f"kernel_matrix: sigma must be a positive number; received {sigma}")
    return _matrix("kernel_matrix", x, y, kind, float(sigma))


def _matrix(op: str, x: Tensor, y: Tensor | None, kind: str, sigma: float) -> Tensor:
    require(op, "x", x, (None, None), torch.float64)
    if y is not None:
        require(op, "y", y, (None, x.shape[1]), torch.float64)
        require_device(op, x.device, y=y)
    x = x.detach().contiguous()
    y = x if y is None else y.detach().contiguous()
    out = x.new_empty(x.shape[0], y.shape[0])
    sizes, arrays = (x.shape[0], y.shape[0], x.shape[1]), (x.data_ptr(), y.data_ptr(), out.data_ptr())
    kernel("distance_matrix", x.device)(sizes, arrays, KINDS[kind], sigma, torch.get_num_threads())
    return out
