"""Distances between all rows of an array, of the size of Coulomb matrices: ours, scipy's, torch's.

python benchmarks/bench_distance_matrix.py [rows]       one thread: OMP_NUM_THREADS=1
"""

from __future__ import annotations

import sys
import time

import torch
from scipy.spatial.distance import cdist

from pyff import ops

F = 276


def best(run, repeats: int = 5) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def main(n: int) -> None:
    x = torch.randn(n, F, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = x.clone()
    print(f"{n} rows of {F}, {torch.get_num_threads()} threads")
    for norm, p, name in (("l1", 1.0, "cityblock"), ("l2", 2.0, "euclidean")):
        rivals = {
            "pyff, x with itself": lambda norm=norm: ops.distance_matrix(x, norm=norm),
            "pyff, x with y": lambda norm=norm: ops.distance_matrix(x, y, norm),
            "scipy cdist": lambda name=name: torch.from_numpy(cdist(x.numpy(), y.numpy(), name)),
            "torch cdist": lambda p=p: torch.cdist(x, y, p=p),
        }
        want = rivals["scipy cdist"]()
        for label, run in rivals.items():
            error = float((run() - want).abs().max() / want.max())
            seconds = best(run)
            print(f"{norm}  {label:<20} {seconds:7.3f} s  {n * n * F / seconds * 1e-9:6.2f} Gterm/s  error {error:.0e}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3000)
