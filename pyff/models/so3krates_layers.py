"""Parts of SO3krates: the layer, the embedding of charge and spin, the readouts."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from pyff import ops
from pyff.batch import GraphBatch
from pyff.models.base import MAX_Z, is_learning
from pyff.models.so3krates_config import SO3kratesConfig
from pyff.nn.frozen import Frozen
from pyff.nn.head_projection import head_projection

__all__ = ["AtomReadout", "ElectronEmbedding", "HirshfeldReadout", "Layer"]

EPSILON = 1e-6  # of the normalizations, as in flax; torch's default is 1e-5
HIRSHFELD_KEYS = 64

Attend = Callable[..., tuple[Tensor, Tensor]]


class Layer(nn.Module):
    """One layer: attention, then an exchange between features and Euclidean variables at each atom.

        x <- x + attention_x,  ev <- ev + attention_ev             messages from the neighbors
        x <- norm_1(x);  x <- x + mlp_1(x)                         optional
        y = W [x; tau(ev)] + b;  x <- x + y_x;  ev_l <- ev_l (1 + y_l)
        x <- x + mlp_2(x);  x <- norm_2(x)                         optional

    Weights of the two attention blocks (features; Euclidean variables) lie side by side, [2, ...]; all matrices are
    (out, in). tau_l = |ev_l|^2 / sqrt(2l + 1).
    """

    def __init__(self, config: SO3kratesConfig) -> None:
        super().__init__()
        self.config = config
        f, k, n = config.n_features, config.n_rbf, len(config.degrees)
        blocks, hidden = (2, max(1, f // 4)) if n else (1, 0)
        self.radial_w1, self.radial_b1 = _lecun(blocks, f, k), _zeros(blocks, f)
        self.radial_w2, self.radial_b2 = _lecun(blocks, f, f), _zeros(blocks, f)
        head = f // config.n_heads
        self.w_q1, self.w_k1, self.w_v1 = (_lecun(config.n_heads, head, head) for _ in range(3))
        if n:
            self.spherical_w1, self.spherical_b1 = _lecun(blocks, hidden, n), _zeros(blocks, hidden)
            self.spherical_w2, self.spherical_b2 = _lecun(blocks, f, hidden), _zeros(blocks, f)
            self.w_q2, self.w_k2 = (_lecun(n, f // n, f // n) for _ in range(2))
        for name in ("norm_1", "norm_2"):
            if getattr(config, name) == "layer":
                self.register_parameter(f"{name}_scale", nn.Parameter(torch.ones(f)))
                self.register_parameter(f"{name}_bias", _zeros(f))
        for name in ("mlp_1", "mlp_2"):
            if getattr(config, f"residual_{name}"):
                for part in ("1", "2"):
                    self.register_parameter(f"{name}_w{part}", _lecun(f, f))
                    self.register_parameter(f"{name}_b{part}", _zeros(f))
        self.exchange_w, self.exchange_b = _lecun(f + n, f + n), _zeros(f + n)
        self._contract = self._contract64 = _contraction(config.degrees)
        # the op divides both blocks by the first one's normalization
        self.second_block_scale = config.head_normalization(config.n_heads) / config.head_normalization(max(n, 1))
        self.frozen_table, self.frozen_weights = Frozen(), Frozen()
        if config.identity_init:
            self._start_as_identity()

    def forward(self, x: Tensor, ev: Tensor | None, attend: Attend, *, gate: bool) -> tuple[Tensor, Tensor]:
        """(x, ev) after the layer; ev None stands for zeros. Without gate ev is left as attention made it: after the
        last layer nothing reads it."""
        message, ev_message = attend(self, self.projections(x), ev)
        x, ev = x + message, ev_message if ev is None else ev + ev_message
        x = self._norm("norm_1", x)
        x = self._mlp("mlp_1", x)
        x, ev = self._exchange(x, ev, gate)
        return self._norm("norm_2", self._mlp("mlp_2", x)), ev

    def projections(self, x: Tensor) -> tuple[Tensor, ...]:
        """q1, k1, v1, q2, k2 [N,F]: each head projects its own channels."""
        if not self.config.degrees:
            q1, k1, v1 = head_projection(x, (self.w_q1, self.w_k1, self.w_v1))
            return self._query(q1, self.w_q1), self._query(k1, self.w_k1), v1, torch.zeros_like(x), torch.zeros_like(x)
        q1, k1, v1, q2, k2 = head_projection(x, (self.w_q1, self.w_k1, self.w_v1, self.w_q2, self.w_k2))
        q1, k1 = self._query(q1, self.w_q1), self._query(k1, self.w_k1)
        q2, k2 = self._query(q2, self.w_q2), self._query(k2, self.w_k2)
        return q1, k1, v1, q2 if self.second_block_scale == 1.0 else q2 * self.second_block_scale, k2

    def _query(self, y: Tensor, w: Tensor) -> Tensor:
        """A projection as a query or key."""
        y = _activate(y, self.config.qk_activation)
        if not self.config.qk_norm:
            return y
        heads = y.view(len(y), w.shape[0], w.shape[1])
        return _rms_norm(heads).view_as(y)

    def invariants(self, ev: Tensor) -> Tensor:
        """tau [N,L] of Euclidean variables [N,M]."""
        return ev.square() @ self.contraction(ev)

    def contraction(self, like: Tensor) -> Tensor:
        """[M,L], squares of Euclidean variables to tau, in another tensor's precision and place."""
        if self._contract.dtype != like.dtype or self._contract.device != like.device:
            self._contract = self._contract64.to(like)  # not a buffer: model.float().double() would round the factors
        return self._contract

    def spherical_weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Weights of the spherical filters, as `ops.equivariant_attention` takes them."""
        return self.spherical_w1, self.spherical_b1, self.spherical_w2, self.spherical_b2

    def spherical_constant(self) -> Tensor:
        """[2F]: the spherical filters where all Euclidean variables are zero; [F] in an invariant model."""
        if not self.config.degrees:
            return torch.zeros_like(self.radial_b2[0])
        hidden = _activate(self.spherical_b1, self.config.activation)
        return (torch.einsum("bfs,bs->bf", self.spherical_w2, hidden) + self.spherical_b2).flatten()

    def radial_weights(self) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """(w1, b1, w2, b2) of the radial filter network of each attention block."""
        parts = (self.radial_w1, self.radial_b1, self.radial_w2, self.radial_b2)
        return list(zip(*(p.unbind() for p in parts)))

    def radial_rows(self, basis: Tensor) -> Tensor:
        """Radial filters [P, blocks x F] of distances whose basis functions are [P,K]."""
        activation = self.config.activation
        rows = [
            torch.addmm(b2, ops.bias_activation(basis @ w1.T, b1, activation), w2.T)
            for w1, b1, w2, b2 in self.radial_weights()
        ]
        return torch.cat(rows, 1)

    def _norm(self, name: str, x: Tensor) -> Tensor:
        kind = getattr(self.config, name)
        if kind == "none":
            return x
        if kind == "rms":
            return _rms_norm(x)
        scale, bias = getattr(self, f"{name}_scale"), getattr(self, f"{name}_bias")
        return nn.functional.layer_norm(x, (x.shape[1],), scale, bias, EPSILON)

    def _mlp(self, name: str, x: Tensor) -> Tensor:
        if not getattr(self.config, f"residual_{name}"):
            return x
        w1, b1, w2, b2 = (getattr(self, f"{name}_{part}") for part in ("w1", "b1", "w2", "b2"))
        hidden = ops.bias_activation(_activate(x, self.config.activation) @ w1.T, b1, self.config.activation)
        return x + torch.addmm(b2, hidden, w2.T)

    def _exchange(self, x: Tensor, ev: Tensor, gate: bool) -> tuple[Tensor, Tensor]:
        f = x.shape[1]
        both = torch.cat([x, self.invariants(ev)], 1) if self.config.degrees else x
        if not gate or not self.config.degrees:
            return x + torch.addmm(self.exchange_b[:f], both, self.exchange_w[:f].T), ev
        y = torch.addmm(self.exchange_b, both, self.exchange_w.T)
        spread = (self._contract > 0).to(ev.dtype)
        return x + y[:, :f], torch.addcmul(ev, ev, y[:, f:] @ spread.T)

    def _start_as_identity(self) -> None:
        for name in ("w_v1", "exchange_w", "mlp_1_w2", "mlp_2_w2"):
            if hasattr(self, name):
                nn.init.zeros_(getattr(self, name))


class ElectronEmbedding(nn.Module):
    """Embedding of the total charge or of the number of unpaired electrons, psi, shared out among the atoms.

        y_i = softplus(q_Zi . k / sqrt(F)),  a_i = psi y_i / sum_j y_j,  h = a_i v,  e_i = h + W2 act(W1 act(h))

    with keys k and values v of their own for positive and negative psi. No biases: zero for psi = 0.
    """

    def __init__(self, config: SO3kratesConfig) -> None:
        super().__init__()
        f = config.n_features
        self.activation = config.activation
        self.query = _embedding(MAX_Z + 1, f)
        self.key, self.value = _embedding(2, f), _embedding(2, f)
        self.w1, self.w2 = _lecun(f, f), _lecun(f, f)

    def forward(self, psi: Tensor, batch: GraphBatch) -> Tensor:
        sign = (psi < 0).long()
        dots = (self.query[batch.Z] * self.key[sign][batch.batch]).sum(1) / math.sqrt(self.query.shape[1])
        y = nn.functional.softplus(dots)
        total = y.new_zeros(batch.n_systems).index_add(0, batch.batch, y)
        share = psi.to(y.dtype)[batch.batch] * y / total[batch.batch]
        h = share[:, None] * self.value[sign][batch.batch]
        hidden = _activate(_activate(h, self.activation) @ self.w1.T, self.activation)
        return h + hidden @ self.w2.T


class AtomReadout(nn.Module):
    """One number per atom: w2 act(w1 x + b1) + b2, in float64. Large features cancel to small energies here, and single
    precision would cost a digit of the total energy."""

    def __init__(self, config: SO3kratesConfig) -> None:
        super().__init__()
        hidden = config.readout_features or config.n_features
        self.activation = config.readout_activation
        self.w1, self.b1 = _lecun(hidden, config.n_features), _zeros(hidden)
        self.w2, self.b2 = _lecun(1, hidden), _zeros(1)
        if config.zero_init_output:
            nn.init.zeros_(self.w2)
        self._frozen = Frozen()

    def forward(self, x: Tensor) -> Tensor:
        """[N,1], float64."""
        w1, b1, w2, b2 = _doubles(self._frozen, (self.w1, self.b1, self.w2, self.b2))
        return torch.addmm(b2, ops.bias_activation(x.double() @ w1.T, b1, self.activation), w2.T)


class HirshfeldReadout(nn.Module):
    """Ratio of the volume of an atom to that of the free atom: h_i = |v_Z + q_Z . k_i / sqrt(64)|, k = MLP(x)."""

    def __init__(self, config: SO3kratesConfig) -> None:
        super().__init__()
        self.activation = config.activation
        self.w1, self.b1 = _lecun(HIRSHFELD_KEYS, config.n_features), _zeros(HIRSHFELD_KEYS)
        self.w2, self.b2 = _lecun(HIRSHFELD_KEYS, HIRSHFELD_KEYS), _zeros(HIRSHFELD_KEYS)
        # one is the free atom, where no atom is far from
        self.shift = nn.Parameter(torch.ones(MAX_Z + 1))
        self.query = _embedding(MAX_Z + 1, HIRSHFELD_KEYS)
        self._frozen = Frozen()

    def forward(self, x: Tensor) -> Tensor:
        """Keys k_i [N,64], float64."""
        w1, b1, w2, b2 = _doubles(self._frozen, (self.w1, self.b1, self.w2, self.b2))
        return torch.addmm(b2, ops.bias_activation(x.double() @ w1.T, b1, self.activation), w2.T)

    def ratios(self, keys: Tensor, Z: Tensor) -> Tensor:
        """h_i [N] from the keys."""
        dots = (self.query[Z] * keys).sum(1)
        return (self.shift[Z] + dots / math.sqrt(HIRSHFELD_KEYS)).abs()


def _doubles(frozen: Frozen, weights: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    if is_learning():
        return tuple(w.double() for w in weights)
    return frozen(weights, lambda: tuple(w.double() for w in weights))


def _activate(x: Tensor, activation: str) -> Tensor:
    """Pointwise activation without a bias."""
    if activation == "identity":
        return x
    if activation == "silu":
        return nn.functional.silu(x)
    return torch.tanh(x) if activation == "tanh" else nn.functional.softplus(x, threshold=1000.0) - math.log(2.0)


def _rms_norm(x: Tensor) -> Tensor:
    """x over its root mean square along the last axis; no trainable scale."""
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPSILON)


def _contraction(degrees: tuple[int, ...]) -> Tensor:
    """[M,L] such that squares of Euclidean variables times it are their invariants tau."""
    matrix = torch.zeros(sum(2 * d + 1 for d in degrees), len(degrees), dtype=torch.float64)
    first = 0
    for k, degree in enumerate(degrees):
        matrix[first : first + 2 * degree + 1, k] = (2 * degree + 1) ** -0.5
        first += 2 * degree + 1
    return matrix


def _lecun(*shape: int) -> nn.Parameter:
    """LeCun's normal distribution of variance 1 / fan-in (the last axis), truncated at two standard deviations."""
    std = shape[-1] ** -0.5 / 0.87962566103423978  # of the truncated distribution to that of the whole one
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(*shape), std=std, a=-2 * std, b=2 * std))


def _embedding(rows: int, features: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(rows, features) / math.sqrt(features))


def _zeros(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.zeros(*shape))
