"""GDML kernels by themselves: sums over translations, products K v, blocks of the matrix, on one instruction set.

    python benchmarks/bench_gdml_product.py --json benchmarks/results/MACHINE/gdml_product.json
    PYFF_ISA=avx2 python benchmarks/bench_gdml_product.py --skip-crystals

Translations: energies and forces of one geometry, or of 16, from 100 training points with the space group of the
supercell, through Fourier transforms over its translations and, with the same operations shuffled, by the direct sum,
interleaved; the largest difference beside the ratio. GFLOP/s: 8 P D per pair of geometries for predictions and K v,
66 P N^2 for a block of the matrix, which is written to 5 MB that are there already. Times are the processor's, of a
call: medians of the ways that are compared, else the least.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from _results import write_results
from _timing import interleaved
from ase.build import bulk, graphene
from bench_gdml_matrix import SIZES, geometries
from compare_sgdml import CASES, frames, gdml_model, permutations

from pyff import _core, ops
from pyff.models.gdml.symmetry import supercell_group

KERNEL = ops.GdmlKernel(20.0)
CRYSTALS = {
    "graphene, 50 atoms": graphene(size=(5, 5, 1), vacuum=5.0),
    "fcc, 32 atoms": bulk("Cu", "fcc", cubic=True).repeat(2),
    "bcc, 54 atoms": bulk("Mo", "bcc", cubic=True).repeat(3),
    "fcc, 108 atoms": bulk("Cu", "fcc", cubic=True).repeat(3),
}
BATCHES = [("graphene, 50 atoms", 16), *((title, 1) for title in CRYSTALS)]
POINTS = 100  # training points of a crystal
GEOMETRIES = {"ethanol": 30, "aspirin": 12}  # whose matrix is of 5 MB: what a call does besides does not count


def crystal_row(title: str, batch: int, rounds: int) -> dict:
    """Both ways to sum over the operations of a crystal."""
    atoms, cell = CRYSTALS[title], torch.from_numpy(np.array(CRYSTALS[title].cell))
    x = ops.inverse_distances(torch.from_numpy(frames(atoms, POINTS, seed=0)), cell)[0]
    coef = 1e-2 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    perms = ops.descriptor_permutations(supercell_group(atoms).perms)
    shuffled = perms[torch.randperm(len(perms), generator=torch.Generator().manual_seed(0))]
    ways = {"direct": shuffled, "translations": perms}  # in another order nothing tells which are translations
    expansions = {name: ops.GdmlExpansion(x, coef, p, KERNEL) for name, p in ways.items()}
    pos = torch.from_numpy(frames(atoms, batch, seed=1))
    calls = {name: (lambda e=e: e.predict(pos, cell)[:2]) for name, e in expansions.items()}
    times = interleaved(calls, rounds, block_ms=20.0)
    (energy, forces), (other_energy, other_forces) = calls["translations"](), calls["direct"]()
    return {
        "kernel": "crystal", "case": title, "operations": len(perms), "batch": batch, **times,
        "ratio": times["direct"]["cpu_ms"] / times["translations"]["cpu_ms"],
        "ratio_of_minima": times["direct"]["min_ms"] / times["translations"]["min_ms"],
        "energy_error": relative(energy, other_energy), "force_error": relative(forces, other_forces),
    }  # fmt: skip


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    """Largest difference over the largest number."""
    return float((a - b).abs().max() / b.abs().max())


def kernel_calls(title: str) -> dict[str, tuple[Callable, float]]:
    """Calls of the kernels for a molecule, and their flop."""
    atoms, three, two = CASES[title]
    model = gdml_model(atoms, three, two)
    pos = torch.from_numpy(frames(atoms, 1000, seed=0))
    x, g = ops.inverse_distances(pos)
    perms = ops.descriptor_permutations(torch.from_numpy(permutations(len(atoms), three, two)))
    covariance = ops.GdmlCovariance(x, g, perms, KERNEL)
    v = torch.randn(covariance.size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    one = pos[:1].clone()
    product = 8.0 * len(perms) * x.shape[1] * len(x)
    return {
        "prediction of 1": (lambda: model.predict(one), product),
        "K v of 1000": (lambda: covariance(v), 1000 * product),
        "matrix": matrix_call(title.split(",")[0]),
    }


def matrix_call(molecule: str) -> tuple[Callable, float]:
    """A kernel matrix written to the same memory again, and its flop."""
    n, p, _ = SIZES[molecule]
    m = GEOMETRIES[molecule]
    pos, group = geometries(n, p, m)
    x, g = ops.inverse_distances(torch.from_numpy(pos))
    perms = ops.descriptor_permutations(torch.from_numpy(group))
    out = ops.gdml_matrix(x, g, x, g, perms, KERNEL)
    return lambda: ops.gdml_matrix(x, g, x, g, perms, KERNEL, out=out), 66.0 * p * n**2 * m**2


def kernel_rows(title: str, rounds: int) -> list[dict]:
    found = kernel_calls(title)
    times = interleaved({name: call for name, (call, _) in found.items()}, rounds, block_ms=20.0)
    rows = []
    for name, (_, flop) in found.items():
        row = {"kernel": name, "case": title, **times[name], "gflops": flop / times[name]["min_cpu_ms"] / 1e6}
        if name == "matrix":
            row["us_per_block"] = 1e3 * times[name]["min_cpu_ms"] / GEOMETRIES[title.split(",")[0]] ** 2
        rows.append(row)
    return rows


def show(row: dict) -> None:
    if row["kernel"] == "crystal":
        print(f"{row['case']:20s} {row['operations']:5d} operations, batch {row['batch']:2d}   direct "
              f"{row['direct']['cpu_ms']:8.2f} ms   translations {row['translations']['cpu_ms']:8.2f} ms   ratio "
              f"{row['ratio']:5.2f} (of least times {row['ratio_of_minima']:5.2f})   largest difference: energy "
              f"{row['energy_error']:.0e}, force {row['force_error']:.0e}", flush=True)  # fmt: skip
        return
    block = f"   {row['us_per_block']:.2f} us per block" if "us_per_block" in row else ""
    print(f"{row['case']:20s} {row['kernel']:20s} {row['min_cpu_ms']:9.3f} ms   {row['gflops']:5.1f} GFLOP/s{block}",
          flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--skip-crystals", action="store_true")
    parser.add_argument("--json", type=Path, help="file for the raw numbers")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"one thread, {_core.isa()}")
    rows = []
    for title in CASES:
        rows += kernel_rows(title, 6 * args.rounds)  # the least of many: what neighbours cost is not the kernel's
        for row in rows[-3:]:
            show(row)
    for title, batch in [] if args.skip_crystals else BATCHES:
        rows.append(crystal_row(title, batch, args.rounds))
        show(rows[-1])
    if args.json:
        write_results(args.json, rows, threads=1, packages=("torch", "numpy"))


if __name__ == "__main__":
    main()
