"""CUDA kernels on a GPU: python benchmarks/bench_cuda.py [--json out.json]

Times of the neighbor list, of cfconv and equivariant attention (forward; forward and forces; and a whole force-training
backward) and of pair energies (forward; forward and forces), with the error against the CPU's float64 result beside
each. Device time by CUDA events around a call: median, minimum and number of repeats after a warm-up, and the peak
memory of a call. The neighbor list waits for the GPU once per call, so its time is by the wall clock.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch
from _results import write_results
from _systems import water

from pyff import ops
from pyff.batch import PairList
from pyff.ops import _cuda

F, G, CUTOFF, INTERVALS, REPEATS = 128, 20, 5.0, 95, 30
SHAPE = ops.FilterShape(ops.GaussianBasis(0.0, CUTOFF / (G - 1), 7.22, G), ops.Cutoff("cosine", CUTOFF))


def water_tensors(n: int):
    atoms = water(n)
    return torch.from_numpy(atoms.positions), torch.from_numpy(atoms.cell.array), torch.from_numpy(atoms.pbc)


def timed(call, synchronous: bool) -> dict:
    """ms per call: median, minimum; MiB: peak memory beyond what was there before."""
    for _ in range(5):
        call()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    times = []
    for _ in range(REPEATS):
        if synchronous:
            start = time.perf_counter()
            call()
            torch.cuda.synchronize()
            times.append(1e3 * (time.perf_counter() - start))
            continue
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        call()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    peak = (torch.cuda.max_memory_allocated() - before) / 2**20
    return {"median_ms": statistics.median(times), "min_ms": min(times), "repeats": REPEATS, "peak_MiB": peak}


def relative_error(got: torch.Tensor, want: torch.Tensor) -> float:
    want = want.detach().double()
    return float((got.detach().cpu().double() - want).abs().max() / want.abs().max())


def convolution(kind: str, graph, distance: torch.Tensor, dtype: torch.dtype, device: str):
    """(function of nothing that runs the op, leaves for forces, parameters)."""
    generator = torch.Generator().manual_seed(1)
    draw = lambda *s: torch.randn(*s, generator=generator, dtype=torch.float64).to(device, dtype).requires_grad_()  # noqa: E731
    h = draw(graph.row_ptr.shape[0] - 1, F)
    d = distance.to(device).requires_grad_()
    edges = tuple(x.to(device) for x in (graph.row_ptr, graph.idx_i, graph.idx_j, graph.edge_rev))
    if kind == "cfconv_table":
        coef = draw(INTERVALS, 6, F)
        return lambda: ops.cfconv_table(h, d, coef, *edges, 0.0, CUTOFF / INTERVALS), (h, d), (coef,)
    weights = (draw(F, G), draw(F), draw(F, F), draw(F))
    return lambda: ops.cfconv(h, d, weights, *edges, SHAPE), (h, d), weights


def levels(op, leaves, parameters) -> dict:
    """Closures that return the tensor whose error is reported: y, forces, gradient of a force loss."""

    def forces():
        return torch.autograd.grad(op().square().sum(), leaves)[1]

    def training():
        grads = torch.autograd.grad(op().square().sum(), leaves, create_graph=True)
        return torch.autograd.grad(grads[1].square().sum(), parameters)[0]

    return {"forward": op, "forces": forces, "training": training}


def attention(spherical: bool, graph, vectors: torch.Tensor, dtype: torch.dtype, device: str):
    """As convolution(), of a layer in the size of SO3LR with tabulated radial filters."""
    generator = torch.Generator().manual_seed(1)
    draw = lambda *s: torch.randn(*s, generator=generator, dtype=torch.float64).to(device, dtype).requires_grad_()  # noqa: E731
    n, hidden, degrees = graph.row_ptr.shape[0] - 1, F // 4, (1, 2, 3, 4)
    shape = ops.AttentionShape(degrees, 4, ops.Cutoff("cosine", CUTOFF), 13.0)
    features, coef = tuple(draw(n, F) for _ in range(5)), draw(INTERVALS, 6, 2 * F)
    weights = (draw(2, hidden, len(degrees)), draw(2, hidden), draw(2, F, hidden), draw(2, F))
    ev = draw(n, shape.n_components)
    vec = vectors.to(device).requires_grad_()
    edges = tuple(x.to(device) for x in (graph.row_ptr, graph.idx_i, graph.idx_j, graph.edge_rev))
    table = (0.0, CUTOFF / INTERVALS, 0.0)
    inputs = (features, ev, coef, weights) if spherical else (features, None, coef, None)
    op = lambda: torch.cat(ops.equivariant_attention(*inputs, vec, *edges, shape, table=table), 1)  # noqa: E731
    return op, (features[0], vec), (coef, *weights) if spherical else (coef,)


def pair_energies(law: str, cutoff: float, atoms: tuple, pairs: PairList, device: str):
    """(function of nothing that runs the op, its positions)."""
    generator = torch.Generator().manual_seed(1)
    pos, cell, _pbc = (x.to(device) for x in atoms)
    pos = pos.clone().requires_grad_()
    batch = torch.zeros(len(pos), dtype=torch.int64, device=device)
    pairs = pairs.to(device)
    first, second = ((torch.rand(len(pos), generator=generator, dtype=torch.float64) + 0.5).to(device) for _ in "ab")
    if law == "dispersion":
        return lambda: ops.dispersion_energy(pos, cell[None], batch, pairs, first, second, cutoff=cutoff), pos
    return lambda: ops.coulomb_energy(pos, cell[None], batch, pairs, first, length=4.0, cutoff=cutoff), pos


def bench_neighbor_list(n: int) -> dict:
    pos, cell, pbc = water_tensors(n)
    want = ops.neighbor_list(pos, cell, pbc, CUTOFF)
    on_gpu = [x.cuda() for x in (pos, cell, pbc)]
    got = ops.neighbor_list(*on_gpu, CUTOFF)
    exact = torch.equal(got.row_ptr.cpu(), want.row_ptr)
    row = timed(lambda: ops.neighbor_list(*on_gpu, CUTOFF), synchronous=True)
    return {"op": "neighbor_list", "atoms": len(pos), "edges": len(want.idx_i), "rows_equal_cpu": exact, **row}


def bench_cfconv(kind: str, n: int, dtype: torch.dtype) -> list[dict]:
    pos, cell, pbc = water_tensors(n)
    graph = ops.neighbor_list(pos, cell, pbc, CUTOFF)
    vectors = pos[graph.idx_j] - pos[graph.idx_i] + graph.shift.double() @ cell
    distance = vectors.norm(dim=1)
    reference = levels(*convolution(kind, graph, distance, torch.float64, "cpu"))
    rows = []
    for level, call in levels(*convolution(kind, graph, distance, dtype, "cuda")).items():
        row = {"op": kind, "level": level, "dtype": str(dtype), "atoms": len(pos), "edges": len(distance)}
        rows.append(row | {"error": relative_error(call(), reference[level]()), **timed(call, synchronous=False)})
    return rows


def bench_attention(spherical: bool, n: int, dtype: torch.dtype) -> list[dict]:
    pos, cell, pbc = water_tensors(n)
    graph = ops.neighbor_list(pos, cell, pbc, CUTOFF)
    vectors = pos[graph.idx_j] - pos[graph.idx_i] + graph.shift.double() @ cell
    reference = levels(*attention(spherical, graph, vectors, torch.float64, "cpu"))
    rows = []
    for level, call in levels(*attention(spherical, graph, vectors, dtype, "cuda")).items():
        row = {"op": "equivariant_attention", "spherical": spherical, "level": level, "dtype": str(dtype)}
        row |= {"atoms": len(pos), "edges": len(vectors), "error": relative_error(call(), reference[level]())}
        rows.append(row | timed(call, synchronous=False))
    return rows


def bench_pair_energy(law: str, n: int, cutoff: float) -> list[dict]:
    atoms = water_tensors(n)
    graph = ops.neighbor_list(*atoms, cutoff)
    pairs = PairList(graph.row_ptr, graph.idx_j, graph.shift)
    rows = []
    (want, at_cpu), (call, at_gpu) = (pair_energies(law, cutoff, atoms, pairs, device) for device in ("cpu", "cuda"))
    forces = lambda op, pos: torch.autograd.grad(op().sum(), pos)[0]  # noqa: E731
    for level, reference, run in (
        ("forward", want, call),
        ("forces", lambda: forces(want, at_cpu), lambda: forces(call, at_gpu)),
    ):
        row = {"op": law, "level": level, "atoms": len(atoms[0]), "pairs": len(pairs.idx_j)}
        rows.append(row | {"error": relative_error(run(), reference()), **timed(run, synchronous=False)})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if not torch.cuda.is_available() or not _cuda.is_live():
        sys.exit(f"nothing to measure: torch.cuda.is_available() is {torch.cuda.is_available()}, {_cuda.status()}")
    rows = [bench_neighbor_list(n) for n in (1000, 8000, 125_000, 1_000_000)]
    for n in (1000, 8000):
        for kind in ("cfconv_table", "cfconv"):
            for dtype in (torch.float32, torch.float64):
                rows += bench_cfconv(kind, n, dtype)
        for spherical in (True, False):
            for dtype in (torch.float32, torch.float64):
                rows += bench_attention(spherical, n, dtype)
        for law in ("damped Coulomb", "dispersion"):
            rows += bench_pair_energy(law, n, 12.0)
    for row in rows:
        print("  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))
    if args.json:
        about = {"gpu": torch.cuda.get_device_name(), "status": _cuda.status(), "cuda": torch.version.cuda}
        write_results(args.json, rows, threads=torch.get_num_threads(), packages=("torch",), **about)


if __name__ == "__main__":
    main()
