"""Training of GDML models by pyff and by sGDML: time, memory, and how far apart the models are.

    pip install 'numpy<2.4' sgdml            # in an environment of their own
    python benchmarks/compare_sgdml_training.py --threads 2 --json benchmarks/results/MACHINE/sgdml_training.json
    python benchmarks/compare_sgdml_training.py --accuracy ethanol.npz      # five splits, own symmetries and sigma
    python benchmarks/compare_sgdml_training.py --agreement ethanol.npz     # sgdml's tasks, solved by both

Speed: one task for both (same points, permutations, sigma), in turns; a pairwise Morse potential labels vibrating
geometries. Accuracy: sGDML draws 200 + 100 points; then each finds its own permutations and searches 10:10:90.
Agreement: forces of both models of a task; beside it what each differs by from itself with the points in reverse order.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import multiprocessing
import time
from pathlib import Path

import numpy as np
import torch
from _results import write_results
from compare_sgdml import CASES, permutations

from pyff.interfaces.sgdml import dataset_arrays, read_sgdml
from pyff.interfaces.sgdml.training import data_of_arrays, task_of_arrays
from pyff.models.gdml.permutations import find_permutations
from pyff.train.gdml import GdmlErrors, train_task
from pyff.train.gdml.search import DEFAULT_SIGMAS

N_VALID = 100


def morse_frames(atoms, count: int, seed: int = 1) -> dict:
    """Vibrating geometries with energies and forces of Morse pairs, kcal/mol and A, as arrays of a data set."""
    reference = atoms.positions
    i, j = np.triu_indices(len(atoms), 1)
    length = np.linalg.norm(reference[i] - reference[j], axis=1)
    depth = np.select([length < 1.75, length < 2.8], [90.0, 18.0], 1.0)
    width = np.select([length < 1.75, length < 2.8], [1.9, 1.2], 0.6)
    pos = reference + 0.05 * np.random.default_rng(seed).normal(size=(count, len(atoms), 3))
    vec = pos[:, i] - pos[:, j]
    r = np.linalg.norm(vec, axis=2)
    x = np.exp(-width * (r - length))
    pull = -(2 * depth * width * x * (1 - x) / r)[..., None] * vec
    forces = np.zeros_like(pos)
    np.add.at(forces, (slice(None), i), pull)
    np.add.at(forces, (slice(None), j), -pull)
    arrays = dataset_arrays(atoms.numbers, pos, forces, (depth * (1 - x) ** 2).sum(1), name="morse", theory="pairs")
    return {k: np.array(v) for k, v in arrays.items()}


class Sgdml:
    """sgdml 1.0.3; it forks, and allows one trainer at a time."""

    def __init__(self, threads: int) -> None:
        from sgdml.solvers.analytic import Analytic
        from sgdml.train import GDMLTrain

        logging.getLogger("sgdml").setLevel(logging.CRITICAL)
        self.trainer = GDMLTrain(max_processes=threads, max_memory=64)
        self.threads, self.analytic, self.estimate = threads, Analytic, Analytic.est_memory_requirement

    def task(self, data: dict, n_train: int, perms, seed: int) -> dict:
        np.random.seed(seed)
        return self.trainer.create_task(data, n_train, data, N_VALID, sig=20, perms=perms)

    def train(self, task: dict, solver: str = "closed") -> dict:
        # the solver is chosen by a memory estimate: an impossible one takes the iterative solver, which with 1 GB
        # builds fewer columns and is three times as fast as with 64
        huge = staticmethod(lambda *sizes: 1 << 60)
        self.trainer._max_memory = 64 if solver == "closed" else 1
        self.analytic.est_memory_requirement = self.estimate if solver == "closed" else huge
        return self.trainer.train(task)

    def predict(self, model: dict, pos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        from sgdml.predict import GDMLPredict

        energy, forces = GDMLPredict(model, max_processes=self.threads).predict(pos.reshape(len(pos), -1))
        return energy, forces.reshape(pos.shape)


def predict(trained, pos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return tuple(t.numpy() for t in trained.model.predict(torch.from_numpy(pos)))


def speed(name: str, n_train: int, solver: str, threads: int, rounds: int) -> dict:
    """Seconds of both, in turns, and the difference of the trained models."""
    atoms, *groups = CASES[name]
    data = morse_frames(atoms, n_train + 300)
    rival = Sgdml(threads)
    task = rival.task(data, n_train, permutations(len(atoms), *groups), seed=0)
    times: dict[str, list[float]] = {"pyff": [], "sgdml": []}
    for _ in range(rounds):
        began = time.perf_counter()
        own = train_task(task_of_arrays(task), solver=solver, say=lambda text: None)
        times["pyff"].append(time.perf_counter() - began)
        began = time.perf_counter()
        other = rival.train(task, solver)
        times["sgdml"].append(time.perf_counter() - began)
    valid = task["idxs_valid"]
    f1, f2 = predict(own, data["R"][valid])[1], rival.predict(other, data["R"][valid])[1]
    label, best = data["F"][valid], {k: min(v) for k, v in times.items()}
    return {
        "case": f"{name}, {n_train} points, {solver}", **{f"{k}_s": v for k, v in best.items()},
        "ratio": best["sgdml"] / best["pyff"], "rounds": times,
        "forces_differ": float(np.abs(f1 - f2).max() / np.abs(f2).max()),
        "forces_mae": {"pyff": float(np.abs(f1 - label).mean()), "sgdml": float(np.abs(f2 - label).mean())},
    }  # fmt: skip


def peak_memory(name: str, n_train: int, who: str) -> float:
    """Resident memory that a training adds at its peak, over that of the kernel matrix, in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (name, n_train, who))


def _peak(name: str, n_train: int, who: str) -> float:
    atoms, *groups = CASES[name]
    data, rival = morse_frames(atoms, n_train + 300), Sgdml(1)
    perms = permutations(len(atoms), *groups)
    small, task = rival.task(data, 5, perms, 0), rival.task(data, n_train, perms, 0)
    run = {
        "pyff": lambda t: train_task(task_of_arrays(t), solver="closed", say=lambda text: None),
        "sgdml": rival.train,
    }
    run[who](small)  # libraries are loaded
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew; getrusage's comes from the parent process
    before = _resident("VmRSS")
    run[who](task)
    return (_resident("VmHWM") - before) / (8 * (3 * len(atoms) * n_train) ** 2)


def _resident(what: str) -> int:
    """Bytes, of a line of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(f"{what}:")))


def accuracy(path: str, splits: int, threads: int) -> dict:
    """Test errors of the forces on the same splits, each with its own symmetries and length scale."""
    data = {k: np.array(v) for k, v in read_sgdml(path, "d").items()}
    frames = data_of_arrays(data)
    rival, rows = Sgdml(threads), []
    for seed in range(splits):
        task = rival.task(data, 200, None, seed)
        rest = np.setdiff1d(np.arange(len(frames)), np.concatenate([task["idxs_train"], task["idxs_valid"]]))
        pos, label = frames.pos[rest], frames.forces[rest]
        row = {"seed": seed, "perms_sgdml": len(task["perms"])}
        model = _searched(lambda sigma, t=task: rival.train({**t, "sig": sigma}), rival.predict, frames, task)
        row |= {"sigma_sgdml": int(model["sig"]), "mae_sgdml": _mae(rival.predict(model, pos)[1], label)}
        own = {**task, "perms": find_permutations(task["R_train"], task["z"]).numpy()}
        model = _searched(lambda s, t=own: train_task(task_of_arrays({**t, "sig": s}), say=str), predict, frames, task)
        row |= {"perms_pyff": len(own["perms"]), "sigma_pyff": model.task.config.sigma}
        row |= {"mae_pyff": _mae(predict(model, pos)[1], label)}
        rows.append(row)
        print(row, flush=True)
    mean = {who: float(np.mean([row[f"mae_{who}"] for row in rows])) for who in ("pyff", "sgdml")}
    return {"case": f"{Path(path).name}, 200 + {N_VALID} points, {splits} splits", "forces_mae": mean, "splits": rows}


def agreement(path: str, seeds: int, threads: int) -> dict:
    """Forces of the models that both make of sGDML's tasks (200 points, sigma 20) on 100 others, over the largest."""
    data = {k: np.array(v) for k, v in read_sgdml(path, "d").items()}
    rival, rows = Sgdml(threads), []
    own = lambda t, pos: predict(train_task(task_of_arrays(t), say=str), pos)[1]  # noqa: E731
    other = lambda t, pos: rival.predict(rival.train(t), pos)[1]  # noqa: E731
    for seed, constraints in itertools.product(range(seeds), (False, True)):
        np.random.seed(seed)
        task = rival.trainer.create_task(data, 200, data, N_VALID, sig=20, use_E_cstr=constraints)
        backwards = task | {k: task[k][::-1].copy() for k in ("R_train", "F_train", "E_train", "idxs_train")}
        pos = data["R"][task["idxs_valid"]].astype(float)
        f, again = {"pyff": own(task, pos), "sgdml": other(task, pos)}, {"pyff": own(backwards, pos)}
        again["sgdml"], largest = other(backwards, pos), np.abs(f["sgdml"]).max()
        row = {"seed": seed, "energy_constraints": constraints}
        row["forces_differ"] = float(np.abs(f["pyff"] - f["sgdml"]).max() / largest)
        row |= {f"{k}_from_itself": float(np.abs(f[k] - again[k]).max() / largest) for k in f}
        rows.append(row)
        print(row, flush=True)
    return {"case": f"{Path(path).name}, sgdml's tasks", "tasks": rows}


def _searched(train, predict_with, frames, task):
    """sGDML's search: ascending until the validation RMSE of the forces rises."""
    found, valid = [], task["idxs_valid"]
    for sigma in DEFAULT_SIGMAS:
        args = (train(sigma), frames.pos[valid])
        forces = (predict_with(*args))[1]
        error = GdmlErrors.of(forces, frames.forces[valid], None).forces.rmse
        found.append((error, sigma, args[0]))
        if len(found) > 1 and error > found[-2][0]:
            break
    return min(found, key=lambda entry: entry[0])[2]


def _mae(forces: np.ndarray, label: np.ndarray) -> float:
    return float(np.abs(forces - label).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default="ethanol, 9 atoms:200:closed;aspirin, 21 atoms:200:closed;"
                        "ethanol, 9 atoms:200:iterative")  # fmt: skip
    parser.add_argument("--memory", default="ethanol, 9 atoms:300", help="NAME:POINTS, or empty")
    parser.add_argument("--accuracy", nargs="*", default=[], help="data sets (.npz of sGDML); nothing else is run")
    parser.add_argument("--agreement", nargs="*", default=[], help="data sets (.npz of sGDML); nothing else is run")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rows = [accuracy(path, args.splits, args.threads) for path in args.accuracy]
    rows += [agreement(path, args.splits, args.threads) for path in args.agreement]
    if not rows:
        for case in filter(None, args.cases.split(";")):
            name, points, solver = case.rsplit(":", 2)
            rows.append(speed(name, int(points), solver, args.threads, args.rounds))
            print(json.dumps(rows[-1]), flush=True)
        if args.memory:
            name, points = args.memory.rsplit(":", 1)
            peaks = {who: peak_memory(name, int(points), who) for who in ("pyff", "sgdml")}
            rows.append({"case": f"{name}, {points} points, peak memory over the matrix", **peaks})
    for row in rows:
        print({k: v for k, v in row.items() if k not in ("rounds", "splits")})
    if args.json:
        write_results(args.json, rows, threads=args.threads, packages=("torch", "numpy", "sgdml"))


if __name__ == "__main__":
    main()
