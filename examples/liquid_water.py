"""Liquid water from labels to a simulation: read DeePMD arrays, train SchNet, run NVE dynamics, compare the structure.

    python examples/liquid_water.py FOLDER --time 15 --out water

FOLDER holds coord_k.npy, force_k.npy, energy_k.npy and box_k.npy (eV, A) of 64 H2O, oxygens first. The first 80 % of
the frames train and validate, the last 20 % test. Prints the force error relative to the RMS force, the drift and
fluctuation of the total energy, the longest O-H bond and the first peak of the O-O distribution; draws `rdf.png`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from ase import Atoms

import pyff
from pyff import data
from pyff.md import MDReport, MDSettings, run_md, start_velocities
from pyff.models import SchNet, SchNetConfig
from pyff.train import TrainConfig, Trainer, evaluate, save_figure

Z = [8] * 64 + [1] * 128


def read_deepmd(folder: Path) -> data.Dataset:
    """All frames of a DeePMD folder, in the order of its files."""
    parts = sorted(folder.glob("coord_*.npy"))
    load = lambda name: np.concatenate([np.load(p.with_name(p.name.replace("coord", name))) for p in parts])  # noqa: E731
    pos, forces, cell = (load(name).reshape(-1, n, 3) for name, n in (("coord", 192), ("force", 192), ("box", 3)))
    energy = load("energy").reshape(-1)
    return data.from_arrays(Z, pos, energy=energy, forces=forces, cell=cell, pbc=True, units="eV,Angstrom")


def train(frames: data.Dataset, minutes: float, out: Path) -> Path:
    """Train on the first 80 % of the frames, report the errors of the last 20 %; path of the model file."""
    n = len(frames)
    parts = data.split(frames, train=int(0.76 * n), valid=int(0.8 * n) - int(0.76 * n), test=n - int(0.8 * n),
                       order="time")  # fmt: skip
    train_frames, valid_frames, test_frames = (frames.subset(i) for i in (parts.train, parts.valid, parts.test))
    reference = data.reference_energies(train_frames)
    torch.manual_seed(0)
    model = SchNet(SchNetConfig(), elements=frames.elements, reference_energy=reference.values)
    config = TrainConfig(max_time=minutes, max_epochs=None, schedule="cosine", lr=2e-3, batch_size=1,
                         energy_weight=0.01, ema_decay=0.99, patience=None)  # fmt: skip
    Trainer(model, config, out / "training").fit(train_frames, valid_frames, overwrite=True)
    errors = evaluate(model, test_frames, 4).forces
    print(f"force RMSE {errors.rmse:.4f} eV/A, {100 * errors.rmse / errors.rms:.1f} % of the RMS force")
    pyff.save(model, out / "model.safetensors")
    return out / "model.safetensors"


def simulate(start: Atoms, warm_up: float, picoseconds: float) -> tuple[MDReport, list[np.ndarray]]:
    """warm_up ps at 300 K, then constant energy, at 0.5 fs; the report and positions every 20 fs."""
    start_velocities(start, 300)
    heated = run_md(start, MDSettings(steps=round(warm_up * 2000), ensemble="langevin", temperature=300, timestep=0.5))
    frames = []
    keep = lambda row: frames.append(start.positions.copy()) if row[0] % 40 == 0 else None  # noqa: E731
    settings = MDSettings(steps=round(picoseconds * 2000), ensemble="nve", timestep=0.5, log_interval=1)
    report = run_md(start, settings, on_log=keep)
    for run in (heated, report):
        if run.stopped:
            raise SystemExit(f"the simulation ended early: {run.stopped}; train longer")
    return report, frames


def distances(frames, length: float, a: slice, b: slice) -> np.ndarray:
    """[T, A, B] nearest-image distances in a cubic box."""
    d = np.stack([p[None, b] - p[a, None] for p in frames])
    return np.linalg.norm(d - length * np.round(d / length), axis=-1)


def oxygen_rdf(frames, length: float) -> tuple[np.ndarray, np.ndarray]:
    """r and g_OO(r) up to 6 A in bins of 0.05 A."""
    r = distances(frames, length, slice(0, 64), slice(0, 64))
    counts, edges = np.histogram(r[r > 0], bins=120, range=(0, 6))
    shell = 4 / 3 * np.pi * np.diff(edges**3)
    return 0.5 * (edges[1:] + edges[:-1]), counts / (shell * len(frames) * 64 * 63 / length**3)


def first_peak(r: np.ndarray, g: np.ndarray) -> float:
    """Maximum of a parabola through the bins within 0.15 A of the highest one."""
    top = int(g.argmax())
    near = slice(top - 3, top + 4)
    a, b, _ = np.polyfit(r[near], g[near], 2)
    return float(-b / (2 * a))


def panel(curves: dict[str, tuple[np.ndarray, np.ndarray]]):
    """What `save_figure` draws: the distributions by name."""

    def draw(axes) -> None:
        for label, (r, g) in curves.items():
            axes.plot(r, g, label=label)
        axes.set(xlabel="r (A)", ylabel="g_OO(r)", title="liquid water, 64 molecules")
        axes.legend()

    return draw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--time", type=float, default=15, help="minutes of training")
    parser.add_argument("--warm-up", type=float, default=1, help="ps at 300 K before the dynamics")
    parser.add_argument("--picoseconds", type=float, default=5, help="of constant-energy dynamics")
    parser.add_argument("--out", type=Path, default=Path("water"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    frames = read_deepmd(args.folder)
    model = train(frames, args.time, args.out)
    last = frames[len(frames) - 1]
    atoms = Atoms(last.Z, positions=last.pos, cell=last.cell, pbc=True, calculator=pyff.Calculator(model))
    report, snapshots = simulate(atoms, args.warm_up, args.picoseconds)
    length = float(atoms.cell[0, 0])
    drift = report.drift
    temperature = report.column("temperature_K").mean()
    print(f"total energy: slope {drift.slope:+.5f} meV/atom/ps, mean temperature {temperature:.0f} K")
    print(f"its fluctuation is {100 * drift.relative:.2f} % of the kinetic energy's")
    bonds = distances(snapshots, length, slice(64, 192), slice(0, 64)).min(-1)
    print(f"longest O-H bond {bonds.max():.3f} A")
    curves = {"simulation": oxygen_rdf(snapshots, length), "data": oxygen_rdf([s.pos for s in frames], length)}
    peaks = {label: first_peak(*curve) for label, curve in curves.items()}
    print("first O-O peak: " + ", ".join(f"{label} {peak:.3f} A" for label, peak in peaks.items()))
    save_figure(args.out / "rdf.png", [panel(curves)])


if __name__ == "__main__":
    main()
