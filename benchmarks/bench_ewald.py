"""pytest-benchmark suite of periodic electrostatics: pytest benchmarks/bench_ewald.py --benchmark-json out.json

Energy, and energy with forces, of water boxes; the error of the forces against tight parameters is in extra_info.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _systems import water

from pyff import ops

CASES = {"damped": {"kind": "damped", "length": 4.0}, "point": {"kind": "point", "cutoff": 9.0}}
SIZES = (999, 5001, 15003)


def system(n):
    atoms = water(n)
    charges = torch.tensor(np.where(atoms.numbers == 8, -0.68, 0.34))
    return torch.tensor(atoms.positions), torch.tensor(atoms.cell.array)[None], torch.zeros(n).long(), charges


def forces(pos, cell, batch, charges, **options):
    pos = pos.clone().requires_grad_()
    return -torch.autograd.grad(ops.ewald_energy(pos, cell, batch, charges, **options).sum(), pos)[0]


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("level", ["energy", "forces"])
@pytest.mark.parametrize("method", ["ewald", "pme"])
@pytest.mark.parametrize("case", CASES)
def test_electrostatics(benchmark, case, method, level, n):
    if method == "ewald" and n == SIZES[-1]:
        pytest.skip("seconds")
    arguments, options = system(n), {**CASES[case], "method": method}
    if case == "point":
        pairs = ops.neighbor_list(arguments[0], arguments[1], torch.ones(1, 3, dtype=torch.bool), 9.0)
        options["pairs"] = pairs  # a list is made once in a while
    run = (
        (lambda: ops.ewald_energy(*arguments, **options))
        if level == "energy"
        else lambda: forces(*arguments, **options)
    )
    if level == "forces":
        tight = {**options, "method": "pme", "accuracy": 1e-8}
        exact, got = forces(*arguments, **tight), forces(*arguments, **options)
        benchmark.extra_info["force_error"] = float((got - exact).norm() / exact.norm())
    benchmark.extra_info["threads"] = torch.get_num_threads()
    benchmark.pedantic(run, rounds=10, warmup_rounds=2)
