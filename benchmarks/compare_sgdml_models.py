"""Predictions of sGDML's model files: pyff against sgdml, both against long double, and the time of a prediction.

    python benchmarks/compare_sgdml_models.py MODEL.npz FRAMES.npz [MODEL.npz FRAMES.npz ...] --json sgdml_models.json

Needs sgdml (an environment of its own: sgdml 1.0.3 needs numpy below 2.4). FRAMES.npz holds R [M, N, 3]; the first 100
are predicted. Model files written by pyff from the arrays it has read must give sgdml the same bits.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from _results import write_results
from _timing import interleaved

import pyff
from pyff._npz import read_npz, write_npz
from pyff.models.gdml.sgdml_file import arrays_of_model

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


def arrays_for_sgdml(path: str, model: pyff.models.GDML) -> tuple[dict, bool]:
    """The arrays of a file, and whether sgdml reads them: the layouts of 2018 are brought into today's."""
    arrays = read_npz(path)
    if "R_desc" in arrays:
        return arrays, True
    return {k: np.asarray(v) for k, v in arrays_of_model(model).items()} | {"type": np.array("m")}, False


def predictors(arrays: dict, threads: int) -> dict:
    """sgdml with a model: as it is, written again by pyff, and with the training points in reverse order.

    The last is the same sum in another order: what sgdml itself can tell apart.
    """
    from sgdml.predict import GDMLPredict

    backwards = {k: arrays[k][:, ::-1] if k == "R_desc" else arrays[k][::-1] for k in ("R_desc", "R_d_desc_alpha")}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "again.npz"
        write_npz(path, arrays)
        with np.load(path, allow_pickle=True) as again:
            models = {"sgdml": arrays, "written": dict(again), "backwards": arrays | backwards}
            return {name: GDMLPredict(model, max_processes=threads) for name, model in models.items()}


def differences(found: dict, truth: list) -> dict:
    """Of energies and forces, pairs by name, from sgdml's; the largest of both from those in long double."""
    (E, F), largest = found["sgdml"], np.abs(found["sgdml"][1]).max()
    relative = lambda name: float(np.abs((found[name][0] - E) / E).max())  # noqa: E731
    forces = lambda name: float(np.abs(found[name][1] - F).max() / largest)  # noqa: E731

    def off(name: str) -> list[float]:
        pairs = [(abs(e - t[0]), np.abs(f - t[1].ravel()).max()) for e, f, t in zip(*found[name], truth)]
        return [float(max(column)) for column in zip(*pairs)]

    return {
        "largest_force": float(largest), "energy_difference_relative": relative("pyff"),
        "force_difference_over_largest": forces("pyff"),
        "sgdml_backwards_energy_difference_relative": relative("backwards"),
        "sgdml_backwards_force_difference_over_largest": forces("backwards"),
        "long_double_energy_force_sgdml": off("sgdml"), "long_double_energy_force_pyff": off("pyff"),
        "written_by_pyff_same_bits_in_sgdml": all(map(np.array_equal, found["written"], (E, F))),
    }  # fmt: skip


def compare(model_path: str, frames_path: str, args) -> dict:
    R = read_npz(frames_path)["R"][:FRAMES].astype(float)
    model = pyff.load(model_path)
    arrays, sgdml_reads = arrays_for_sgdml(model_path, model)
    peers = predictors(arrays, args.threads)

    def ours(r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        energy, forces = model.predict(torch.from_numpy(r))
        return energy.numpy(), forces.numpy().reshape(len(r), -1)

    flat = R.reshape(len(R), -1)
    found = {name: peer.predict(flat) for name, peer in peers.items()} | {"pyff": ours(R)}
    row = {"model": Path(model_path).stem, "read_by_sgdml": sgdml_reads, "frames": len(R)}
    row |= differences(found, [exact(arrays, r) for r in R[: args.exact]])
    for name, n, rounds in (("single", 1, 2 * args.rounds), ("batch", len(R), args.rounds)):
        calls = {"sgdml": lambda n=n: peers["sgdml"].predict(flat[:n]), "pyff": lambda n=n: ours(R[:n])}
        times = interleaved(calls, rounds)
        row |= {name: times, f"{name}_ratio": times["sgdml"]["median_ms"] / times["pyff"]["median_ms"]}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--exact", type=int, default=5, help="frames that are also computed in long double")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", type=Path, help="file for the raw numbers")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if not hasattr(np, "in1d"):
        np.in1d = np.isin  # sgdml 1.0.3 with numpy 2.4
    rows = [compare(m, r, args) for m, r in zip(args.files[::2], args.files[1::2], strict=True)]
    for row in rows:
        print(json.dumps(row, indent=1))
    if args.json:
        write_results(args.json, rows, threads=args.threads, packages=("torch", "numpy", "sgdml"))


if __name__ == "__main__":
    main()
