"""Filter networks as tables: a filter depends on the distance alone, so a hundred nodes stand for all pairs.

Between two nodes the filter is the quintic that matches value, slope and curvature at both ends; forces are the exact
derivative of the interpolated energy. Nodes are evaluated and polynomials formed in float64: in float32 the slope
would lose five digits to cancellation.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pyff.ops import FilterShape, cutoff_function, gaussian_basis

__all__ = ["FilterTable", "default_intervals", "filter_table", "table_error"]

# coefficients (rows) of u^0..u^5 from y0, h y0', h^2 y0'', y1, h y1', h^2 y1''
_QUINTIC = (
    (1, 0, 0, 0, 0, 0),
    (0, 1, 0, 0, 0, 0),
    (0, 0, 0.5, 0, 0, 0),
    (-10, -6, -1.5, 10, -4, 0.5),
    (15, 8, 1.5, -15, 7, -1),
    (-6, -3, -0.5, 6, -3, 0.5),
)
VALUE_TOLERANCE, SLOPE_TOLERANCE = 1e-7, 1e-6  # relative to the filter's largest value and slope


def default_intervals(shape: FilterShape) -> int:
    """Intervals for training: a fifth of the finest length in the filter, the standard deviation of the Gaussians or
    the length over which the cutoff function bends."""
    c = shape.cutoff
    bend = {"cosine": 0.25 * c.radius, "mollifier": 0.06 * c.radius, "smooth": 0.09 * (c.radius - c.onset)}
    width = min(1 / math.sqrt(2 * shape.basis.gamma), bend.get(c.kind, c.radius))
    return max(32, math.ceil(5 * c.radius / width))


class FilterTable:
    """Nodes of a filter network on [0, cutoff]: what does not depend on the weights, made once.

    `coefficients(weights)` returns [K,6,F] for `pyff.ops.cfconv_table`, differentiable in the weights.
    """

    def __init__(self, shape: FilterShape, intervals: int) -> None:
        self.shape, self.intervals = shape, intervals
        self.spacing = shape.cutoff.radius / intervals
        self._at = _Nodes(shape, torch.linspace(0, shape.cutoff.radius, intervals + 1, dtype=torch.float64))
        scale = torch.tensor([1, self.spacing, self.spacing**2], dtype=torch.float64)
        self._quintic = torch.tensor(_QUINTIC, dtype=torch.float64) * scale.repeat(2)

    def coefficients(self, weights: tuple[Tensor, ...], dtype: torch.dtype) -> Tensor:
        """Polynomial coefficients [K,6,F] in dtype, from weights (w1, b1, w2, b2) of any precision."""
        w = self._at.filters(tuple(x.double() for x in weights))  # [3, K+1, F]
        ends = torch.cat([w[:, :-1], w[:, 1:]])  # [6, K, F]
        coef = (self._quintic @ ends.reshape(6, -1)).reshape(6, self.intervals, -1)
        return coef.to(dtype).transpose(0, 1).contiguous()


class _Nodes:
    """A filter network's value, slope and curvature at given distances, by forward duals."""

    def __init__(self, shape: FilterShape, distance: Tensor) -> None:
        self.shape, self.distance = shape, distance
        orders = (0, 1, 2)
        basis = [gaussian_basis(distance, shape.basis, dtype=torch.float64, order=k) for k in orders]
        self.basis = torch.cat(basis)
        # the last node is the cutoff: the limit from inside keeps the last polynomial smooth
        inside = torch.where(distance < shape.cutoff.radius, distance, math.nextafter(shape.cutoff.radius, 0.0))
        self.cutoff = [cutoff_function(inside, shape.cutoff, dtype=torch.float64, order=k)[:, None] for k in orders]

    def filters(self, weights: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
        """[3, nodes, F]: W, W', W'' including the cutoff function."""
        w1, b1, w2, b2 = weights
        n = self.distance.shape[0]
        hidden = _activate(self.shape.activation, (self.basis @ w1.T).view(3, n, -1), b1)
        out = (hidden.reshape(3 * n, -1) @ w2.T).view(3, n, -1)
        w, d, c = _activate(self.shape.last_activation, out, b2)
        c0, c1, c2 = self.cutoff
        return torch.stack([c0 * w, c1 * w + c0 * d, c2 * w + 2 * c1 * d + c0 * c])


def _activate(name: str, jet: Tensor, bias: Tensor) -> Tensor:
    """act(x + bias) with first and second derivative along the distance."""
    x, x1, x2 = jet[0] + bias, jet[1], jet[2]
    if name == "identity":
        return torch.stack([x, x1, x2])
    f, f1, f2 = _ACTIVATION_JETS[name](x)
    return torch.stack([f, f1 * x1, f2 * x1 * x1 + f1 * x2])


def _ssp(x: Tensor):
    s = torch.sigmoid(x)
    return torch.nn.functional.softplus(x, threshold=1000.0) - math.log(2.0), s, s * (1 - s)


def _silu(x: Tensor):
    s = torch.sigmoid(x)
    t = s * (1 - s)
    return x * s, s + x * t, 2 * t + x * t * (1 - 2 * s)


def _tanh(x: Tensor):
    h = torch.tanh(x)
    return h, 1 - h * h, -2 * h * (1 - h * h)


_ACTIVATION_JETS = {"ssp": _ssp, "silu": _silu, "tanh": _tanh}


def table_error(table: FilterTable, weights: tuple[Tensor, ...]) -> tuple[float, float]:
    """Largest error of value and slope half-way between nodes, relative to the largest value and slope."""
    weights = tuple(x.detach().double() for x in weights)
    middle = (torch.arange(table.intervals, dtype=torch.float64) + 0.5) * table.spacing
    exact = _Nodes(table.shape, middle).filters(weights)
    coef = table.coefficients(weights, torch.float64)
    powers = 0.5 ** torch.arange(6, dtype=torch.float64)
    value = torch.einsum("m,kmf->kf", powers, coef)
    slope = torch.einsum("m,kmf->kf", torch.arange(1, 6) * powers[:5], coef[:, 1:]) / table.spacing
    error = lambda a, b: float((a - b).abs().max() / b.abs().max().clamp(min=1e-300))  # noqa: E731
    return error(value, exact[0]), error(slope, exact[1])


def filter_table(shape: FilterShape, weights: tuple[Tensor, ...], max_intervals: int = 4096) -> FilterTable | None:
    """A table fine enough for these weights, or None if max_intervals do not suffice."""
    intervals = default_intervals(shape)
    while intervals <= max_intervals:
        table = FilterTable(shape, intervals)
        value, slope = table_error(table, weights)
        if value <= VALUE_TOLERANCE and slope <= SLOPE_TOLERANCE:
            return table
        intervals *= 2
    return None
