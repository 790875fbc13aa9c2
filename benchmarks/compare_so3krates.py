"""SO3krates on its kernels against the same model in plain torch, interleaved, with the error against float64.

    python benchmarks/compare_so3krates.py --threads 1 --json benchmarks/results/MACHINE/so3krates.json

A training step (energies and forces in the loss) and energies with forces, on molecules of 21 atoms; 3 layers, 5 A,
the paper's widths (F = 132, l = 1..3) and SO3LR's (F = 128, l = 1..4), float32. Plain torch: the twins of all ops,
radial filters by the network once per pair.
"""

from __future__ import annotations

import argparse
import itertools
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

import torch
from _results import write_results
from _systems import batch, molecule
from _timing import interleaved
from bench_schnet import training_step

from pyff import ops
from pyff.models.so3krates import SO3krates, SO3kratesConfig
from pyff.ops import reference

CASES = tuple((width, count) for width in ("F = 132", "F = 128") for count in (5, 10, 32))
TITLES = ("training step", "energy and forces")
WIDTHS = {"F = 132": {}, "F = 128": {"n_features": 128, "degrees": (1, 2, 3, 4)}}


def so3krates(filters: str, width: str = "F = 132") -> SO3krates:
    torch.manual_seed(0)
    model = SO3krates(SO3kratesConfig(**WIDTHS[width]), elements=(1, 6, 8))
    with torch.no_grad():  # a fresh model predicts zero
        torch.nn.init.normal_(model.readout.w2, std=0.1)
    model.filters = filters
    return model


@contextmanager
def plain_torch():
    """Every op is its twin."""
    with ExitStack() as stack:
        for name in ("equivariant_attention", "edge_geometry", "bias_activation", "radial_basis", "cutoff_function"):
            stack.enter_context(mock.patch.object(ops, name, getattr(reference, name)))
        yield


def calls(b, width: str) -> dict[str, dict]:
    """workload -> program -> call."""
    fast, plain = so3krates("auto", width), so3krates("exact", width)
    fast_step, plain_step = (training_step(so3krates(f, width), b) for f in ("auto", "exact"))

    def patched(function):
        def call():
            with plain_torch():
                return function()

        return call

    def infer(model):
        def call():
            with torch.no_grad():
                return model(b)

        return call

    return {
        "training step": {"plain torch": patched(plain_step), "pyff": fast_step},
        "energy and forces": {"plain torch": patched(infer(plain)), "pyff": infer(fast)},
    }


def errors(b, width: str) -> dict[str, float]:
    """float32 with tables against float64 with exact filters in plain torch: relative, forces over their RMS."""
    outputs = []
    for dtype, filters in ((torch.float32, "auto"), (torch.float64, "exact")):
        model = so3krates(filters, width).to(dtype)
        with plain_torch() if dtype == torch.float64 else mock.MagicMock():
            out = model(b)
            loss = (out.energy**2).mean() + ((out.forces - 0.1) ** 2).mean()
            gradients = torch.autograd.grad(loss, list(model.parameters()), materialize_grads=True)
        outputs.append((out.energy.detach(), out.forces.detach(), [g.double().flatten() for g in gradients]))
    (e, f, g), (e0, f0, g0) = outputs
    g, g0 = torch.cat(g), torch.cat(g0)
    return {
        "energy": float(((e - e0) / e0).abs().max()),
        "forces_over_rms": float((f - f0).abs().max() / f0.square().mean().sqrt()),
        "parameter_gradients": float((g - g0).norm() / g0.norm()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rows = []
    for (width, count), title in itertools.product(CASES, TITLES):
        b = batch([molecule(k) for k in range(count)])
        times = interleaved(calls(b, width)[title], args.rounds)
        ratio, error = times["plain torch"]["median_ms"] / times["pyff"]["median_ms"], errors(b, width)
        rows.append({"case": title, "width": width, "molecules": count, "edges": b.n_edges, "ratio": ratio, **times,
                     "error": error})  # fmt: skip
        print(f"{title:18s} {width} {count:3d} x 21   plain torch {times['plain torch']['median_ms']:8.1f} ms   "
              f"pyff {times['pyff']['median_ms']:7.1f} ms   ratio {ratio:5.1f}   errors "
              + "  ".join(f"{k} {v:.1e}" for k, v in error.items()))  # fmt: skip
    if args.json:
        write_results(args.json, rows, threads=args.threads, packages=("torch", "numpy"))


if __name__ == "__main__":
    main()
