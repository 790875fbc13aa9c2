"""GDML kernel matrices against sgdml's, interleaved in one process: time per block, ratio, error; training's two parts.

    python benchmarks/bench_gdml_matrix.py [--threads 1] [--rounds 7] [--json FILE]

Least times. sgdml (PyPI, 1.0.3) needs numpy < 2.4. It computes all M^2 blocks; so does `gdml_matrix` (`matrix_into`:
in memory that is there already), while training needs `gdml_gram`, its upper half. The floor is the longer of two: the
66 P N^2 flop of a block at the processor's peak, and its 72 N^2 bytes written as fast as numpy fills new memory.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from _results import write_results

from pyff import ops

KERNEL = ops.GdmlKernel(20.0)
SIZES = {"ethanol": (9, 6, 60), "aspirin": (21, 6, 20)}  # atoms, permutations, geometries


def geometries(n: int, p: int, m: int) -> tuple[np.ndarray, np.ndarray]:
    """m distorted copies of n atoms on a grid, and a cyclic group of order p."""
    grid = 1.5 * np.stack(np.meshgrid(*[np.arange(4.0)] * 3, indexing="ij"), -1).reshape(-1, 3)[:n]
    perms = np.tile(np.arange(n), (p, 1))
    for k in range(p):
        perms[k, :p] = np.roll(np.arange(p), k)
    return grid + 0.1 * np.random.default_rng(0).normal(size=(m, n, 3)), perms


def sgdml_call(pos: np.ndarray, perms: np.ndarray) -> Callable[[], np.ndarray]:
    from sgdml.train import GDMLTrain
    from sgdml.utils.desc import Desc

    if not hasattr(sgdml_call, "train"):  # there can be only one
        sgdml_call.train = GDMLTrain(max_processes=1)
    desc = Desc(pos.shape[1], max_processes=1)
    x, jacobian = desc.from_R(pos)
    entries = np.stack([desc.perm(perm) for perm in perms])
    linear = (entries + np.arange(len(perms))[:, None] * x.shape[1]).flatten("F")
    return lambda: sgdml_call.train._assemble_kernel_mat(x, jacobian, linear, int(KERNEL.sigma), desc)


def pyff_calls(pos: np.ndarray, perms: np.ndarray) -> dict[str, Callable[[], torch.Tensor]]:
    x, g = ops.inverse_distances(torch.from_numpy(pos))
    p = ops.descriptor_permutations(torch.from_numpy(perms))
    every_tenth = torch.arange(0, 3 * pos.shape[1] * len(pos), 10)
    old = ops.gdml_matrix(x, g, x, g, p, KERNEL)
    return {
        "matrix": lambda: ops.gdml_matrix(x, g, x, g, p, KERNEL),
        "matrix_into": lambda: ops.gdml_matrix(x, g, x, g, p, KERNEL, out=old),
        "gram": lambda: ops.gdml_gram(x, g, p, KERNEL),
        "columns": lambda: ops.gdml_columns(x, g, x, g, p, KERNEL, every_tenth),
    }


def time_interleaved(calls: dict[str, Callable], rounds: int) -> dict[str, float]:
    """Least seconds per call; A B C A B C ..., after a warm-up call each. Short calls are repeated to 5 ms."""
    samples: dict[str, list[float]] = {name: [] for name in calls}
    repeats = {}
    for name, call in calls.items():
        call()
        start = time.perf_counter()
        call()
        repeats[name] = max(1, int(0.005 / (time.perf_counter() - start)))
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            for _ in range(repeats[name]):
                call()
            samples[name].append((time.perf_counter() - start) / repeats[name])
    return {name: min(values) for name, values in samples.items()}


def peak_flop_per_second() -> float:
    """Of one core, by the best of several products of matrices that fit into L2."""
    a = torch.randn(200, 200, dtype=torch.float64)
    before, best = torch.get_num_threads(), float("inf")
    torch.set_num_threads(1)
    for _ in range(20):
        start = time.perf_counter()
        for _ in range(20):
            torch.mm(a, a)
        best = min(best, time.perf_counter() - start)
    torch.set_num_threads(before)
    return 20 * 2 * 200**3 / best


def write_bytes_per_second(n: int) -> float:
    best = float("inf")
    for _ in range(10):
        start = time.perf_counter()
        np.empty(n // 8).fill(1.0)
        best = min(best, time.perf_counter() - start)
    return n / best


def compare(name: str, rounds: int, rival: bool) -> dict:
    n, p, m = SIZES[name]
    pos, perms = geometries(n, p, m)
    calls: dict[str, Callable] = pyff_calls(pos, perms)
    result = {"molecule": name, "atoms": n, "permutations": p, "geometries": m}
    if rival:
        calls["sgdml"] = sgdml_call(pos, perms)
        want = -torch.from_numpy(np.array(calls["sgdml"]()))
        result["error"] = float((calls["matrix"]() - want).abs().max() / want.abs().max())
    seconds = time_interleaved(calls, rounds)
    flop = 66 * p * n**2 * m**2 / peak_flop_per_second()
    floor = max(flop, 72 * n**2 * m**2 / write_bytes_per_second(72 * n**2 * m**2))
    result |= {f"{key}_us_per_block": 1e6 * value / m**2 for key, value in {**seconds, "floor": floor}.items()}
    if rival:
        result |= {f"{key}_ratio": seconds["sgdml"] / seconds[key] for key in ("matrix", "matrix_into", "gram")}
    return result


def training(n: int, p: int, m: int) -> dict:
    """Seconds of the two parts of closed-form training: the matrix, and Cholesky in its place."""
    pos, perms = geometries(n, p, m)
    x, g = ops.inverse_distances(torch.from_numpy(pos))
    start = time.perf_counter()
    k = ops.gdml_gram(x, g, ops.descriptor_permutations(torch.from_numpy(perms)), KERNEL)
    assembled = time.perf_counter()
    k.diagonal().add_(1e-10)
    torch.linalg.cholesky_ex(k.T, out=(k.T, torch.empty((), dtype=torch.int32)))
    return {"rows": len(k), "assembly_s": assembled - start, "cholesky_s": time.perf_counter() - assembled}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", help="file for the raw numbers")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    try:
        import sgdml  # noqa: F401

        rival = True
    except ImportError:
        rival = False
        print("sgdml is not installed; no ratios")
    results = [compare(name, options.rounds, rival) for name in SIZES]
    trainings = [{"molecule": name, **training(n, p, 200)} for name, (n, p, _) in SIZES.items()]
    for row in results + trainings:
        print(
            "  ".join(
                f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items()
            )
        )
    if options.json:
        write_results(options.json, results + trainings, threads=options.threads, packages=("torch", "numpy", "sgdml"))


if __name__ == "__main__":
    main()
