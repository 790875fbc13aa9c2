"""SO3krates: against a plain-torch evaluation of the same weights, its options, its symmetries."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from _graphs import graph_batch, random_crystal, random_molecule
from _so3krates import atom_energies, features

import pyff
from pyff.batch import System
from pyff.data.collate import collate
from pyff.models import ARCHITECTURES, SO3krates, SO3kratesConfig, so3krates
from pyff.nn.filter_table import default_intervals
from pyff.ops import reference
from pyff.testing import check_potential

SMALL = {"n_features": 24, "n_heads": 2, "degrees": (1, 2, 3), "n_layers": 3, "n_rbf": 8, "cutoff": 3.0,
         "zero_init_output": False}  # fmt: skip
CHARGED = {"charge_embedding": True, "spin_embedding": True}
SO3LR_LIKE = {"degrees": (1, 2, 3, 4), "cutoff_function": "polynomial3", "radial_basis": "bernstein", "norm_1": "layer",
              "norm_2": "layer", "residual_mlp_1": True, "attention_normalization": 7.5, "element_scale": True,
              "element_shift": True, **CHARGED}  # fmt: skip
V2_LIKE = {"degrees": (1, 2, 1, 2), "norm_1": "rms", "norm_2": "rms", "qk_norm": True, "residual_scalars": True}


def charged(batch):
    signs = torch.tensor([-1.0, 0.0, 2.0], dtype=torch.float64)[: batch.n_systems]
    return replace(batch, charge=signs, spin=signs.abs() + 1)


BATCH = charged(graph_batch([random_molecule(6), random_crystal(5), random_molecule(1)], 3.0))


def model(dtype=torch.float64, seed=0, **config) -> SO3krates:
    torch.manual_seed(seed)
    m = SO3krates(
        SO3kratesConfig(**{**SMALL, **config}), elements=(1, 6, 8), reference_energy={1: -13.6, 6: -1030.0, 8: -2040.0}
    )
    with torch.no_grad():
        for p in m.parameters():  # biases too: a zero bias hides a missing one
            p.add_(0.1 * torch.randn(p.shape))
    return m.to(dtype)


def geometry(batch, pos, strain):
    none = batch.row_ptr, batch.idx_i, batch.idx_j, batch.edge_rev
    return reference.edge_geometry(pos, batch.cell, batch.shift, *none, batch.batch, strain=strain)[0]


def plain_outputs(m, batch):
    pos = batch.pos.clone().requires_grad_()
    strain = torch.zeros_like(batch.cell).requires_grad_()
    atoms = atom_energies(m, batch, geometry(batch, pos, strain)) + m._reference[batch.Z]
    energy = torch.zeros(batch.n_systems, dtype=torch.float64).index_add(0, batch.batch, atoms)
    grads = torch.autograd.grad(energy.sum(), (pos, strain), create_graph=True)
    volume = torch.linalg.det(batch.cell).abs()[:, None, None]
    return energy, -grads[0], 0.5 * (grads[1] + grads[1].mT) / volume


@pytest.mark.parametrize("config", [
    {}, SO3LR_LIKE, V2_LIKE, {"degrees": ()}, {"degrees": (4,)}, {"degrees": (2, 2)}, {"n_layers": 1}, CHARGED,
    {"attention_normalization": "none"}, {"qk_activation": "silu", "qk_norm": True}, {"residual_mlp_2": True},
    {"norm_1": "rms"}, {"norm_2": "rms"}, {"norm_1": "layer"}, {"residual_scalars": True}, {"radial_basis": "gaussian"},
    {"radial_basis": "bessel"}, {"cutoff_function": "mollifier"}, {"cutoff_function": "polynomial6"},
    {"activation": "ssp"}, {"activation": "tanh", **CHARGED}, {"readout_features": 7, "readout_activation": "identity"},
    {"n_heads": 24}, {"output_scale": 0.3, "output_shift": -2.0}, {"qk_activation": "tanh"},
], ids=str)  # fmt: skip
def test_so3krates_equals_its_equations_in_plain_torch(config):
    m = model(**config)
    energy, forces, stress = plain_outputs(m, BATCH)
    out = m(BATCH, ("energy", "forces", "stress", "atom_energy"))
    torch.testing.assert_close(out.energy, energy, rtol=1e-12, atol=1e-10)
    torch.testing.assert_close(out.forces, forces, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(out.stress[1], stress[1], rtol=1e-9, atol=1e-9)
    assert out.atom_energy.shape == (12,) and out.energy.dtype == torch.float64


@pytest.mark.parametrize("config", [SO3LR_LIKE, V2_LIKE, {"degrees": ()}], ids=["so3lr", "v2", "invariant"])
def test_so3krates_gradients_of_a_force_loss_equal_plain_torch(config):
    m = model(**config)
    target = torch.sin(torch.arange(36, dtype=torch.float64)).view(12, 3)

    def gradients(energy, forces):
        loss = ((forces - target) ** 2).mean() + 1e-3 * energy.pow(2).mean()
        return torch.autograd.grad(loss, list(m.parameters()), allow_unused=True, materialize_grads=True)

    energy, forces, _ = plain_outputs(m, BATCH)
    want = gradients(energy, forces)
    out = m(BATCH)
    for (name, _), a, b in zip(m.named_parameters(), gradients(out.energy, out.forces), want):
        assert (a - b).abs().max() <= 1e-8 * max(1.0, float(b.abs().max())), name


def test_so3krates_tables_reproduce_energies_forces_and_training_gradients():
    m = model(**SO3LR_LIKE)
    with torch.no_grad():
        m.filters = "exact"
        exact = m(BATCH)
        m.filters = "table"
        frozen = m(BATCH)
    assert m.last_filters.startswith("table")
    assert (frozen.energy - exact.energy).abs().max() < 2e-6 * exact.energy.abs().max()
    assert (frozen.forces - exact.forces).abs().max() < 2e-5 * exact.forces.abs().max()

    def gradients(filters):
        m.filters = filters
        out = m(BATCH)
        return torch.autograd.grad(out.forces.square().mean() + out.energy.square().mean(), list(m.parameters()),
                                   allow_unused=True, materialize_grads=True)  # fmt: skip

    for (name, _), a, b in zip(m.named_parameters(), gradients("table"), gradients("exact")):
        assert (a - b).abs().max() <= 1e-4 * max(1.0, float(b.abs().max())), name


def test_so3krates_in_single_precision_stays_close_to_double():
    double, single = model(**SO3LR_LIKE), model(torch.float32, **SO3LR_LIKE)
    single.load_state_dict({k: v.float() for k, v in double.state_dict().items()})
    double.load_state_dict({k: v.double() for k, v in single.state_dict().items()})
    with torch.no_grad():
        exact, fast = double(BATCH), single(BATCH)
    assert single.last_filters.startswith("table") and double.last_filters == "exact"
    # without references: they would hide the network's error
    network = (fast.energy - exact.energy).abs().max() / (exact.energy + 2040.0 * 6).abs().max()
    assert network < 1e-6
    assert (fast.forces - exact.forces).abs().max() < 1e-5 * exact.forces.square().mean().sqrt() * 3


@pytest.mark.parametrize("config", [
    {}, SO3LR_LIKE, {"n_layers": 1}, {"n_layers": 2, "norm_1": "rms", "norm_2": "rms", "residual_mlp_2": True},
    {"degrees": (2, 1), "norm_2": "layer"}, {"n_heads": 3, "residual_mlp_1": True},
], ids=str)  # fmt: skip
def test_so3krates_frozen_weights_run_without_autograd_to_the_same_numbers(config, monkeypatch):
    m = model(**config, charges=True, hirshfeld=True).eval()
    m.filters = "table"
    want, calls = ("energy", "forces", "stress", "charges", "hirshfeld"), []
    original = so3krates.frozen_readouts
    monkeypatch.setattr(so3krates, "frozen_readouts", lambda *args: calls.append(1) or original(*args))
    with torch.no_grad():
        fast = m(BATCH, want)
        alone = m(BATCH, ("energy",)).energy  # another set of readouts, and no gradient
        monkeypatch.setattr(so3krates, "is_plain", lambda _config: False)
        slow = m(BATCH, want)
    assert len(calls) == 2 and torch.equal(fast.energy, alone)
    for name in want:
        a, b = getattr(fast, name), getattr(slow, name)
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12, equal_nan=True)


def test_so3krates_frozen_rearranged_weights_follow_the_weights():
    m = model(torch.float32, **SO3LR_LIKE)
    with torch.no_grad():
        m(BATCH)
        for name in ("w_q2", "w_v1"):
            getattr(m.layers[1], name).data.mul_(1.5)
        m.readout.w1.data.mul_(0.5)
        after = m(BATCH).forces
        m.filters = "exact"
        exact = m(BATCH).forces
    assert (after - exact).abs().max() < 1e-4 * exact.abs().max()


def test_so3krates_tables_follow_the_weights():
    m = model(torch.float32)
    with torch.no_grad():
        before = m(BATCH).energy
        m.layers[1].radial_b2.data.add_(0.5)
        m.layers[0].spherical_b2.data.add_(0.5)
        after = m(BATCH).energy
        m.filters = "exact"
        exact = m(BATCH).energy
    assert (after - before).abs().max() > 1e-3
    torch.testing.assert_close(after, exact, rtol=1e-6, atol=0)


def test_so3krates_runs_the_network_where_a_pair_is_closer_than_the_table_begins():
    m = model(torch.float32, radial_basis="bernstein")
    close = graph_batch(
        [([1, 1, 8], np.array([[0.0, 0, 0], [0.2, 0, 0], [1.2, 0.3, 0]]), np.zeros((3, 3)), False)], 3.0
    )
    with torch.no_grad():
        m(close)
        assert m.last_filters == "exact"
        m(BATCH)
        assert m.last_filters.startswith("table")


@pytest.mark.parametrize("degrees", [(1, 2, 3), (4, 1)])
def test_so3krates_attention_and_euclidean_variables_on_request(degrees):
    m = model(degrees=degrees)
    x, ev, coefficients = features(m, BATCH, geometry(BATCH, BATCH.pos, None))
    with torch.no_grad():
        out = m(BATCH, ("features", "attention"))
    torch.testing.assert_close(out.features.x, x, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(out.features.ev, ev, rtol=1e-10, atol=1e-10)
    assert len(out.attention) == 3 and not out.features.x.requires_grad and out.forces is None
    for ours, (invariant, equivariant) in zip(out.attention, coefficients):
        torch.testing.assert_close(ours.invariant, invariant, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(ours.equivariant, equivariant, rtol=1e-10, atol=1e-10)


def test_so3krates_without_degrees_has_no_euclidean_variables():
    m = model(degrees=())
    with torch.no_grad():
        out = m(BATCH, ("features", "attention"))
    assert out.features.ev.shape == (12, 0) and out.attention[0].equivariant.shape == (BATCH.n_edges, 0)
    assert not any("spherical" in name or name.endswith("q2") for name, _ in m.named_parameters())


def test_so3krates_euclidean_variables_turn_like_spherical_harmonics():
    """ev(R x) = D(R) ev(x), with D from Y(R u) = D(R) Y(u) of many directions."""
    m, rng = model(degrees=(1, 2, 3, 4)), np.random.default_rng(3)
    Q = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    Q *= np.sign(np.linalg.det(Q))
    Z, pos, cell, pbc = random_molecule(6)
    directions = torch.from_numpy(rng.normal(size=(100, 3)))
    directions /= directions.norm(dim=1, keepdim=True)
    Y = lambda u: reference.spherical_harmonics(u, (1, 2, 3, 4))  # noqa: E731
    D = torch.linalg.lstsq(Y(directions), Y(directions @ torch.from_numpy(Q).T)).solution
    with torch.no_grad():
        ev = m(graph_batch([(Z, pos, cell, pbc)], 3.0), ("features",)).features.ev
        turned = m(graph_batch([(Z, pos @ Q.T, cell, pbc)], 3.0), ("features",)).features.ev
        mirrored = m(graph_batch([(Z, -pos, cell, pbc)], 3.0), ("features",)).features.ev
    assert ev.abs().max() > 0.01
    assert (turned - ev @ D).abs().max() < 1e-9 * ev.abs().max()
    parity = torch.cat([torch.full((2 * d + 1,), (-1.0) ** d, dtype=torch.float64) for d in (1, 2, 3, 4)])
    assert (mirrored - ev * parity).abs().max() < 1e-12 * ev.abs().max()


@pytest.mark.parametrize(
    "config", [{}, SO3LR_LIKE, V2_LIKE, {"degrees": ()}], ids=["paper", "so3lr", "v2", "invariant"]
)
def test_so3krates_is_a_potential(config):
    check_potential(model(n_layers=2, **config))


def test_so3krates_in_single_precision_is_a_potential():
    check_potential(model(torch.float32, n_layers=2, **SO3LR_LIKE))


def test_so3krates_charge_changes_the_energy_and_its_sign_matters():
    m = model(**CHARGED)
    Z, pos = random_molecule(6)[:2]
    system = System(Z=Z, pos=pos)
    with torch.no_grad():
        energy = [float(m(collate([replace(system, charge=q, spin=s)], m.needs), ("energy",)).energy)
                  for q, s in ((0, 0), (1, 0), (-1, 0), (0, 2))]  # fmt: skip
    assert len({round(e, 6) for e in energy}) == 4


def test_so3krates_identity_start_passes_features_on():
    torch.manual_seed(0)
    m = SO3krates(SO3kratesConfig(**{**SMALL, "identity_init": True, "residual_mlp_1": True}), (1, 6, 8)).double()
    with torch.no_grad():
        x = m(BATCH, ("features",)).features.x
    torch.testing.assert_close(x, m.embedding[BATCH.Z].detach(), rtol=0, atol=1e-14)


def test_so3krates_starts_from_the_reference_energies_where_the_output_starts_at_zero():
    m = SO3krates(SO3kratesConfig(**{**SMALL, "zero_init_output": True}), (1, 6, 8), {1: -1.0, 6: -2.0, 8: -3.0})
    expected = torch.zeros(3, dtype=torch.float64).index_add(0, BATCH.batch, m._reference[BATCH.Z])
    assert torch.equal(m(BATCH, ("energy",)).energy.detach(), expected)


def test_so3krates_initial_weights_have_the_variance_of_lecun():
    torch.manual_seed(0)
    layer = SO3krates(SO3kratesConfig(n_features=128, degrees=(1, 2)), (1,)).layers[0]
    for w, fan_in in ((layer.radial_w1, 32), (layer.radial_w2, 128), (layer.w_q1, 32), (layer.exchange_w, 130)):
        assert float(w.detach().var()) * fan_in == pytest.approx(1.0, rel=0.1)
        assert float(w.detach().abs().max()) < 2.3 / fan_in**0.5


def test_so3krates_parameter_count_is_that_of_the_published_network():
    """Layers and embeddings of SO3LR as counted in the published tree; pyff's tables add no rows to these."""
    m = SO3krates.from_preset("so3lr", (1, 6, 7, 8), charges=False, hirshfeld=False, zbl=False, electrostatics=False,
                              dispersion=False)  # fmt: skip
    count = lambda module: sum(p.numel() for p in module.parameters())  # noqa: E731
    assert [count(layer) for layer in m.layers] == [121_812] * 3
    assert count(m.charge_embedding) == count(m.spin_embedding) == 48_512 and m.embedding.numel() == 15_232


def test_so3krates_presets_are_bounded_and_named():
    paper = SO3kratesConfig.preset("paper")
    assert paper == SO3kratesConfig() and (paper.n_features, paper.degrees) == (132, (1, 2, 3))
    assert SO3kratesConfig.preset("so3lr-v2-m").qk_norm and SO3kratesConfig.preset("so3lr-v2-s").n_layers == 2
    with pytest.raises(ValueError, match="preset must be one of paper, so3lr, "):
        SO3kratesConfig.preset("so4krates")


@pytest.mark.parametrize(("config", "message"), [
    ({"n_features": 130}, "n_features must be a multiple of n_heads, 4"), ({"degrees": (0, 1)}, "degrees"),
    ({"degrees": (5,)}, "degrees"), ({"n_features": 128, "degrees": (1, 2, 3)}, "multiple of the number of degrees"),
    ({"cutoff": -1.0}, "cutoff"), ({"electrostatics": True}, "electrostatics needs charges"), ({"heads": 3}, "heads"),
    ({"dispersion": True}, "dispersion needs hirshfeld"), ({"attention_normalization": 0.0}, "attention_normalization"),
    ({"attention_normalization": "softmax"}, "attention_normalization"), ({"n_rbf": 1}, "n_rbf"),
    ({"dispersion": True, "hirshfeld": True, "long_range_cutoff": 1.5}, "dispersion_width must be smaller"),
], ids=str)  # fmt: skip
def test_so3krates_config_refuses_impossible_values(config, message):
    with pytest.raises(ValueError, match=message):
        SO3kratesConfig(**config)


def test_so3krates_survives_the_model_file(tmp_path):
    m = model(torch.float32, **SO3LR_LIKE).eval()
    pyff.save(m, tmp_path / "m.safetensors")
    again = pyff.load(tmp_path / "m.safetensors")
    assert type(again) is SO3krates and again.config == m.config and ARCHITECTURES["so3krates"] is SO3krates
    with torch.no_grad():
        assert torch.equal(again(BATCH).energy, m(BATCH).energy)
    with pytest.raises(ValueError, match="long_range_cutoff and ewald need a model with"):
        pyff.load(tmp_path / "m.safetensors", long_range_cutoff=9.0)


def test_so3krates_attention_of_a_lone_atom_is_empty():
    with torch.no_grad():
        layers = model()(collate([System(np.array([8]), np.zeros((1, 3)))], model().needs), ("attention",)).attention
    assert layers[0].invariant.shape == (0, model().config.n_heads)


def test_so3krates_learns_with_half_the_default_intervals_of_its_filters():
    nodes = SO3krates.from_preset("so3lr", [1, 8]).nodes
    assert (nodes.start, nodes.decay, nodes.intervals) == (0.4, nodes.shape.basis.gamma, 63)
    assert [default_intervals(nodes.shape, start) for start in (0.4, 0.0)] == [162, 681]


def test_so3krates_offers_what_it_has():
    assert "charges" not in model().offers and {"features", "attention", "energy_terms"} <= model().offers
    m = model(charges=True, hirshfeld=True)
    with torch.no_grad():
        out = m(BATCH, ("charges", "hirshfeld", "energy_terms", "energy"))
    sums = torch.zeros(3, dtype=torch.float64).index_add(0, BATCH.batch, out.charges)
    torch.testing.assert_close(sums, BATCH.charge, rtol=0, atol=1e-12)
    assert (out.hirshfeld > 0).all() and set(out.energy_terms) == {"network", "reference"}
    torch.testing.assert_close(sum(out.energy_terms.values()), out.energy, rtol=1e-14, atol=0)
    with pytest.raises(ValueError, match="want must name quantities that this model offers"):
        model()(BATCH, ("charges",))
