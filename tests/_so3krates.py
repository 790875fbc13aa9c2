"""SO3krates by its equations, in plain torch: the first layer with Euclidean variables of zero, filters along every
edge, both directions, no op of pyff but the twins of the basis, the cutoff and the spherical harmonics."""

from __future__ import annotations

import math

import torch
from torch.nn.functional import silu, softplus

from pyff.ops import reference

ACTIVATIONS = {
    "silu": silu,
    "tanh": torch.tanh,
    "identity": lambda x: x,
    "ssp": lambda x: softplus(x, threshold=1000.0) - math.log(2.0),
}


def embedded(m, batch):
    x = m.embedding[batch.Z]
    parts = [(m.config.charge_embedding, "charge"), (m.config.spin_embedding, "spin")]
    for name in (name for there, name in parts if there):
        e, psi = getattr(m, f"{name}_embedding"), getattr(batch, name)
        act = ACTIVATIONS[m.config.activation]
        for b in range(batch.n_systems):
            atoms = slice(int(batch.ptr[b]), int(batch.ptr[b + 1]))
            row = 1 if psi[b] < 0 else 0
            y = softplus(e.query[batch.Z[atoms]] @ e.key[row] / math.sqrt(m.config.n_features))
            h = (psi[b] * y / y.sum())[:, None] * e.value[row]
            add = torch.zeros_like(x)
            add[atoms] = h + act(act(h) @ e.w1.T) @ e.w2.T
            x = x + add
    return x / math.sqrt(1 + sum(there for there, _ in parts))


def normed(layer, name, kind, x):
    if kind == "layer":
        x = (x - x.mean(1, keepdim=True)) / (x.var(1, unbiased=False, keepdim=True) + 1e-6).sqrt()
        return x * getattr(layer, f"{name}_scale") + getattr(layer, f"{name}_bias")
    return x / (x.square().mean(1, keepdim=True) + 1e-6).sqrt() if kind == "rms" else x


def tau(ev, degrees):
    out, first = [], 0
    for degree in degrees:
        out.append(ev[:, first : first + 2 * degree + 1].square().sum(1) / math.sqrt(2 * degree + 1))
        first += 2 * degree + 1
    return torch.stack(out, 1)


def block_diagonal(x, w):
    return x @ torch.block_diag(*w).T


def attention(c, layer, b, x, ev, batch, basis, fade):
    """Coefficients [E, heads] of block b."""
    act = ACTIVATIONS[c.activation]
    i, j = batch.idx_i, batch.idx_j
    w = act(basis @ layer.radial_w1[b].T + layer.radial_b1[b]) @ layer.radial_w2[b].T + layer.radial_b2[b]
    if c.degrees:
        hidden = act(tau(ev[j] - ev[i], c.degrees) @ layer.spherical_w1[b].T + layer.spherical_b1[b])
        w = w + hidden @ layer.spherical_w2[b].T + layer.spherical_b2[b]
    heads = len(c.degrees) if b else c.n_heads
    q, k = (ACTIVATIONS[c.qk_activation](block_diagonal(x, getattr(layer, f"w_{s}{b + 1}"))) for s in "qk")
    split = lambda y: y.reshape(len(y), heads, -1)  # noqa: E731
    q, k = split(q), split(k)
    if c.qk_norm:
        q, k = (y / (y.square().mean(2, keepdim=True) + 1e-6).sqrt() for y in (q, k))
    kind = c.attention_normalization
    nc = math.sqrt(q.shape[2]) if kind == "sqrt_head_size" else 1.0 if kind == "none" else kind
    return fade[:, None] / nc * (q[i] * split(w) * k[j]).sum(2)


def features(m, batch, vec):
    """(x, ev) after the last layer, and the coefficients of each layer."""
    c, degrees = m.config, m.config.degrees
    act, distance = ACTIVATIONS[c.activation], vec.norm(dim=1)
    basis = reference.radial_basis(distance, m.basis, dtype=vec.dtype)
    fade = reference.cutoff_function(distance, m.attention_shape.cutoff, dtype=vec.dtype)
    i, j, counts = batch.idx_i, batch.idx_j, [2 * d + 1 for d in degrees]
    harmonics = reference.spherical_harmonics(vec / distance[:, None], degrees) if degrees else vec[:, :0]
    x, coefficients = embedded(m, batch), []
    first, ev = x, x.new_zeros(len(x), sum(counts))
    for t, layer in enumerate(m.layers):
        if c.residual_scalars:
            x = m.carry[t] * x + m.skip[t] * first
        a = [attention(c, layer, b, x, ev, batch, basis, fade) for b in range(2 if degrees else 1)]
        coefficients.append(a)
        v = block_diagonal(x, layer.w_v1)[j].reshape(batch.n_edges, c.n_heads, -1)
        x = x + torch.zeros_like(x).index_add(0, i, (a[0][..., None] * v).flatten(1))
        if degrees:
            spread = a[1].repeat_interleave(torch.tensor(counts), 1) * harmonics
            ev = ev + torch.zeros_like(ev).index_add(0, i, spread)
        x = normed(layer, "norm_1", c.norm_1, x)
        if c.residual_mlp_1:
            x = x + act(act(x) @ layer.mlp_1_w1.T + layer.mlp_1_b1) @ layer.mlp_1_w2.T + layer.mlp_1_b2
        y = torch.cat([x, tau(ev, degrees)], 1) if degrees else x
        y = y @ layer.exchange_w.T + layer.exchange_b
        x = x + y[:, : c.n_features]
        if degrees:
            ev = ev * (1 + y[:, c.n_features :]).repeat_interleave(torch.tensor(counts), 1)
        if c.residual_mlp_2:
            x = x + act(act(x) @ layer.mlp_2_w1.T + layer.mlp_2_b1) @ layer.mlp_2_w2.T + layer.mlp_2_b2
        x = normed(layer, "norm_2", c.norm_2, x)
    return x, ev, coefficients


def readout(r, x, activation):
    return (ACTIVATIONS[activation](x @ r.w1.T + r.b1) @ r.w2.T + r.b2)[:, 0]


def atom_energies(m, batch, vec):
    """Energies [N] of the network, eV, without reference energies."""
    c = m.config
    e = readout(m.readout, features(m, batch, vec)[0], c.readout_activation)
    if c.element_scale:
        e = e * m.element_scale[batch.Z]
    if c.element_shift:
        e = e + m.element_shift[batch.Z]
    return e * c.output_scale + c.output_shift
