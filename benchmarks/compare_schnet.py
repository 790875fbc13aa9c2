"""SchNet of pyff against SchNetPack, interleaved in one process, with pyff's error against float64.

    pip install --no-deps schnetpack          # and what it asks for when imported
    python benchmarks/compare_schnet.py --threads 1 --json benchmarks/results/MACHINE/schnet.json

Workloads: a training step (energies and forces in the loss) on 32 molecules of 21 atoms; energies and forces of 999
atoms of water. F = 128, 3 interactions, 20 Gaussians, 5 A, float32. Both programs get their neighbor lists ready-made.
"""

from __future__ import annotations

import argparse
import typing
from pathlib import Path

import torch
from _results import write_results
from _systems import workloads
from _timing import interleaved
from bench_schnet import schnet, training_step


def schnetpack_model():
    import torch.utils.data.dataloader as loader

    if not hasattr(loader, "T_co"):  # SchNetPack 2.1 imports a private name that newer torch has not
        loader.T_co = typing.TypeVar("T_co")
    import schnetpack as spk

    representation = spk.representation.SchNet(
        n_atom_basis=128, n_interactions=3, cutoff_fn=spk.nn.CosineCutoff(5.0),
        radial_basis=spk.nn.GaussianRBF(n_rbf=20, cutoff=5.0),
    )  # fmt: skip
    atomistic = spk.atomistic
    return spk.model.NeuralNetworkPotential(
        representation=representation,
        input_modules=[atomistic.PairwiseDistances()],
        output_modules=[atomistic.Atomwise(n_in=128, output_key="energy"), atomistic.Forces(force_key="forces")],
    )


def schnetpack_inputs(b):
    from schnetpack import properties as key

    offsets = torch.einsum("ea,eab->eb", b.shift.double(), b.cell[b.batch[b.idx_i]]).float()
    return lambda: {
        key.Z: b.Z, key.R: b.pos.float(), key.idx_i: b.idx_i, key.idx_j: b.idx_j, key.offsets: offsets,
        key.idx_m: b.batch, key.n_atoms: b.ptr[1:] - b.ptr[:-1], key.cell: b.cell.float(),
    }  # fmt: skip


def schnetpack_calls(b):
    model, inputs = schnetpack_model(), schnetpack_inputs(b)
    optimizer = torch.optim.Adam(model.parameters(), 1e-4)

    def step():
        model.train()
        out = model(inputs())
        loss = (out["energy"] ** 2).mean() + (out["forces"] ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return lambda: model.eval()(inputs()), step


def pyff_calls(b):
    model = schnet("auto")
    step = training_step(schnet("auto"), b)

    def infer():
        with torch.no_grad():
            return model(b)

    return infer, step


def errors(b) -> dict[str, float]:
    """Relative errors of float32 against float64 with exact filters, the same weights."""
    outputs = []
    for dtype, filters in ((torch.float32, "auto"), (torch.float64, "exact")):
        model = schnet(filters).to(dtype)
        out = model(b)
        loss = (out.energy**2).mean() + ((out.forces - 0.1) ** 2).mean()
        grads = torch.autograd.grad(loss, list(model.parameters()))
        outputs.append((out.energy.detach(), out.forces.detach(), [g.double() for g in grads]))
    (e, f, g), (e0, f0, g0) = outputs
    return {
        "energy": float(((e - e0) / e0).abs().max()),
        "forces_over_rms": float((f - f0).abs().max() / f0.square().mean().sqrt()),
        "parameter_gradients": max(float((a - b).norm() / b.norm()) for a, b in zip(g, g0)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    graphs = workloads()
    rows = []
    for title, workload, which in (("training step", "32x21", 1), ("energy and forces", "water999", 0),
                                   ("energy and forces", "32x21", 0), ("training step", "water999", 1)):  # fmt: skip
        b = graphs[workload]
        times = interleaved({"schnetpack": schnetpack_calls(b)[which], "pyff": pyff_calls(b)[which]}, args.rounds)
        ratio = times["schnetpack"]["median_ms"] / times["pyff"]["median_ms"]
        rows.append({"case": title, "workload": workload, "edges": b.n_edges, "ratio": ratio, **times,
                     "error": errors(b)})  # fmt: skip
        print(f"{title:18s} {workload:9s} schnetpack {times['schnetpack']['median_ms']:8.1f} ms   "
              f"pyff {times['pyff']['median_ms']:7.1f} ms   ratio {ratio:5.1f}   errors "
              + "  ".join(f"{k} {v:.1e}" for k, v in rows[-1]["error"].items()))  # fmt: skip
    if args.json:
        write_results(args.json, rows, threads=args.threads, packages=("torch", "numpy", "schnetpack"))


if __name__ == "__main__":
    main()
