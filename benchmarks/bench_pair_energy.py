"""pytest-benchmark suite of the sums of pair energies: pytest benchmarks/bench_pair_energy.py --benchmark-json out.json

999 atoms of water, all pairs within 10 A (ZBL: within 4.5 A), float64, one thread; each law in pyff.ops and as its
plain-torch twin: energy, energy and forces, and the gradient of a loss on forces. extra_info has the difference of the
forces from the twin's.
"""

from __future__ import annotations

import pytest
import torch
from _systems import water

from pyff import ops
from pyff.batch import Needs
from pyff.data.collate import collate
from pyff.data.from_ase import from_ase
from pyff.ops import reference

LOCAL, LONG = 4.5, 10.0
BATCH = collate([from_ase(water(999))], Needs(LOCAL, LONG))
GEOMETRY = (BATCH.cell, BATCH.batch, BATCH.long_range)
PARAMETERS = {  # of oxygen and hydrogen
    "charges": (-0.67, 0.335),
    "alpha": (5.1, 2.7),
    "c6": (13.8, 2.4),
}
SCREENING = [torch.tensor(x, dtype=torch.float64) for x in ([3.2, 0.94, 0.4, 0.2], [0.18, 0.51, 0.28, 0.03], 0.23, 2.1)]


def per_atom(name: str) -> torch.Tensor:
    oxygen, hydrogen = PARAMETERS[name]
    return torch.where(BATCH.Z == 8, oxygen, hydrogen).double()


def coulomb(**options):
    return ["charges"], lambda m, pos, q: m.coulomb_energy(pos, *GEOMETRY, q, **options)


LAWS = {
    "damped": coulomb(kind="damped", length=4.0, cutoff=LONG),
    "erfc": coulomb(kind="erfc", length=3.0, cutoff=LONG),
    "softened": coulomb(kind="softened", length=LOCAL, cutoff=LONG),
    "dispersion": (["alpha", "c6"], lambda m, pos, a, c: m.dispersion_energy(pos, *GEOMETRY, a, c, cutoff=LONG)),
    "zbl": ([], lambda m, pos: m.zbl_energy(pos, BATCH.cell, BATCH.batch, BATCH, BATCH.Z, *SCREENING,
                                            cutoff=ops.Cutoff("cosine", LOCAL))),
}  # fmt: skip


def derivatives(name: str, module, level: str):
    """The op at its level of differentiation; returns the last thing computed."""
    names, law = LAWS[name]
    inputs = [x.requires_grad_(level != "energy") for x in (BATCH.pos.clone(), *map(per_atom, names))]
    energy = law(module, *inputs)
    if level == "energy":
        return energy
    first = torch.autograd.grad(energy.sum(), inputs, create_graph=level == "training")
    if level == "forces":
        return first[0]
    return torch.autograd.grad(sum(g.square().sum() for g in first), inputs)


@pytest.mark.parametrize("level", ["energy", "forces", "training"])
@pytest.mark.parametrize("module", [ops, reference], ids=["ops", "twin"])
@pytest.mark.parametrize("law", LAWS)
def test_pair_energy(benchmark, law, module, level):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        benchmark.pedantic(derivatives, (law, module, level), rounds=10, warmup_rounds=2)
        force, twin = (derivatives(law, m, "forces") for m in (module, reference))
    finally:
        torch.set_num_threads(before)
    pairs = BATCH.idx_j if law == "zbl" else BATCH.long_range.idx_j
    benchmark.extra_info.update(pairs=len(pairs), threads=1, error=float((force - twin).abs().max()))
