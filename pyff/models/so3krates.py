"""SO3krates: attention over invariant features and Euclidean variables (Frank, Unke, Mueller, Chmiela; Nat. Commun. 15,
6539, 2024), and with physics terms SO3LR (Kabylda et al., J. Am. Chem. Soc. 2025).

    x_i^0 = (e_Z + e_Q + e_S) / sqrt(3)                 embedding of element, total charge and spin
    x_i  <- x_i + sum_j a1_ij v_j                       attention between features
    ev_i <- ev_i + sum_j a2_ij Y(u_ij)                  and of Euclidean variables, which turn with the structure
    a_ij  = C(d)/nc sum_c q_i w(d, |ev_j - ev_i|) k_j   no softmax: the filters w carry the geometry
    E_i   = s_Z readout(x_i) + o_Z  [+ ZBL + electrostatics of partial charges + dispersion]

`pyff.models.so3krates_layers` has the layer; `SO3kratesConfig` names every option, and PRESETS the published sets.
"""

from __future__ import annotations

import logging
import math
from typing import Literal

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from pyff import ops
from pyff.batch import Features, Geometry, GraphBatch, Needs
from pyff.models.base import MAX_Z, AtomOutputs, EnergyModel, conserved_charges, is_learning, is_wanted
from pyff.models.registry import register
from pyff.models.schema import first_problem
from pyff.models.so3krates_attention import Messages
from pyff.models.so3krates_config import SO3kratesConfig
from pyff.models.so3krates_inference import frozen_readouts, is_plain
from pyff.models.so3krates_layers import AtomReadout, ElectronEmbedding, HirshfeldReadout, Layer
from pyff.models.terms import ZBL, Dispersion, Electrostatics, EwaldElectrostatics
from pyff.nn.filter_table import FilterTable, default_intervals, filters_in_words
from pyff.nn.frozen import Frozen
from pyff.ops._check import runs_on_twin

__all__ = ["SO3krates", "SO3kratesConfig"]

_log = logging.getLogger("pyff")
TABLE_START = 0.4  # A; bases in e^-d are finest below, where only broken structures have pairs: there the network runs


@register
class SO3krates(EnergyModel):
    """SO3krates and SO3LR as an EnergyModel; see the module's docstring for the equations, SO3kratesConfig for options.

    filters: "auto" uses tables of the radial filters (pyff.nn.filter_table) where they are cheaper than the network
    and as exact (float32), "exact" always runs the network, "table" always tabulates.
    """

    architecture = "so3krates"
    Config = SO3kratesConfig

    def __init__(self, config: SO3kratesConfig | None = None, elements=(1, 6, 7, 8), reference_energy=None) -> None:
        c = config or SO3kratesConfig()
        super().__init__(c, elements, reference_energy)
        self.filters: Literal["auto", "table", "exact"] = "auto"
        self._intervals: list[int] = []
        self._warned = False
        self.embedding = nn.Parameter(torch.randn(MAX_Z + 1, c.n_features) / math.sqrt(c.n_features))
        if c.charge_embedding:
            self.charge_embedding = ElectronEmbedding(c)
        if c.spin_embedding:
            self.spin_embedding = ElectronEmbedding(c)
        self.layers = nn.ModuleList(Layer(c) for _ in range(c.n_layers))
        if c.residual_scalars:
            self.carry, self.skip = nn.Parameter(torch.ones(c.n_layers)), nn.Parameter(torch.full((c.n_layers,), 0.1))
        self.readout = AtomReadout(c)
        if c.element_scale:
            self.element_scale = nn.Parameter(torch.ones(MAX_Z + 1))
        if c.element_shift:
            self.element_shift = nn.Parameter(torch.zeros(MAX_Z + 1))
        if c.charges:
            self.charge_readout, self.charge_shift = AtomReadout(c), nn.Parameter(torch.zeros(MAX_Z + 1))
        if c.hirshfeld:
            self.hirshfeld_readout = HirshfeldReadout(c)
        self.terms = _terms(c)
        self.frozen_readouts = Frozen()
        self.basis = c.basis()
        self.attention_shape = ops.AttentionShape(
            c.degrees or (1,), c.n_heads, ops.Cutoff(c.cutoff_function, c.cutoff), c.head_normalization(c.n_heads),
            c.activation,
        )  # fmt: skip
        self.filter_shape = ops.FilterShape(self.basis, ops.Cutoff("none", c.cutoff), c.activation, "identity")
        start = min(TABLE_START, 0.1 * c.cutoff)
        decay = self.basis.decay
        # while learning, filters within 1e-6 do, where tables that are kept have 1e-7; 64 nodes are two tiles of the
        # kernel
        intervals = max(63, default_intervals(self.filter_shape, start, decay) // 2)
        self.nodes = FilterTable(self.filter_shape, intervals, start, decay)

    @classmethod
    def from_preset(cls, name: str, elements, reference_energy=None, **changes) -> SO3krates:
        """A published model without its weights: "paper", "so3lr", "so3lr-v2-s", "so3lr-v2-m" or "so3lr-v2-l"; keyword
        arguments change options. Of SO3LR's second version it is the network, with the first version's physics."""
        return cls(SO3kratesConfig.preset(name, **changes), elements, reference_energy)

    @property
    def citations(self) -> tuple[str, ...]:
        texts = ["J. T. Frank et al., Nature Communications 15, 6539 (2024)"]
        if self.config.long_range:
            texts.append("A. Kabylda et al., Journal of the American Chemical Society (2025), doi:10.1021/jacs.5c09558")
        return tuple(texts)

    @property
    def needs(self) -> Needs:
        c = self.config
        if not c.long_range_pairs:
            return Needs(c.cutoff)
        return Needs(c.cutoff, math.inf if c.long_range_cutoff is None else c.long_range_cutoff)

    @property
    def also_offers(self) -> frozenset[str]:
        c, offers = self.config, {"energy_terms", "features", "attention"}
        if c.charges:
            offers |= {"charges", "dipole"}
        return frozenset(offers | ({"hirshfeld"} if c.hirshfeld else set()))

    def set_long_range(self, cutoff: float | None = None, ewald: bool | None = None) -> None:
        """Change how far electrostatics and dispersion reach; None leaves a setting as it is.

        Args:
            cutoff: A; infinity: all pairs of open structures.
            ewald: whether the Coulomb energy is summed over the whole lattice instead.

        Raises:
            ValueError: a model without such terms, or a cutoff that its options do not allow.
        """
        if not self.config.long_range:
            raise ValueError("long_range_cutoff and ewald need a model with electrostatics or dispersion")
        changes = {}
        if cutoff is not None:
            changes["long_range_cutoff"] = None if math.isinf(cutoff) else cutoff
        if ewald is not None:
            changes["ewald"] = ewald
        try:
            self.config = SO3kratesConfig(**{**self.config.model_dump(), **changes})
        except ValidationError as error:
            raise ValueError(first_problem(error)) from None
        weights, trained = self.terms.state_dict(), [p.requires_grad for p in self.terms.parameters()]
        self.terms = _terms(self.config).to(dtype=self.dtype, device=self.embedding.device).train(self.training)
        self.terms.load_state_dict(weights)
        for p, is_trained in zip(self.terms.parameters(), trained):
            p.requires_grad_(is_trained)

    def atom_outputs(self, batch: GraphBatch, geometry: Geometry) -> AtomOutputs:
        c = self.config
        readouts = {"energy": self.readout}
        if c.electrostatics or (c.charges and is_wanted("charges", "dipole")):
            readouts["charge"] = self.charge_readout
        if c.dispersion or (c.hirshfeld and is_wanted("hirshfeld")):
            readouts["hirshfeld"] = self.hirshfeld_readout
        out, features, attention = self._network(batch, geometry, readouts)
        energy = out["energy"][:, 0]
        if c.element_scale:
            energy = energy * self.element_scale[batch.Z]
        if c.element_shift:
            energy = energy + self.element_shift[batch.Z]
        energy = energy * c.output_scale + c.output_shift
        charge = hirshfeld = None
        if "charge" in out:
            charge = conserved_charges(out["charge"][:, 0] + self.charge_shift[batch.Z], batch)
        if "hirshfeld" in out:
            hirshfeld = self.hirshfeld_readout.ratios(out["hirshfeld"], batch.Z)
        arguments = {"zbl": (), "electrostatics": (charge,), "dispersion": (hirshfeld,)}
        terms = {name: term(batch, geometry, *arguments[name]) for name, term in self.terms.items()}
        return AtomOutputs(energy, charge, terms, hirshfeld, features, attention)

    def _network(self, batch: GraphBatch, geometry: Geometry, readouts: dict[str, nn.Module]):
        """(output of each readout, features, attention), the last two None where they are not wanted."""
        messages = Messages(self, batch, geometry, record=is_wanted("attention"))
        x = self._embed(batch)
        tables = None
        if is_plain(self.config) and not is_wanted("features", "attention"):
            tables = messages.frozen_tables()
        if tables is not None and not runs_on_twin("equivariant_attention", batch.pos):
            self._intervals = messages.intervals
            return frozen_readouts(self, x, messages, tables, readouts), None, None
        x, ev = self._features(x, messages)
        self._intervals = messages.intervals
        attention = None if messages.attention is None else tuple(messages.attention)
        features = Features(x, ev) if is_wanted("features") else None
        return {name: readout(x) for name, readout in readouts.items()}, features, attention

    def _features(self, x: Tensor, messages: Messages) -> tuple[Tensor, Tensor]:
        """(x, ev) after the last layer, from the embedding."""
        ev, first, last = None, x, len(self.layers) - 1
        for k, layer in enumerate(self.layers):
            if self.config.residual_scalars:
                x = self.carry[k] * x + self.skip[k] * first
            x, ev = layer(x, ev, messages, gate=k < last or is_wanted("features"))
            if not self.config.degrees:
                ev, empty = None, ev
        return x, empty if ev is None else ev

    def _embed(self, batch: GraphBatch) -> Tensor:
        c = self.config
        x = self.embedding[batch.Z]
        for name, psi in (("charge_embedding", batch.charge), ("spin_embedding", batch.spin)):
            # exactly zero for a neutral singlet, but its gradient is not
            if getattr(c, name) and (is_learning() or bool(psi.any())):
                x = x + getattr(self, name)(psi, batch)
        return x / math.sqrt(1 + c.charge_embedding + c.spin_embedding)

    @property
    def last_filters(self) -> str | None:
        """Where the radial filters of the last forward came from: "exact", "table (95 intervals)", or both."""
        return None if not self._intervals else filters_in_words(self._intervals)

    def warn_once(self, message: str) -> None:
        if not self._warned:
            self._warned = True
            _log.warning(message)


def _terms(c: SO3kratesConfig) -> nn.ModuleDict:
    """The physics terms by name, in the order of SO3LR's sum."""
    terms = nn.ModuleDict()
    if c.zbl:
        terms["zbl"] = ZBL(ops.Cutoff(c.cutoff_function, c.cutoff))
    if c.electrostatics:
        sigma = c.electrostatics_sigma
        terms["electrostatics"] = EwaldElectrostatics(sigma) if c.ewald else Electrostatics(sigma, c.long_range_cutoff)
    if c.dispersion:
        terms["dispersion"] = Dispersion(c.long_range_cutoff, width=c.dispersion_width, scale=c.dispersion_scale)
    return terms
