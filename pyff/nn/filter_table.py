"""Filter networks as tables: a filter depends on the distance alone, so a hundred nodes stand for all pairs.

Between two nodes the filter is the quintic that matches value, slope and curvature at both ends; forces are the exact
derivative of the interpolated energy. Nodes are evaluated and polynomials formed in float64: in float32 the slope
would lose five digits to cancellation.

A basis in e^(-decay d) is finest at short distances, and nodes even in d would follow its finest part everywhere. Nodes
even in s(d) = (1 - e^(-decay (d - start))) / decay are a third to a fifth as many.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from pyff.ops import FilterShape, filter_nodes
from pyff.ops.cfconv import filter_nodes_gradients

__all__ = ["FilterTable", "default_intervals", "filter_table", "filters_in_words", "table_error"]

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


def default_intervals(shape: FilterShape, start: float = 0.0, decay: float = 0.0) -> int:
    """Intervals on [start, cutoff] for training: a fifth of the finest length in the filter, that of the basis or the
    length over which the cutoff function bends. decay: 0, or that of the basis for filters without cutoff function."""
    c = shape.cutoff
    if decay > 0:
        return max(48, math.ceil(5 * _length(start, c.radius, decay) / shape.basis.warped_resolution(start)))
    bend = {"cosine": 0.25 * c.radius, "mollifier": 0.06 * c.radius, "smooth": 0.09 * (c.radius - c.onset),
            "polynomial3": 0.2 * c.radius, "polynomial6": 0.12 * c.radius}  # fmt: skip
    width = min(shape.basis.resolution(start), bend.get(c.kind, c.radius))
    return max(48, math.ceil(5 * (c.radius - start) / width))


class _Coefficients(torch.autograd.Function):
    """Coefficients [K,6,F] of a table from the weights of its networks, four each. The gradients of the weights are
    formed in the precision of the coefficients: they lose nothing there, and half the time of float64 is saved."""

    @staticmethod
    def forward(ctx, table: FilterTable, dtype: torch.dtype, *weights: Tensor) -> Tensor:
        ctx.table = table
        ctx.save_for_backward(*weights)
        return _polynomials(table, weights).to(device=weights[0].device, dtype=dtype)

    @staticmethod
    def backward(ctx, grad: Tensor):
        weights, table = ctx.saved_tensors, ctx.table
        if torch.is_grad_enabled():  # second derivatives among the weights, which serve no training
            wanted = [w for w in weights if w.requires_grad]
            found = iter(torch.autograd.grad(_polynomials(table, weights).to(grad), wanted, grad, create_graph=True))
            return None, None, *(next(found) if w.requires_grad else None for w in weights)
        grad = grad.cpu()
        ends = torch.bmm(table.quintic.to(grad.dtype).transpose(1, 2), grad).transpose(0, 1)
        nodes = grad.new_zeros(3, table.intervals + 1, grad.shape[2])
        nodes[:, :-1] = ends[:3]
        nodes[:, 1:] += ends[3:]
        out = []
        for w, bars in zip(_networks(weights), nodes.split([w[0].shape[0] for w in _networks(weights)], 2)):
            w = tuple(x.cpu().to(grad.dtype) for x in w)
            out += filter_nodes_gradients(w, table.nodes, table.shape, bars.contiguous())
        return None, None, *(g.to(w) for g, w in zip(out, weights))


def _networks(weights: Sequence[Tensor]) -> list[Sequence[Tensor]]:
    return [weights[k : k + 4] for k in range(0, len(weights), 4)]


def _polynomials(table: FilterTable, weights: Sequence[Tensor]) -> Tensor:
    nodes = [filter_nodes(tuple(x.cpu().double() for x in w), table.nodes, table.shape) for w in _networks(weights)]
    w = torch.cat(nodes, 2).transpose(0, 1)  # [K+1, 3, F]
    return torch.bmm(table.quintic, torch.cat([w[:-1], w[1:]], 1))


def _length(start: float, end: float, decay: float) -> float:
    """s(end)."""
    return end - start if decay == 0 else -math.expm1(-decay * (end - start)) / decay


class FilterTable:
    """Nodes of a filter network on [start, cutoff]: what does not depend on the weights, made once.

    `coefficients(weights)` returns [K,6,F] for `pyff.ops.equivariant_attention` and, with decay 0, `cfconv_table`,
    differentiable in the weights. A start above 0 saves the nodes where no two atoms ever are. Kernels extend the first
    polynomial to distances below start, where it is no approximation: a model with start > 0 must run the network for
    structures with closer pairs.
    """

    def __init__(self, shape: FilterShape, intervals: int, start: float = 0.0, decay: float = 0.0) -> None:
        radius = shape.cutoff.radius
        if not 0 <= start < radius:
            raise ValueError(f"start must lie in [0, cutoff); received {start} with cutoff {radius}")
        self.shape, self.intervals, self.start, self.decay = shape, intervals, start, decay
        self.spacing = _length(start, radius, decay) / intervals
        self.nodes = self.distances(torch.arange(intervals + 1, dtype=torch.float64))
        # the limit from inside keeps the last polynomial smooth
        self.nodes[-1] = math.nextafter(radius, 0.0)
        jets = self._jets()
        ends = torch.zeros(intervals, 6, 6, dtype=torch.float64)
        ends[:, :3, :3], ends[:, 3:, 3:] = jets[:-1], jets[1:]
        self.quintic = torch.tensor(_QUINTIC, dtype=torch.float64) @ ends

    @property
    def grid(self) -> tuple[float, float, float]:
        """(start, spacing, decay)."""
        return self.start, self.spacing, self.decay

    def distances(self, nodes: Tensor) -> Tensor:
        """Where s(d) / spacing has these values."""
        s = nodes * self.spacing
        return self.start + (s if self.decay == 0 else -torch.log1p(-self.decay * s) / self.decay)

    def speed(self, distances: Tensor) -> Tensor:
        """ds/dd."""
        return torch.exp(-self.decay * (distances - self.start))

    def _jets(self) -> Tensor:
        """[K+1,3,3]: value, h slope and h^2 curvature along s at each node, from those along d."""
        rate, h = 1 / self.speed(self.nodes), self.spacing
        jets = torch.zeros(len(rate), 3, 3, dtype=torch.float64)
        jets[:, 0, 0] = 1
        jets[:, 1, 1] = h * rate
        jets[:, 2, 1], jets[:, 2, 2] = self.decay * (h * rate) ** 2, (h * rate) ** 2
        return jets

    def coefficients(self, *networks: tuple[Tensor, ...], dtype: torch.dtype) -> Tensor:
        """Polynomial coefficients [K,6,F] in dtype, from weights (w1, b1, w2, b2) of any precision; those of several
        networks side by side.

        A hundred nodes are the CPU's work, wherever the weights are: float64 is slow on many GPUs.
        """
        return _Coefficients.apply(self, dtype, *(x for w in networks for x in w))


def table_error(table: FilterTable, weights: tuple[Tensor, ...]) -> tuple[float, float]:
    """Largest error of value and slope half-way between nodes, relative to the largest value and slope."""
    weights = tuple(x.detach().cpu().double() for x in weights)
    middle = table.distances(torch.arange(table.intervals, dtype=torch.float64) + 0.5)
    exact = filter_nodes(weights, middle, table.shape)
    coef = table.coefficients(weights, dtype=torch.float64)
    powers = 0.5 ** torch.arange(6, dtype=torch.float64)
    value = torch.einsum("m,kmf->kf", powers, coef)
    slope = torch.einsum("m,kmf->kf", torch.arange(1, 6) * powers[:5], coef[:, 1:])
    slope = slope * (table.speed(middle) / table.spacing)[:, None]
    error = lambda a, b: float((a - b).abs().max() / b.abs().max().clamp(min=1e-300))  # noqa: E731
    return error(value, exact[0]), error(slope, exact[1])


def filter_table(
    shape: FilterShape, weights: tuple[Tensor, ...], max_intervals: int = 4096, start: float = 0.0, decay: float = 0.0
) -> FilterTable | None:
    """A table fine enough for these weights, or None if max_intervals do not suffice."""
    intervals = default_intervals(shape, start, decay)
    while intervals <= max_intervals:
        table = FilterTable(shape, intervals, start, decay)
        value, slope = table_error(table, weights)
        if value <= VALUE_TOLERANCE and slope <= SLOPE_TOLERANCE:
            return table
        intervals *= 2
    return None


def filters_in_words(intervals: Sequence[int]) -> str:
    """Where the filters of each block came from: "exact", "table (95 intervals)", or both; 0 intervals mean exact."""
    exact = list(intervals).count(0)
    if exact == len(intervals):
        return "exact"
    table = f"table ({max(intervals)} intervals)"
    return f"{table}, exact in {exact} of {len(intervals)} blocks" if exact else table
