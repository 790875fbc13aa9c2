"""Predictions of kernel force fields: dense blocks of the kernel matrix, forward-over-reverse products, native kernels.

python benchmarks/bench_ad_gdml.py [training points]       one thread: OMP_NUM_THREADS=1
"""

from __future__ import annotations

import sys
import time
from functools import partial

import torch

from pyff import ops
from pyff.models.gdml.ad import DescriptorKernel, PairKernel, inverse_distances
from pyff.models.gdml.radial import radial_profile

N_QUERIES = 10
KERNEL = ops.GdmlKernel(10.0)


def described(pos):
    return inverse_distances(pos)


def matern(r, other):
    return radial_profile((described(r) - described(other)).square().sum(), KERNEL)


def best(run, repeats: int = 3) -> float:
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times) / N_QUERIES


def systems(points: int):
    """Name, training geometries, queries and weights; what the atoms are does not matter."""
    for name, n in (("ethanol", 9), ("aspirin", 21)):
        gen = torch.Generator().manual_seed(0)
        grid = torch.cartesian_prod(*[torch.arange(3.0, dtype=torch.float64)] * 3)[:n] * 1.4
        draw = lambda m, n=n, gen=gen: torch.randn(m, n, 3, generator=gen, dtype=torch.float64)  # noqa: E731
        yield name, grid + 0.1 * draw(points), grid + 0.1 * draw(N_QUERIES), draw(points)


def compare(name: str, train, query, weights) -> None:
    kernels = {
        "function of two geometries": PairKernel(matern),
        "descriptor": DescriptorKernel(described, KERNEL),
        "native": DescriptorKernel(inverse_distances, KERNEL),
    }
    want = kernels["native"].expansion(train, weights)(query)[1]
    for label, kernel in kernels.items():
        evaluate = kernel.expansion(train, weights)
        error = float((evaluate(query)[1] - want).abs().max() / want.abs().max())
        contracted = best(partial(evaluate, query))
        dense = best(partial(multiplied, kernel, query, train, weights), 1)
        print(f"{name:<8} {label:<28} dense {dense:9.3f}   contracted {contracted:9.4f}   error {error:.0e}")


def multiplied(kernel, query, train, weights):
    return kernel.matrix(query, train) @ weights.reshape(-1)


if __name__ == "__main__":
    POINTS = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    print(f"{POINTS} training points, {N_QUERIES} queries, {torch.get_num_threads()} threads; ms per geometry")
    for system in systems(POINTS):
        compare(*system)
