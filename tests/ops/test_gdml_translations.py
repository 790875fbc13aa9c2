"""Fourier transforms over translations give what the direct sum over all permutations gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, graphene, molecule

from pyff.models.gdml.symmetry import supercell_group
from pyff.ops import GdmlCovariance, GdmlExpansion, _gdml_translations
from pyff.ops._gdml import PackedExpansion
from pyff.ops._gdml_translations import AbelianGroup, TranslationProduct, abelian_prefix, arranged
from pyff.ops.gdml import GdmlKernel, descriptor_permutations, inverse_distances
from pyff.ops.reference.gdml import gdml_product


def _with_molecule() -> Atoms:
    sheet = graphene(a=2.46, vacuum=8).repeat((3, 1, 1))
    water = molecule("H2O")
    water.translate(sheet.positions.mean(0) + np.array([0.2, 0.1, 3.0]))
    return sheet + water


STRUCTURES = {
    "graphene 3x3": lambda: graphene(a=2.46, vacuum=8).repeat((3, 3, 1)),
    "fcc 2x2x2 primitive": lambda: bulk("Pd", "fcc", a=3.9).repeat(2),
    "hcp 3x2x1": lambda: bulk("Mg", "hcp", a=3.2, c=5.2).repeat((3, 2, 1)),
    "bcc 2x1x1": lambda: bulk("Na", "bcc", a=4.2, cubic=True).repeat((2, 1, 1)),
    "water on graphene": _with_molecule,
}


def _case(name: str, n_train: int, n_queries: int):
    atoms = STRUCTURES[name]()
    adsorbate = np.flatnonzero(np.isin(atoms.numbers, [1, 8])).tolist()
    group = supercell_group(atoms, adsorbate=adsorbate)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(n_train + n_queries, len(atoms), 3, dtype=torch.float64, generator=generator)
    x, _ = inverse_distances(torch.tensor(atoms.positions) + 0.1 * noise, torch.tensor(atoms.cell[:]))
    coef = torch.randn(n_train, x.shape[1], dtype=torch.float64, generator=generator)
    return descriptor_permutations(group.perms), x[:n_train], coef, x[n_train:], len(group.translations)


def _closeness(value: torch.Tensor, expected: torch.Tensor) -> float:
    return float((value - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("name", [*STRUCTURES])
@pytest.mark.parametrize("profile", ["matern52", "rbf"])
def test_product_equals_the_direct_sum(name, profile):
    perms, train, coef, query, _ = _case(name, n_train=3, n_queries=2)
    coef_energy = torch.tensor([0.3, -2.0, 1.0], dtype=torch.float64)
    kernel = GdmlKernel(1.3, profile)
    group = abelian_prefix(perms)
    for c in (None, coef_energy):
        f, energy = TranslationProduct(train, coef, perms, group, kernel, c).product(query)
        expected_f, expected_energy = gdml_product(query, train, coef, perms, kernel, c)
        assert _closeness(f, expected_f) < 1e-12
        assert _closeness(energy, expected_energy) < 1e-12


def test_product_in_blocks_of_queries_and_training_points(monkeypatch):
    perms, train, coef, query, _ = _case("fcc 2x2x2 primitive", n_train=7, n_queries=5)
    group, kernel = abelian_prefix(perms), GdmlKernel(0.7)
    expected = gdml_product(query, train, coef, perms, kernel)
    for block, rows in ((1, 1), (1600, 100), (1 << 17, 64)):
        monkeypatch.setattr(_gdml_translations, "BLOCK", block)
        monkeypatch.setattr(_gdml_translations, "ROWS", rows)
        for value, wanted in zip(TranslationProduct(train, coef, perms, group, kernel).product(query), expected):
            assert _closeness(value, wanted) < 1e-12


def test_nearby_training_points_lose_no_digits():
    """Queries at and next to training points: small distances are differences of large numbers."""
    perms, train, coef, _, _ = _case("graphene 3x3", n_train=4, n_queries=0)
    query = torch.cat([train[:2], train[:2] + 1e-6])
    group, kernel = abelian_prefix(perms), GdmlKernel(2.0)
    f, energy = TranslationProduct(train, coef, perms, group, kernel).product(query)
    expected_f, expected_energy = gdml_product(query, train, coef, perms, kernel)
    assert _closeness(f, expected_f) < 1e-11 and _closeness(energy, expected_energy) < 1e-11


@pytest.mark.parametrize("name", [*STRUCTURES])
def test_prefix_holds_the_translations(name):
    perms, *_, n_translations = _case(name, n_train=1, n_queries=0)
    group = abelian_prefix(perms)
    # rotations may enlarge the abelian subgroup
    assert len(group.elements) >= n_translations and np.prod(group.orders) == len(group.elements)
    assert {*map(tuple, perms[:n_translations].tolist())} <= {*map(tuple, group.elements.tolist())}
    shuffled = perms[torch.randperm(len(perms), generator=torch.Generator().manual_seed(1))]
    assert abelian_prefix(shuffled) is None
    assert abelian_prefix(perms[:1]) is None


def test_symmetric_group_of_three_has_a_cyclic_prefix():
    perms = torch.tensor([[0, 1, 2], [1, 2, 0], [2, 0, 1], [1, 0, 2], [2, 1, 0], [0, 2, 1]])
    assert abelian_prefix(perms).orders == (3,)
    assert abelian_prefix(perms[[0, 1, 2, 3, 5, 4]]) is None  # the same group, its cosets in another order
    assert abelian_prefix(perms[[0, 3]]).orders == (2,)


@pytest.mark.parametrize("orders", [(2,), (5,), (2, 2), (3, 4), (2, 4, 4), (3, 3, 6)])
def test_synthesis_undoes_analysis(orders):
    n = int(np.prod(orders))
    analysis, synthesis = AbelianGroup(torch.arange(n)[:, None], orders).characters()
    torch.testing.assert_close(synthesis @ analysis, torch.eye(n, dtype=torch.float64), rtol=0, atol=1e-13)
    assert len(analysis) <= n + 8  # real frequencies keep an empty imaginary part


def _palladium(n_frames: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Positions of 32 atoms, cell, and permutations of descriptors by 1536 operations."""
    atoms = bulk("Pd", "fcc", a=3.9, cubic=True).repeat(2)
    noise = torch.randn(n_frames, 32, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    perms = descriptor_permutations(supercell_group(atoms).perms)
    return torch.tensor(atoms.positions) + 0.1 * noise, torch.tensor(atoms.cell[:]), perms


def test_large_expansions_take_the_transforms_and_agree_with_the_direct_sum(monkeypatch):
    pos, cell, perms = _palladium(24)
    x, _ = inverse_distances(pos, cell)
    coef, kernel = torch.sin(torch.arange(22 * 496.0, dtype=torch.float64)).reshape(22, 496), GdmlKernel(1.5)
    expansion = GdmlExpansion(x[:22], coef, perms, kernel, constant=-2.0)
    assert isinstance(expansion._packed, TranslationProduct)
    cells = torch.stack([cell, 1.01 * cell])
    for c in (cell, cells):
        results = expansion.predict(pos[22:], c, virial=True)
        with monkeypatch.context() as patch:
            patch.setattr(_gdml_translations, "LARGE", float("inf"))
            direct = GdmlExpansion(x[:22], coef, perms, kernel, constant=-2.0)
        assert isinstance(direct._packed, PackedExpansion)
        for value, expected in zip(results, direct.predict(pos[22:], c, virial=True)):
            assert _closeness(value, expected) < 1e-11
    assert [tuple(value.shape) for value in expansion.product(x[:0])] == [(0, 496), (0,)]


def test_covariance_of_a_large_group_takes_the_transforms(monkeypatch):
    pos, cell, perms = _palladium(18)
    x, g = inverse_distances(pos, cell)
    v = torch.cos(torch.arange(18 * 97.0, dtype=torch.float64))
    kernel = GdmlKernel(2.0)
    covariance = GdmlCovariance(x, g, perms, kernel, energies=True)
    assert isinstance(covariance._packed, TranslationProduct)
    monkeypatch.setattr(_gdml_translations, "LARGE", float("inf"))
    direct = GdmlCovariance(x, g, perms, kernel, energies=True)
    assert isinstance(direct._packed, PackedExpansion)
    assert _closeness(covariance(v), direct(v)) < 1e-11


def test_molecules_and_small_crystals_keep_the_direct_sum():
    perms, train, coef, _, _ = _case("fcc 2x2x2 primitive", n_train=5, n_queries=0)
    assert isinstance(arranged(train, coef, perms, GdmlKernel(1.0), None), PackedExpansion)
    x = torch.rand(1000, 210, dtype=torch.float64)
    identity = torch.arange(210)[None]
    assert isinstance(arranged(x, x, identity, GdmlKernel(1.0), None), PackedExpansion)
