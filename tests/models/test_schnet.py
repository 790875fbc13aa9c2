"""SchNet: against a plain-torch evaluation of the same weights, its variants, and its physics."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from _graphs import edge_arguments, graph_batch, random_crystal, random_molecule
from ase.build import molecule

from pyff.batch import System
from pyff.calculators import Calculator
from pyff.models import ARCHITECTURES, SchNet, SchNetConfig, schnet
from pyff.nn.filter_table import filter_table, table_error
from pyff.ops import reference
from pyff.testing import check_potential

SMALL = {"n_features": 16, "n_interactions": 2, "n_rbf": 8, "cutoff": 3.0}
BATCH = graph_batch([random_molecule(6), random_crystal(5), random_molecule(1)], 3.0)


def model(dtype=torch.float64, seed=0, **config) -> SchNet:
    torch.manual_seed(seed)
    m = SchNet(
        SchNetConfig(**{**SMALL, **config}), elements=(1, 6, 8), reference_energy={1: -13.6, 6: -1030.0, 8: -2040.0}
    )
    with torch.no_grad():
        for p in m.parameters():  # biases too: a zero bias hides a missing one
            p.add_(0.1 * torch.randn(p.shape))
    return m.to(dtype)


def plain(m: SchNet, batch, pos, strain):
    """Energies per system by the equations of the module's docstring, in plain torch."""
    c, g = m.config, edge_arguments(batch)
    distance = reference.edge_geometry(pos, batch.cell, batch.shift, *g, batch.batch, strain=strain)[1]
    x = m.embedding(batch.Z)
    counts = torch.bincount(batch.idx_i, minlength=batch.n_atoms).clamp(min=1)[:, None]
    for k in range(c.n_interactions):
        b = m.interactions[0 if c.shared_interactions else k]
        y = reference.cfconv(x @ b.w_in.T, distance, b.filter_weights, *g, c.filter_shape())
        y = y / counts if c.aggregation == "mean" else y
        x = x + reference.bias_activation(y @ b.w_a.T, b.b_a, c.activation) @ b.w_b.T + b.b_b
    r = m.readout
    e = reference.bias_activation(x @ r.w1.T, r.b1, c.readout_activation) @ r.w2.T + r.b2
    e = e[:, 0].double() * c.output_scale + c.output_shift + m._reference[batch.Z]
    return torch.zeros(batch.n_systems, dtype=torch.float64).index_add(0, batch.batch, e)


def plain_outputs(m, batch):
    pos = batch.pos.clone().requires_grad_()
    strain = torch.zeros_like(batch.cell).requires_grad_()
    energy = plain(m, batch, pos, strain)
    grads = torch.autograd.grad(energy.sum(), (pos, strain), create_graph=True)
    volume = torch.linalg.det(batch.cell).abs()[:, None, None]
    return energy, -grads[0], 0.5 * (grads[1] + grads[1].mT) / volume


VARIANTS = [
    {}, {"cutoff_function": "mollifier"}, {"cutoff_function": "smooth", "cutoff_onset": 1.0},
    {"activation": "silu", "readout_activation": "silu"}, {"filter_last_activation": "ssp"}, {"aggregation": "mean"},
    {"shared_interactions": True, "n_interactions": 3}, {"output_scale": 0.3, "output_shift": -2.0},
    {"rbf_width": "schnet2017"}, {"n_features": 5, "n_rbf": 3},
]  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("filters", ["exact", "table"])
def test_schnet_equals_plain_torch(variant, filters):
    m = model(**variant)
    m.filters = filters
    out = m(BATCH, ("energy", "forces", "stress"))
    energy, forces, stress = plain_outputs(m, BATCH)
    tolerance = 1e-11 if filters == "exact" else 2e-6
    periodic = BATCH.pbc.any(1)
    assert (out.energy - energy).abs().max() < tolerance * energy.abs().max()
    assert (out.forces - forces).abs().max() < tolerance * forces.abs().max()
    assert (out.stress - stress)[periodic].abs().max() < tolerance * stress[periodic].abs().max()
    assert out.stress[~periodic].isnan().all()


@pytest.mark.parametrize("filters", ["exact", "table"])
def test_schnet_loss_gradients_equal_plain_torch(filters):
    m = model()
    m.filters = filters

    def loss_gradients(energy, forces):
        loss = (energy**2).mean() * 1e-6 + ((forces - 0.1) ** 2).mean()
        return torch.autograd.grad(loss, list(m.parameters()))

    out = m(BATCH)
    ours = loss_gradients(out.energy, out.forces)
    theirs = loss_gradients(*plain_outputs(m, BATCH)[:2])
    for name, a, b in zip(dict(m.named_parameters()), ours, theirs):
        assert (a - b).norm() < (1e-10 if filters == "exact" else 1e-4) * b.norm(), name


def test_schnet_single_precision_meets_its_error_bounds():
    """Energies 1e-6, forces 1e-5 of the RMS force, parameter gradients 1e-4, relative to float64."""
    single, exact = model(torch.float32), model(torch.float32).double()
    single._reference.zero_(), exact._reference.zero_()
    results = []
    for m in (single, exact):
        m.filters = "table" if m is single else "exact"
        out = m(BATCH)
        grads = torch.autograd.grad(((out.forces - 0.1) ** 2).mean() + (out.energy**2).mean(), list(m.parameters()))
        results.append((out.energy, out.forces, grads))
    (e1, f1, g1), (e2, f2, g2) = results
    assert (e1 - e2).abs().max() < 1e-6 * e2.abs().max()
    assert (f1 - f2).abs().max() < 1e-5 * f2.square().mean().sqrt()
    assert max(float((a - b).norm() / b.norm()) for a, b in zip(g1, g2)) < 1e-4


def _in_place(w):
    with torch.no_grad():
        w.mul_(1.5)


def _through_data(w):
    w.data.mul_(1.5)


def _fused_optimizer(w):
    optimizer = torch.optim.Adam([w], lr=0.1, fused=True)
    w.grad = torch.ones_like(w)
    optimizer.step()


@pytest.mark.parametrize("change", [_in_place, _through_data, _fused_optimizer])
def test_schnet_tables_are_remade_when_weights_change(change):
    m = model(torch.float32)
    m.filters = "table"
    with torch.no_grad():
        before = m(BATCH).energy
        assert torch.equal(before, m(BATCH).energy)
    change(m.interactions[0].filter_w2)
    with torch.no_grad():
        after = m(BATCH).energy
        m.filters = "exact"
        exact = m(BATCH).energy
    assert (after - before).abs().max() > 1e-3
    torch.testing.assert_close(after, exact, rtol=1e-6, atol=0)


def test_schnet_tables_follow_a_change_of_precision():
    m = model(torch.float32)
    m.filters = "table"
    with torch.no_grad():
        single = m(BATCH).energy
        double = m.double()(BATCH).energy
        m.filters = "exact"
        exact = m(BATCH).energy
    assert (double - exact).abs().max() < 1e-6 * exact.abs().max()
    assert (single - exact).abs().max() < 1e-5 * exact.abs().max()


def test_filter_table_meets_its_tolerance_or_says_so():
    m = model()
    shape, weights = m.config.filter_shape(), m.interactions[0].filter_weights
    table = filter_table(shape, weights)
    value, slope = table_error(table, weights)
    assert value <= 1e-7 and slope <= 1e-6
    assert filter_table(shape, weights, max_intervals=8) is None


def test_schnet_says_which_filters_ran_not_which_were_wished_for(caplog):
    m = model(torch.float32)
    assert m.filters == "auto" and m.last_filters is None
    calc = Calculator(m.eval())
    calc.calculate(molecule("H2O"), ["energy"])
    intervals = filter_table(m.config.filter_shape(), m.interactions[0].filter_weights).intervals
    assert calc.info["filters"] == m.last_filters == f"table ({intervals} intervals)"
    m.double()
    with torch.no_grad():
        m(BATCH)
    assert m.last_filters == "exact" and not caplog.messages


def test_schnet_warns_once_where_no_table_is_fine_enough(monkeypatch, caplog):
    m = model(torch.float32)
    first = filter_table(m.config.filter_shape(), m.interactions[0].filter_weights)
    found = iter([first])
    monkeypatch.setattr(schnet, "filter_table", lambda *_args: next(found, None))
    with torch.no_grad():
        for _ in range(3):
            m(BATCH)
    assert m.last_filters.endswith("intervals), exact in 1 of 2 blocks")
    assert [r.name for r in caplog.records] == ["pyff"] and "no table is fine enough" in caplog.text


def test_schnet_forces_are_the_gradient_of_the_energy():
    m, h = model(), 1e-4
    batch = graph_batch([random_molecule(6)], 3.0)
    with torch.no_grad():
        forces = m(batch).forces
        for atom, axis in ((0, 0), (3, 1), (5, 2)):
            energies = []
            for step in (-2, -1, 1, 2):
                moved = batch.pos.numpy().copy()
                moved[atom, axis] += step * h
                system = (batch.Z.numpy(), moved, np.zeros((3, 3)), False)
                energies.append(float(m(graph_batch([system], 3.0), ("energy",)).energy))
            slope = (energies[0] - 8 * energies[1] + 8 * energies[2] - energies[3]) / (12 * h)
            assert abs(float(forces[atom, axis]) + slope) < 2e-6


def test_schnet_presets_are_the_published_programs():
    counts = {("schnetpack1", 64, 6): 117_953, ("schnetpack2", 128, 6): 432_769}
    for (preset, f, t), expected in counts.items():
        m = SchNet.from_preset(preset, elements=(1,), n_features=f, n_interactions=t)
        # published programs embed 100 elements, pyff 119 rows
        n = sum(p.numel() for p in m.parameters()) - 19 * f
        assert n == expected
    first = SchNetConfig.preset("schnet2017")
    assert first.filter_shape().basis.gamma == pytest.approx(10.0)
    with pytest.raises(ValueError, match="preset must be one of schnetpack1, schnetpack2, schnet2017"):
        SchNetConfig.preset("schnet3000")


def test_schnet2017_refuses_periodic_cells_and_warns_about_truncation():
    m = SchNet.from_preset("schnet2017", (1, 6, 8), n_features=8, n_interactions=1, cutoff=3.0, n_rbf=31)
    with pytest.raises(ValueError, match="cannot be used with periodic cells"):
        m(graph_batch([random_crystal()], 3.0))
    with pytest.warns(UserWarning, match="farther apart than the cutoff"):
        m(graph_batch([random_molecule(9, spread=3.0)], 3.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        m(graph_batch([random_molecule(4, spread=0.5)], 3.0))


def test_schnet_intensive_target_is_the_mean_of_its_atoms():
    m = model(output="intensive")
    twice = graph_batch([random_molecule(6)] * 2, 3.0)
    one = m(twice, ("target",)).target
    assert torch.equal(one[0], one[1])
    far = random_molecule(6)
    pair = (np.tile(far[0], 2), np.concatenate([far[1], far[1] + 100.0]), far[2], False)
    torch.testing.assert_close(m(graph_batch([pair], 3.0), ("target",)).target, one[:1])
    with pytest.raises(ValueError, match="offers \\(target\\)"):
        m(twice)


def test_schnet_charges_are_conserved_and_the_dipole_turns_with_the_molecule():
    m = model(dipole=True)
    Z, pos, cell, pbc = random_molecule(6)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    batch = graph_batch([(Z, pos, cell, pbc), (Z, pos @ rotation.T + 7.0, cell, pbc)], 3.0)
    out = m(batch, ("dipole", "charges", "forces"))
    sums = torch.zeros(2, dtype=torch.float64).index_add(0, batch.batch, out.charges)
    assert sums.abs().max() < 1e-12
    torch.testing.assert_close(out.dipole[1], torch.tensor(rotation) @ out.dipole[0], rtol=1e-9, atol=1e-10)


def test_schnet_reads_the_total_charge_where_asked_to():
    from dataclasses import replace

    m = model(charge_embedding=True)
    batch = graph_batch([random_molecule(6)], 3.0)
    charged = replace(batch, charge=torch.ones(1, dtype=torch.float64))
    assert (m(batch).energy - m(charged).energy).abs() > 1e-3


def test_schnet_names_an_element_it_has_not_seen():
    m = model()
    batch = graph_batch([([1, 7], np.array([[0.0, 0, 0], [1, 0, 0]]), np.zeros((3, 3)), False)], 3.0)
    with pytest.raises(ValueError, match="trained on H, C, O only; received N"):
        m(batch)


def test_reference_energies_keep_their_digits_in_single_precision():
    m = model(torch.float32)
    m.set_reference_energy({6: -1e6 - 1 / 3})
    assert m.float().reference_energy[6] == -1e6 - 1 / 3
    assert m.double().float().reference_energy[6] == -1e6 - 1 / 3
    batch = graph_batch([([6], np.zeros((1, 3)), np.zeros((3, 3)), False)], 3.0)
    bare = model(torch.float32)
    bare.set_reference_energy({})
    with torch.no_grad():
        difference = float(m(batch, ("energy",)).energy - bare(batch, ("energy",)).energy)
    assert abs(difference + 1e6 + 1 / 3) < 1e-9


def test_schnet_runs_inside_no_grad_and_leaves_no_graph():
    m = model()
    with torch.no_grad():
        out = m(BATCH, ("energy", "forces", "stress", "atom_energy"))
    assert not any(x.requires_grad for x in (out.energy, out.forces, out.stress, out.atom_energy))
    sums = torch.zeros(3, dtype=torch.float64).index_add(0, BATCH.batch, out.atom_energy)
    torch.testing.assert_close(sums, out.energy, rtol=1e-14, atol=0)


def test_schnet_says_to_use_no_grad_instead_of_inference_mode():
    m = model()
    with torch.inference_mode():
        made_inside = replace(BATCH, pos=BATCH.pos.clone())
        for want in (("energy",), ("energy", "forces")):
            with pytest.raises(RuntimeError, match=r"outside torch\.inference_mode.*use torch\.no_grad\(\)"):
                m(BATCH, want)
    with pytest.raises(RuntimeError, match="with a batch made outside"):
        m(made_inside)
    assert m(BATCH).forces.isfinite().all()  # nothing of the failed calls was kept


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_schnet_in_half_precision_is_refused(dtype):
    name = str(dtype).removeprefix("torch.")
    with pytest.raises(TypeError, match=f"must be in float32 or float64; received {name}, .* model.float"):
        model(dtype)(BATCH)


def test_schnet_is_registered():
    assert ARCHITECTURES["schnet"] is SchNet


@pytest.mark.parametrize("config", [{"cutoff": -1.0}, {"n_features": 0}, {"n_rbf": 1}, {"cutoff_onset": 9.0},
                                    {"hidden": 3}])  # fmt: skip
def test_schnet_config_refuses_impossible_values(config):
    with pytest.raises(ValueError, match=next(iter(config)).split("_")[-1]):
        SchNetConfig(**config)


@pytest.mark.parametrize("config", [{}, {"cutoff_function": "mollifier", "activation": "silu"},
                                    {"cutoff_function": "smooth", "filter_last_activation": "ssp"}],
                         ids=str)  # fmt: skip
def test_schnet_is_a_potential(config):
    check_potential(model(**config))


def test_schnet_in_single_precision_is_a_potential():
    check_potential(model(torch.float32))


def test_schnet2017_is_a_potential_of_molecules():
    torch.manual_seed(0)
    m = SchNet.from_preset("schnet2017", (1, 6, 8), n_features=8, n_interactions=2, cutoff=12.0, n_rbf=61).double()
    torch.nn.init.normal_(m.readout.w2)
    systems = [System(Z=z, pos=p) for z, p, _, _ in (random_molecule(6), random_molecule(4, 3))]
    check_potential(m, systems, smooth=False)
