"""Predictions of GDML models by pyff and by sGDML, interleaved in one process, with the largest difference beside them.

    pip install 'numpy<2.4' sgdml            # in an environment of their own
    python benchmarks/compare_sgdml.py --threads 1 --json benchmarks/results/MACHINE/sgdml.json

One model file for both: 1000 training points, 6 permutations, random coefficients (the cost does not depend on them),
given in numpy arrays and returned in numpy arrays. sGDML runs as it comes, after its own tuning (`prepare_parallel`),
and without worker processes at the chunk size that is fastest, which its tuning does not find; the fastest counts. A
turn is 20 ms of calls one after the other, as in dynamics: what a turn finds in the caches is its own.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import numpy as np
import torch
from _results import write_results
from _systems import molecule
from _timing import interleaved
from ase import Atoms
from ase.build import molecule as small_molecule

from pyff import ops
from pyff.models.gdml import GDML
from pyff.models.gdml.model import GDMLConfig
from pyff.models.gdml.sgdml_file import arrays_of_model

# per molecule: three hydrogens of a methyl group, and a pair that a mirror exchanges with them
CASES = {
    "ethanol, 9 atoms": (small_molecule("CH3CH2OH"), [6, 7, 8], [4, 5]),
    "aspirin, 21 atoms": (molecule(), [13, 14, 15], []),
}

CHUNKS = (25, 50, 100, 200, 500)  # training points that sgdml takes at once


def permutations(n_atoms: int, three: list[int], two: list[int]) -> np.ndarray:
    """The six exchanges of the group's hydrogens."""
    out = []
    for turn in range(3):
        for mirrored in (False, True):
            p = np.arange(n_atoms)
            order = np.roll(three, turn)
            p[three] = order[::-1] if mirrored else order
            if mirrored and two:
                p[two] = two[::-1]
            out.append(p)
    return np.array(out)


def frames(atoms: Atoms, count: int, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(count, len(atoms), 3))
    return atoms.positions + 0.05 * noise


def gdml_model(atoms: Atoms, three: list[int], two: list[int], n_train: int = 1000) -> GDML:
    x = ops.inverse_distances(torch.from_numpy(frames(atoms, n_train, seed=0)))[0]
    coef = 1e-2 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    perms = torch.from_numpy(permutations(len(atoms), three, two))
    return GDML(GDMLConfig(sigma=20.0), atoms.numbers, train=x, coef=coef, perms=perms)


def rivals(arrays: dict, flat: np.ndarray, threads: int) -> dict:
    """sGDML's predictor as it comes, tuned for batches of this size by itself, and at its fastest chunk size."""
    if not hasattr(np, "in1d"):
        np.in1d = np.isin  # sgdml 1.0.3 with numpy 2.4
    from sgdml.predict import GDMLPredict

    untuned, tuned = (GDMLPredict(arrays, max_processes=threads) for _ in range(2))
    tuned.prepare_parallel(n_bulk=len(flat))
    chunked = {size: GDMLPredict(arrays, max_processes=threads) for size in CHUNKS}
    for size, peer in chunked.items():
        peer._set_num_workers(0)
        peer._set_chunk_size(size)
    times = interleaved(
        {size: lambda peer=peer: peer.predict(flat) for size, peer in chunked.items()}, 10, block_ms=20.0
    )
    best = min(CHUNKS, key=lambda size: times[size]["median_ms"])
    return {"sgdml": untuned, "sgdml tuned": tuned, f"sgdml, chunks of {best}": chunked[best]}


def compare(title: str, batch: int, threads: int, rounds: int) -> dict:
    model = gdml_model(*CASES[title])
    atoms = CASES[title][0]
    pos = frames(atoms, batch, seed=1)

    def ours():
        energy, forces = model.predict(torch.from_numpy(pos))
        return energy.numpy(), forces.numpy()

    flat = pos.reshape(batch, -1)
    peers = rivals({"type": "m", **arrays_of_model(model)}, flat, threads)
    calls = {name: (lambda peer=peer: peer.predict(flat)) for name, peer in peers.items()} | {"pyff": ours}
    times = interleaved(calls, rounds, block_ms=20.0)
    energy, forces = ours()
    other_energy, other_forces = calls["sgdml"]()
    best = min(peers, key=lambda name: times[name]["median_ms"])
    n_pairs = model.points.shape[1]
    flops = 8 * batch * model.perms.shape[0] * model.n_train * n_pairs
    return {
        "case": title, "batch": batch, "threads": threads, **times, "rival": best,
        "ratio": times[best]["median_ms"] / times["pyff"]["median_ms"],
        "ratio_of_minima": times[best]["min_ms"] / times["pyff"]["min_ms"],
        "gflops": flops / times["pyff"]["min_ms"] / 1e6,
        "energy_error": float(np.abs(energy - np.ravel(other_energy)).max() / np.abs(energy).max()),
        "force_error": float(np.abs(forces.reshape(batch, -1) - other_forces).max() / np.abs(forces).max()),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    logging.disable(logging.CRITICAL)
    rows = []
    for title in CASES:
        for batch in (1, 100):
            row = compare(title, batch, args.threads, args.rounds if batch > 1 else 4 * args.rounds)
            rows.append(row)
            print(f"{title:18s} batch {batch:3d}   {row['rival']:20s} {row[row['rival']]['median_ms']:9.3f} ms   pyff "
                  f"{row['pyff']['median_ms']:8.3f} ms   ratio {row['ratio']:5.1f} (of minima "
                  f"{row['ratio_of_minima']:5.1f})   {row['gflops']:5.1f} GFLOP/s   largest difference: energy "
                  f"{row['energy_error']:.0e}, force {row['force_error']:.0e}", flush=True)  # fmt: skip
    if args.json:
        write_results(args.json, rows, threads=args.threads, packages=("torch", "numpy", "sgdml"))


if __name__ == "__main__":
    main()
