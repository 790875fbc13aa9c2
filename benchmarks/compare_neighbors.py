"""pyff.neighbor_list against vesin and matscipy, interleaved in one process: median, minimum, ratio.

    python benchmarks/compare_neighbors.py [--threads 1] [--sizes 999,9999,99999] [--json FILE]

Each call makes new arrays: full list sorted by i, cutoff 5 A, i, j, S, D and d. The number of pairs of every program
is checked against pyff's.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

CUTOFF = 5.0
SECONDS_PER_PROGRAM = 3.0


def pyff_call(atoms) -> Callable[[], int]:
    from pyff import neighbor_list

    args = {"positions": atoms.positions, "cell": atoms.cell.array, "pbc": atoms.pbc, "cutoff": CUTOFF}
    return lambda: len(neighbor_list("ijSDd", **args)[0])


def vesin_call(atoms, threads: int) -> Callable[[], int]:
    from vesin import NeighborList

    nl = NeighborList(cutoff=CUTOFF, full_list=True, sorted=True, n_threads=threads)
    args = {"points": atoms.positions, "box": atoms.cell.array, "periodic": bool(atoms.pbc.all())}
    return lambda: len(nl.compute(quantities="ijSDd", **args)[0])


def matscipy_call(atoms) -> Callable[[], int]:
    import numpy as np
    from matscipy.neighbours import neighbour_list

    lo, hi = atoms.positions.min(0) - 1.0, atoms.positions.max(0) + 1.0
    box = {"cell": atoms.cell.array} if atoms.pbc.all() else {"cell": np.diag(hi - lo), "cell_origin": lo}
    args = {"positions": atoms.positions, "pbc": atoms.pbc, "cutoff": CUTOFF, **box}
    return lambda: len(neighbour_list("ijSDd", **args)[0])


def time_interleaved(calls: dict[str, Callable], rounds: int = 25) -> dict[str, list[float]]:
    """Seconds per call; A B C A B C ..., after two warm-up calls each."""
    inner, samples = {}, {name: [] for name in calls}
    for name, call in calls.items():
        call()
        start = time.perf_counter()
        call()
        inner[name] = max(1, int(2e-3 / (time.perf_counter() - start)))
    for _ in range(rounds):
        for name, call in calls.items():
            if sum(samples[name]) * inner[name] > SECONDS_PER_PROGRAM and len(samples[name]) >= 3:
                continue
            start = time.perf_counter()
            for _ in range(inner[name]):
                call()
            samples[name].append((time.perf_counter() - start) / inner[name])
    return samples


def compare(case: str, atoms, threads: int) -> list[dict]:
    calls = {"pyff": pyff_call(atoms)}
    for name, make in (
        ("vesin sorted", lambda: vesin_call(atoms, threads)),
        ("matscipy", lambda: matscipy_call(atoms)),
    ):
        try:
            calls[name] = make()
        except ImportError as e:
            print(f"skipped {name}: {e}")
    pairs = {name: call() for name, call in calls.items()}
    samples = time_interleaved(calls)
    own = statistics.median(samples["pyff"])
    rows = []
    for name, seconds in samples.items():
        median = statistics.median(seconds)
        rows.append({
            "case": case, "program": name, "threads": threads, "pairs": pairs[name], "median_ms": median * 1e3,
            "min_ms": min(seconds) * 1e3, "ns_per_pair": median * 1e9 / max(1, pairs[name]), "ratio": median / own,
        })  # fmt: skip
        wrong = "" if pairs[name] == pairs["pyff"] else "  DIFFERENT NUMBER OF PAIRS"
        print(
            f"{case:14s} {name:14s} {threads} thr {median * 1e3:10.4f} ms (min {min(seconds) * 1e3:.4f}) "
            f"{rows[-1]['ns_per_pair']:8.2f} ns/pair  {rows[-1]['ratio']:6.2f} x{wrong}",
            flush=True,
        )
    return rows


def child(args) -> None:
    import _systems as systems

    cases = [("molecule 21", systems.molecule()), ("skewed 12", systems.skewed()), ("water 99", systems.water(99))]
    cases += [(f"water {n}", systems.water(n)) for n in map(int, args.sizes.split(","))]
    rows = [row for case, atoms in cases for row in compare(case, atoms, args.child)]
    if args.json:
        from _results import write_results  # imports pyff, whose thread count must be set before

        packages = ("numpy", "ase", "vesin", "matscipy")
        write_results(args.json, rows, threads=args.child, packages=packages)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sizes", default="999,9999,99999")
    parser.add_argument("--json")
    parser.add_argument("--child", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        return child(args)
    # thread counts are read when the libraries are loaded
    env = os.environ | {"OMP_NUM_THREADS": str(args.threads)}
    subprocess.run([sys.executable, *sys.argv, "--child", str(args.threads)], env=env, check=True)


if __name__ == "__main__":
    main()
