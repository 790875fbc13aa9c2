"""SchNet: continuous-filter convolutions (Schuett et al., NeurIPS 2017; J. Chem. Phys. 148, 241722, 2018).

    x_i^0 = A[Z_i]                                     embedding
    x_i  <- x_i + Wb ssp(Wa y_i + ba) + bb,            y_i = sum_j (Win x_j) * W(d_ij)      T interactions
    W(d)  = [W2 ssp(W1 g(d) + b1) + b2] C(d)           filter: Gaussians, two layers, cutoff function
    E_i   = scale (w2 act(w1 x_i + c1) + c2) + shift   readout, summed over atoms

Published programs differ in details that change every number; the presets name them.
"""

from __future__ import annotations

import logging
import math
import warnings
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from pyff import ops
from pyff.batch import Geometry, GraphBatch
from pyff.models.base import MAX_Z, AtomOutputs, EnergyModel, conserved_charges, is_learning
from pyff.models.registry import register
from pyff.nn.filter_table import FilterTable, default_intervals, filter_table, filters_in_words
from pyff.nn.frozen import Frozen

__all__ = ["SchNet", "SchNetConfig"]

Activation = Literal["ssp", "silu", "tanh"]
_log = logging.getLogger("pyff")


class SchNetConfig(BaseModel):
    """Hyper-parameters. The defaults are those of SchNetPack 2 with three interactions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_features: int = Field(128, ge=1, le=4096, description="width F of the atomic features")
    n_interactions: int = Field(3, ge=1, le=64, description="number T of interaction blocks")
    n_rbf: int = Field(20, ge=2, le=4096, description="number of Gaussians between 0 and the cutoff")
    cutoff: float = Field(5.0, gt=0, le=1000, description="cutoff radius in A")
    cutoff_function: Literal["cosine", "mollifier", "smooth", "none"] = "cosine"
    cutoff_onset: float = Field(0.0, ge=0, description="where the smooth cutoff function starts to fall, A")
    rbf_width: Literal["spacing", "schnet2017"] = Field(
        "spacing", description="exp(-d^2/(2 s^2)) with s one spacing, or the first program's exp(-d^2/s)"
    )
    activation: Activation = "ssp"
    filter_last_activation: Literal["identity", "ssp", "silu", "tanh"] = "identity"
    readout_activation: Activation = "ssp"
    aggregation: Literal["sum", "mean"] = Field(
        "sum", description="mean divides y_i by the number of neighbors: the energy jumps when one crosses the cutoff"
    )
    shared_interactions: bool = Field(False, description="all blocks share their weights")
    charge_embedding: bool = Field(False, description="add (Q/N) c to the embedding")
    output: Literal["energy", "intensive"] = Field("energy", description="intensive: mean instead of sum of atoms")
    dipole: bool = Field(False, description="a second readout gives atomic charges and the dipole moment")
    output_scale: float = Field(1.0, description="scale of the atomic energies, eV")
    output_shift: float = Field(0.0, description="shift of the atomic energies, eV")

    @model_validator(mode="after")
    def _consistent(self):
        # a steeper fall would need tables without bound
        if self.cutoff_onset > 0.99 * self.cutoff:
            raise ValueError(f"cutoff_onset must be at most {0.99 * self.cutoff:g}; received {self.cutoff_onset}")
        return self

    @classmethod
    def preset(cls, name: str, **changes) -> SchNetConfig:
        """Configuration of a published program: schnetpack1, schnetpack2 or schnet2017."""
        if name not in PRESETS:
            raise ValueError(f"preset must be one of {', '.join(PRESETS)}; received {name!r}")
        return cls(**{**PRESETS[name], **changes})

    def filter_shape(self) -> ops.FilterShape:
        spacing = self.cutoff / (self.n_rbf - 1)
        gamma = 0.5 / spacing**2 if self.rbf_width == "spacing" else 1 / spacing
        return ops.FilterShape(
            ops.GaussianBasis(0.0, spacing, gamma, self.n_rbf),
            ops.Cutoff(self.cutoff_function, self.cutoff, self.cutoff_onset),
            self.activation,
            self.filter_last_activation,
        )


PRESETS = {
    "schnetpack1": {"n_rbf": 25, "n_interactions": 3},
    "schnetpack2": {"n_interactions": 6, "readout_activation": "silu"},
    "schnet2017": {
        "n_features": 64, "n_interactions": 6, "cutoff": 20.0, "n_rbf": 201, "cutoff_function": "none",
        "rbf_width": "schnet2017", "filter_last_activation": "ssp",
    },
}  # fmt: skip


class Interaction(nn.Module):
    """One interaction block: weights named as in the equations above."""

    def __init__(self, n_features: int, n_rbf: int) -> None:
        super().__init__()
        f = n_features
        self.w_in = nn.Parameter(_xavier(f, f))
        self.filter_w1, self.filter_b1 = nn.Parameter(_xavier(f, n_rbf)), nn.Parameter(torch.zeros(f))
        self.filter_w2, self.filter_b2 = nn.Parameter(_xavier(f, f)), nn.Parameter(torch.zeros(f))
        self.w_a, self.b_a = nn.Parameter(_xavier(f, f)), nn.Parameter(torch.zeros(f))
        self.w_b, self.b_b = nn.Parameter(_xavier(f, f)), nn.Parameter(torch.zeros(f))
        self._frozen = Frozen()

    @property
    def filter_weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.filter_w1, self.filter_b1, self.filter_w2, self.filter_b2

    def forward(self, x: Tensor, convolve, activation: str) -> Tensor:
        y = convolve(x @ self.w_in.T, self)
        v = ops.bias_activation(y @ self.w_a.T, self.b_a, activation)
        return x + torch.addmm(self.b_b, v, self.w_b.T)

    def frozen_table(self, shape: ops.FilterShape, dtype: torch.dtype) -> tuple[Tensor, float] | None:
        """(coefficients, spacing) of a table whose error was checked, or None where no table is fine enough; kept until
        the weights change."""
        weights = self.filter_weights

        def make() -> tuple[Tensor, float] | None:
            table = filter_table(shape, weights)
            return None if table is None else (table.coefficients(weights, dtype=dtype), table.spacing)

        return self._frozen(weights, make)


class Readout(nn.Module):
    """w2 act(w1 x + c1) + c2, width F -> F/2 -> 1, in float64: here large features cancel to small energies, and
    single precision would cost a digit of the total energy."""

    def __init__(self, n_features: int) -> None:
        super().__init__()
        half = max(1, n_features // 2)
        self.w1, self.b1 = nn.Parameter(_xavier(half, n_features)), nn.Parameter(torch.zeros(half))
        self.w2, self.b2 = nn.Parameter(_xavier(1, half)), nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, activation: str) -> Tensor:
        w1, b1, w2, b2 = (p.double() for p in (self.w1, self.b1, self.w2, self.b2))
        return torch.addmm(b2, ops.bias_activation(x.double() @ w1.T, b1, activation), w2.T)[:, 0]


def _xavier(rows: int, columns: int) -> Tensor:
    return nn.init.xavier_uniform_(torch.empty(rows, columns))


@register
class SchNet(EnergyModel):
    """SchNet as an EnergyModel; see the module's docstring for the equations and SchNetConfig for the options.

    filters: "auto" uses tables of the filters (pyff.nn.filter_table) where they are cheaper than the network and as
    exact (float32), "exact" always runs the network, "table" always tabulates.
    """

    architecture = "schnet"
    Config = SchNetConfig
    citations = (
        "K. T. Schuett et al., Advances in Neural Information Processing Systems 30 (2017)",
        "K. T. Schuett et al., J. Chem. Phys. 148, 241722 (2018)",
    )

    def __init__(self, config: SchNetConfig | None = None, elements=(1, 6, 7, 8), reference_energy=None) -> None:
        config = config or SchNetConfig()
        super().__init__(config, elements, reference_energy)
        self.filters: Literal["auto", "table", "exact"] = "auto"
        self._intervals: list[int] = []  # of each block's table in the last forward, 0 where the network ran
        self._gave_up = False
        self.embedding = nn.Embedding(MAX_Z + 1, config.n_features)
        first = Interaction(config.n_features, config.n_rbf)
        blocks = [first] if config.shared_interactions else [
            first, *(Interaction(config.n_features, config.n_rbf) for _ in range(config.n_interactions - 1))
        ]  # fmt: skip
        self.interactions = nn.ModuleList(blocks)
        self.readout = Readout(config.n_features)
        if config.dipole:
            self.charge_readout = Readout(config.n_features)
        if config.charge_embedding:
            self.charge_vector = nn.Parameter(torch.randn(config.n_features) / math.sqrt(config.n_features))
        self._shape = config.filter_shape()
        self._nodes = FilterTable(self._shape, default_intervals(self._shape))

    @classmethod
    def from_preset(cls, name: str, elements, reference_energy=None, **changes) -> SchNet:
        """SchNet as published: "schnetpack1", "schnetpack2" or "schnet2017"; keyword arguments change options."""
        model = cls(SchNetConfig.preset(name, **changes), elements, reference_energy)
        if name == "schnet2017":
            nn.init.normal_(model.embedding.weight, std=model.config.n_features**-0.25)
            nn.init.zeros_(model.readout.w2)
        return model

    @property
    def also_offers(self) -> frozenset[str]:
        return frozenset({"charges", "dipole"} if self.config.dipole else ())

    def features(self, batch: GraphBatch, distance: Tensor) -> Tensor:
        """Atomic features x_i [N,F] after the last interaction."""
        c = self.config
        x = self.embedding(batch.Z)
        if c.charge_embedding:
            share = batch.charge / (batch.ptr[1:] - batch.ptr[:-1])
            x = x + share[batch.batch, None].to(x.dtype) * self.charge_vector
        convolve = self._convolution(batch, distance)
        for k in range(c.n_interactions):
            x = self.interactions[0 if c.shared_interactions else k](x, convolve, c.activation)
        return x

    def atom_outputs(self, batch: GraphBatch, geometry: Geometry) -> AtomOutputs:
        if self.config.cutoff_function == "none":
            _refuse_truncation(batch, self.config.cutoff)
        x = self.features(batch, geometry.distance)
        energy = self.readout(x, self.config.readout_activation)
        charge = None
        if self.config.dipole:
            charge = conserved_charges(self.charge_readout(x, self.config.readout_activation), batch)
        return AtomOutputs(energy * self.config.output_scale + self.config.output_shift, charge)

    def _convolution(self, batch: GraphBatch, distance: Tensor):
        """convolve(h, block) -> y with the cheapest exact source of filters."""
        graph = (batch.row_ptr, batch.idx_i, batch.idx_j, batch.edge_rev)
        learning = is_learning()
        self._intervals = []
        tabulate = self.filters == "table" or (
            self.filters == "auto"
            and self.dtype == torch.float32
            and (not learning or batch.n_edges // 2 > self._nodes.intervals)
        )
        counts = (batch.row_ptr[1:] - batch.row_ptr[:-1]).clamp(min=1)[:, None] if self._mean else None

        def convolve(h: Tensor, block: Interaction) -> Tensor:
            table = None
            if tabulate:
                table = self._learned_table(block) if learning else block.frozen_table(self._shape, h.dtype)
            if table is not None:
                y = ops.cfconv_table(h, distance, table[0], *graph, 0.0, table[1])
            else:
                y = ops.cfconv(h, distance, block.filter_weights, *graph, self._shape)
            self._intervals.append(0 if table is None else len(table[0]))
            if tabulate and table is None and not self._gave_up:
                self._gave_up = True
                _log.warning("no table is fine enough for a filter of this SchNet: its network runs, which is slower")
            return y if counts is None else y / counts.to(y.dtype)

        return convolve

    @property
    def last_filters(self) -> str | None:
        """Where the filters of the last forward came from: "exact", "table (95 intervals)", or both; None before."""
        return filters_in_words(self._intervals) if self._intervals else None

    @property
    def _mean(self) -> bool:
        return self.config.aggregation == "mean"

    def _learned_table(self, block: Interaction) -> tuple[Tensor, float]:
        return self._nodes.coefficients(block.filter_weights, dtype=self.dtype), self._nodes.spacing


def _refuse_truncation(batch: GraphBatch, cutoff: float) -> None:
    if bool(batch.pbc.any()):
        raise ValueError(
            "a model without cutoff function (schnet2017, HardCutoff of SchNetPack 1) cannot be used with periodic "
            "cells: its energy jumps when a neighbor crosses the cutoff; train one with cutoff_function='cosine'"
        )
    for a, b in zip(batch.ptr[:-1].tolist(), batch.ptr[1:].tolist()):
        if int(batch.row_ptr[b] - batch.row_ptr[a]) < (b - a) * (b - a - 1):
            warnings.warn(
                f"a pair of atoms is farther apart than the cutoff of {cutoff} A of a model without cutoff function: "
                "its energy is not continuous",
                stacklevel=2,
            )
            return
