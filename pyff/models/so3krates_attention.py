"""Attention of SO3krates over one batch: where the radial filters come from, and the coefficients for those who ask."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pyff import ops
from pyff.batch import Attention, Geometry, GraphBatch
from pyff.models.base import is_learning
from pyff.nn.filter_table import FilterTable, filter_table

if TYPE_CHECKING:
    from pyff.models.so3krates import SO3krates
    from pyff.models.so3krates_layers import Layer

__all__ = ["Messages"]

Grid = tuple[float, float, float]  # start, spacing, decay of a table


class Messages:
    """messages(layer, features, ev) -> (x [N,F], ev [N,M]): attention with the cheapest exact source of filters.

    ev None stands for zeros: then the spherical filters are a constant, which goes into the radial ones. intervals
    tells how each layer's filters were made: intervals of its table, 0 where the network ran. With record, the
    coefficients of each layer are kept in `attention`.
    """

    def __init__(self, model: SO3krates, batch: GraphBatch, geometry: Geometry, *, record: bool = False) -> None:
        self.model, self.batch, self.geometry = model, batch, geometry
        self.shape = model.attention_shape
        self.learning = is_learning()
        self.tabulate = model.filters == "table" or (
            model.filters == "auto"
            and model.dtype == torch.float32
            and (not self.learning or batch.n_edges // 2 > model.nodes.intervals)
        )
        if self.tabulate and batch.n_edges:
            self.tabulate = float(geometry.distance.detach().min()) >= model.nodes.start
        self.intervals: list[int] = []
        self.attention: list[Attention] | None = [] if record else None

    def __call__(self, layer: Layer, features: tuple[Tensor, ...], ev: Tensor | None) -> tuple[Tensor, Tensor]:
        radial, table = self.radial(layer, ev)
        x, ev_out = ops.equivariant_attention(
            features, ev, radial, None if ev is None else layer.spherical_weights(), self.geometry.vec, *self.graph,
            self.shape, table=table,
        )  # fmt: skip
        if self.attention is not None:
            rows = radial if table is None else self._rows(layer, ev)
            self.attention.append(self._coefficients(layer, features, ev, rows))
        if not self.model.config.degrees:  # the op has one degree at least; queries and keys of ours are zero
            ev_out = ev_out[:, :0]
        return x, ev_out

    def radial(self, layer: Layer, ev: Tensor | None) -> tuple[Tensor, Grid | None]:
        """Radial filters for the op: (coefficients, grid) of a table, or (rows [E,2F], None)."""
        table = None
        if self.tabulate:
            table = self._learned_table(layer, ev) if self.learning else self._frozen_table(layer, ev is None)
        self.intervals.append(0 if table is None else len(table[0]))
        if table is None:
            return self._rows(layer, ev), None
        return table

    def frozen_tables(self) -> list[tuple[Tensor, Grid]] | None:
        """Tables of all layers, for weights that stay; None where a layer has none that is fine enough."""
        if self.learning or not self.tabulate:
            return None
        tables = [self._frozen_table(layer, k == 0) for k, layer in enumerate(self.model.layers)]
        if None in tables:
            return None
        self.intervals = [len(coefficients) for coefficients, _ in tables]
        return tables

    @property
    def graph(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.batch.row_ptr, self.batch.idx_i, self.batch.idx_j, self.batch.edge_rev

    @cached_property
    def _pairs(self) -> tuple[Tensor, Tensor]:
        """One edge of each unordered pair, and the place of each edge's pair among them."""
        rev = self.batch.edge_rev
        edges = torch.arange(len(rev), device=rev.device)
        first = edges < rev
        place = first.long().cumsum(0) - 1
        return torch.nonzero(first)[:, 0], place[torch.minimum(edges, rev)]

    @cached_property
    def _basis(self) -> Tensor:
        """Basis functions of each unordered pair, [P,K]."""
        distance = self.geometry.distance[self._pairs[0]]
        return ops.radial_basis(distance, self.model.basis, dtype=self.model.dtype)

    def _rows(self, layer: Layer, ev: Tensor | None) -> Tensor:
        """Radial filters [E,2F] by the network, once per unordered pair."""
        rows = layer.radial_rows(self._basis)
        if ev is None:
            rows = rows + layer.spherical_constant()
        return self._two_blocks(rows)[self._pairs[1]]

    def _two_blocks(self, filters: Tensor) -> Tensor:
        """The op wants filters of both blocks; an invariant model has those of the first."""
        return filters if self.model.config.degrees else torch.cat([filters, torch.zeros_like(filters)], -1)

    def _learned_table(self, layer: Layer, ev: Tensor | None) -> tuple[Tensor, Grid]:
        return self._coefficients_of(layer, self.model.nodes, ev is None), self.model.nodes.grid

    def _frozen_table(self, layer: Layer, constant: bool) -> tuple[Tensor, Grid] | None:
        """A table whose error was checked, with the constant of the spherical filters where wanted, or None where none
        is fine enough."""
        weights = (layer.radial_w1, layer.radial_b1, layer.radial_w2, layer.radial_b2)
        if constant and self.model.config.degrees:
            weights += (layer.spherical_b1, layer.spherical_w2, layer.spherical_b2)

        def make() -> tuple[Tensor, Grid] | None:
            shape, nodes = self.model.filter_shape, self.model.nodes
            tables = [filter_table(shape, w, start=nodes.start, decay=nodes.decay) for w in layer.radial_weights()]
            if None in tables:
                return None
            finest = max(tables, key=lambda table: table.intervals)
            return self._coefficients_of(layer, finest, constant), finest.grid

        made = layer.frozen_table(weights, make)
        if made is None:
            self.model.warn_once("no table is fine enough for a filter of this SO3krates: its network runs, slower")
        return made

    def _coefficients_of(self, layer: Layer, table: FilterTable, constant: bool) -> Tensor:
        """Polynomial coefficients [K,6,2F] of both blocks."""
        networks = layer.radial_weights()
        if constant:
            added = layer.spherical_constant().chunk(len(networks))
            networks = [(w1, b1, w2, b2 + c) for (w1, b1, w2, b2), c in zip(networks, added)]
        return self._two_blocks(table.coefficients(*networks, dtype=self.model.dtype))

    def _coefficients(self, layer: Layer, features, ev: Tensor | None, rows: Tensor) -> Attention:
        """Attention coefficients along the edges, which the op does not keep."""
        q1, k1, _, q2, k2 = features
        b, shape, n = self.batch, self.shape, len(self.model.config.degrees)
        w1, w2 = rows.chunk(2, 1)
        if ev is not None and n:
            tau = layer.invariants(ev[b.idx_j] - ev[b.idx_i])
            s1, s2 = (_spherical(tau, w, shape.activation) for w in zip(*(p for p in layer.spherical_weights())))
            w1, w2 = w1 + s1, w2 + s2
        fade = ops.cutoff_function(self.geometry.distance, shape.cutoff, dtype=q1.dtype) / shape.normalization
        by_head = lambda q, w, k, h: (q[b.idx_i] * w * k[b.idx_j]).unflatten(1, (h, -1)).sum(2)  # noqa: E731
        invariant = by_head(q1, w1, k1, shape.n_heads) * fade[:, None]
        equivariant = by_head(q2, w2, k2, n) * fade[:, None] if n else invariant[:, :0]
        return Attention(invariant, equivariant)


def _spherical(tau: Tensor, weights: tuple[Tensor, ...], activation: str) -> Tensor:
    w1, b1, w2, b2 = weights
    return torch.addmm(b2, ops.bias_activation(tau @ w1.T, b1, activation), w2.T)
