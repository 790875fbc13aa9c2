"""Predictions of sGDML's model files: pyff against sgdml, both against long double, and the time of a prediction.

    python benchmarks/compare_sgdml_models.py MODEL.npz FRAMES.npz [MODEL.npz FRAMES.npz ...] --out sgdml.json

Needs sgdml (an environment of its own: sgdml 1.0.3 needs numpy below 2.4). FRAMES.npz holds R [M, N, 3]; the first 100
are predicted. Model files written by pyff from the arrays it has read must give sgdml the same bits.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("files", nargs="+")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--exact", type=int, default=5, help="frames that are also computed in long double")
parser.add_argument("--repeats", type=int, default=10)
parser.add_argument("--out")

FRAMES = 100


def exact(arrays: dict, r: np.ndarray) -> tuple[np.longdouble, np.ndarray]:
    """Energy and forces of one geometry of an open structure in long double."""
    real, n = np.longdouble, len(r)
    i, j = np.tril_indices(n, -1)
    d = len(i)
    v = r.astype(real)[i] - r.astype(real)[j]
    x = 1 / np.sqrt((v * v).sum(1))
    train, coef = arrays["R_desc"].T.astype(real), arrays["R_d_desc_alpha"].astype(real)
    s, std = real(float(arrays["sig"])), real(float(arrays.get("std", 1.0)))
    on_pairs = np.asarray(arrays["tril_perms_lin"]).reshape(d, -1).T % d
    f, energy = np.zeros(d, real), real(0)
    for perm in on_pairs:
        t, a = x - train[:, perm], coef[:, perm]
        length, dot = np.sqrt(5 * (t * t).sum(1)), (t * a).sum(1)
        e = np.exp(-length / s) * 5 / (3 * s**3)
        f += (5 * e * dot / s) @ t - (e * (length + s)) @ a
        energy += (e * (length + s) * dot).sum()
    forces = np.zeros((n, 3), real)
    np.add.at(forces, j, (x**3 * f)[:, None] * v)
    np.subtract.at(forces, i, (x**3 * f)[:, None] * v)
    return std * energy + real(float(arrays["c"])), std * forces


def interleaved(functions: dict, repeats: int) -> dict[str, float]:
    """Median seconds of a call, the functions taking turns."""
    times = {name: [] for name in functions}
    for k in range(repeats + 1):
        for name, call in functions.items():
            began = time.perf_counter()
            call()
            if k:
                times[name].append(time.perf_counter() - began)
    return {name: statistics.median(t) for name, t in times.items()}


def compare(model_path: str, frames_path: str, args) -> dict:
    import torch
    from sgdml.predict import GDMLPredict

    import pyff
    from pyff._npz import read_npz, write_npz
    from pyff.models.gdml.sgdml_file import arrays_of_model

    torch.set_num_threads(args.threads)
    R = read_npz(frames_path)["R"][:FRAMES].astype(float)
    flat, pos = R.reshape(len(R), -1), torch.from_numpy(R)
    model, arrays = pyff.load(model_path), read_npz(model_path)
    sgdml_reads = "R_desc" in arrays  # not the layouts of 2018, which are brought into today's
    if not sgdml_reads:
        now = arrays_of_model(model)
        arrays = {k: np.asarray(v) for k, v in now.items()} | {"type": np.array("m")}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "again.npz"
        write_npz(path, arrays)
        with np.load(path, allow_pickle=True) as again:
            copy = GDMLPredict(dict(again), max_processes=args.threads)
    theirs = GDMLPredict(arrays, max_processes=args.threads)
    E, F = theirs.predict(flat)
    # the same sum in another order: what sgdml itself can tell apart
    backwards = {k: arrays[k][:, ::-1] if k == "R_desc" else arrays[k][::-1] for k in ("R_desc", "R_d_desc_alpha")}
    E_again, F_again = GDMLPredict(arrays | backwards, max_processes=args.threads).predict(flat)
    e, f = (x.numpy() for x in model.predict(pos))
    f = f.reshape(len(R), -1)
    same_bits = all(np.array_equal(a, b) for a, b in zip(copy.predict(flat), (E, F)))
    largest = np.abs(F).max()
    truth = [exact(arrays, r) for r in R[: args.exact]]
    off = lambda energy, forces: [  # noqa: E731
        max(float(abs(energy[k] - t[0])) for k, t in enumerate(truth)),
        max(float(np.abs(forces[k] - t[1].ravel()).max()) for k, t in enumerate(truth)),
    ]
    one, one_pos = flat[:1], pos[:1]
    single = interleaved({"sgdml": lambda: theirs.predict(one), "pyff": lambda: model.predict(one_pos)}, 20)
    batch = interleaved({"sgdml": lambda: theirs.predict(flat), "pyff": lambda: model.predict(pos)}, args.repeats)
    return {
        "model": Path(model_path).stem, "read_by_sgdml": sgdml_reads, "frames": len(R), "largest_force": largest,
        "energy_difference_relative": float(np.abs((e - E) / E).max()),
        "force_difference_over_largest": float(np.abs(f - F).max() / largest),
        "sgdml_backwards_energy_difference_relative": float(np.abs((E_again - E) / E).max()),
        "sgdml_backwards_force_difference_over_largest": float(np.abs(F_again - F).max() / largest),
        "long_double_energy_force_sgdml": off(E, F), "long_double_energy_force_pyff": off(e, f),
        "written_by_pyff_same_bits_in_sgdml": same_bits,
        "single_ms": {k: 1e3 * v for k, v in single.items()}, "single_ratio": single["sgdml"] / single["pyff"],
        "batch_ms": {k: 1e3 * v for k, v in batch.items()}, "batch_ratio": batch["sgdml"] / batch["pyff"],
    }  # fmt: skip


def main() -> None:
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    rows = [compare(m, r, args) for m, r in zip(args.files[::2], args.files[1::2], strict=True)]
    for row in rows:
        print(json.dumps(row, indent=1))
    if args.out:
        about = {
            "machine": platform.processor() or platform.machine(),
            "threads": args.threads,
            "numpy": np.__version__,
        }
        Path(args.out).write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
