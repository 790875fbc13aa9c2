"""Coarse-grained alanine dipeptide: mean forces by GDML in two layers and by SchNet, and the free energies they give.

    python examples/coarse_alanine.py FOLDER --frames 1000 --out coarse

FOLDER holds ala2_coordinates*.npy and ala2_forces*.npy (A, kcal/mol/A, 300 K; [frames, 5, 3]): the backbone atoms
C-N-CA-C-N of alanine dipeptide in water and the forces mapped onto them. Both models learn from the same frames what a
prior of harmonic bonds and angles leaves over, are then simulated from the same configurations, and compared with the
free energy of all frames. Draws `free_energy.png`.

The five beads of a molecule and of its mirror image have the same distances. The kernel model's descriptor therefore
holds two signed volumes besides; SchNet, which sees distances only, cannot tell phi, psi from -phi, -psi. Its surface
is compared a second time with the symmetrized one, which is the best it could do.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pyff import data, ops
from pyff._figure import save_figure
from pyff.analysis.free_energy import FreeEnergySurface, dihedral_angles, free_energy_surface, surface_panel
from pyff.data.coarse import stratified_frames
from pyff.data.collate import collate
from pyff.models import SchNet, SchNetConfig
from pyff.models.gdml.ad import DescriptorKernel, ForceField
from pyff.models.gdml.coarse import CoarseGrainedModel, HarmonicPrior
from pyff.sampling.langevin import overdamped
from pyff.train import TrainConfig, Trainer
from pyff.train.gdml.coarse import TwoLayers, cross_validated, fit_two_layers
from pyff.units import ENERGY

KT = 0.0019872041 * 300  # kcal/mol
BONDS = [[0, 1], [1, 2], [2, 3], [3, 4]]
ANGLES = [[0, 1, 2], [1, 2, 3], [2, 3, 4]]
TORSIONS = [[0, 1, 2, 3], [1, 2, 3, 4]]  # phi, psi
BEADS = [6, 7, 6, 6, 7]
BINS = 24


def descriptor(pos: Tensor) -> Tensor:
    """Inverse distances, and the signed volumes that two torsions span (they change sign in a mirror)."""
    a, b = torch.tril_indices(5, 5, -1)
    inverse = (pos[a] - pos[b]).square().sum(-1).rsqrt()
    bond = pos[1:] - pos[:-1]
    normal = torch.linalg.cross(bond[:-1], bond[1:])
    return torch.cat([inverse, 0.1 * torch.stack([normal[0].dot(bond[2]), normal[1].dot(bond[3])])])


@dataclass(frozen=True)
class Samples:
    """Bead positions [S,5,3], what the prior leaves of the forces, and the torsions [S,2]."""

    pos: Tensor
    forces: Tensor
    torsions: np.ndarray
    prior: HarmonicPrior


def read(folder: Path) -> Samples:
    load = lambda name: torch.as_tensor(np.load(next(folder.glob(f"ala2_{name}*.npy"))), dtype=torch.float64)  # noqa: E731
    pos, forces = load("coordinates"), load("forces")
    prior = HarmonicPrior.fit(pos, BONDS, ANGLES, KT)
    return Samples(pos, forces - prior.predict(pos)[1], dihedral_angles(pos.numpy(), TORSIONS), prior)


def layers(sigma: float, ridge: float) -> TwoLayers:
    kernel = DescriptorKernel(descriptor, ops.GdmlKernel(sigma))
    return TwoLayers(kernel, kernel, first_ridge=ridge, second_ridge=1e-6)


def drawing(samples: Samples, n_batches: int, batch: int, points: int):
    """How frames get into the layers: evenly over (phi, psi)."""

    def draw(frames: np.ndarray, rng: np.random.Generator):
        chosen = samples.torsions[frames]
        batches = [frames[stratified_frames(chosen, batch, rng)] for _ in range(n_batches)]
        few = min(points, len(frames))
        return batches, frames[stratified_frames(chosen, few, rng, replace=False)]

    return draw


def kernel_model(samples: Samples, frames: np.ndarray, args: argparse.Namespace) -> ForceField:
    """The two-layer model with the length scale that cross-validation likes best."""
    draw = drawing(samples, args.batches, args.batch, args.points)
    pos, forces = samples.pos[frames], samples.forces[frames]
    own = replace(samples, pos=pos, forces=forces, torsions=samples.torsions[frames])
    print(f"scatter of the forces without a model: {float(forces.square().mean()):.1f} (kcal/mol/A)^2")
    errors = {}
    for sigma in args.sigma:
        result = cross_validated(
            layers(sigma, args.ridge), pos, forces, drawing(own, args.batches, args.batch, args.points)
        )
        errors[sigma] = result.mean
        print(f"sigma {sigma:g}: cross-validated {result.mean:.1f} +- {result.standard_error:.1f} (kcal/mol/A)^2")
    best = min(errors, key=errors.__getitem__)
    return fit_two_layers(
        layers(best, args.ridge), samples.pos, samples.forces, *draw(frames, np.random.default_rng(args.seed))
    )


def schnet_model(samples: Samples, frames: np.ndarray, minutes: float, out: Path):
    """SchNet trained on the same frames: a function of positions that returns forces."""
    rng = np.random.default_rng(0)
    order = rng.permutation(frames)
    arrays = lambda part: data.from_arrays(  # noqa: E731
        BEADS, samples.pos[part].numpy(), forces=samples.forces[part].numpy(), units="kcal/mol,Angstrom"
    )
    n_valid = max(len(order) // 10, 10)
    torch.manual_seed(0)
    model = SchNet(SchNetConfig(cutoff=10.0, n_features=64), elements=sorted(set(BEADS)))
    config = TrainConfig(max_time=minutes, max_epochs=None, schedule="cosine", lr=1e-3, batch_size=50,
                         energy_weight=0.0, patience=None)  # fmt: skip
    Trainer(model, config, out / "schnet").fit(arrays(order[n_valid:]), arrays(order[:n_valid]), overwrite=True)
    model = model.eval().requires_grad_(False)

    def forces(pos: Tensor) -> Tensor:
        graph = graphs.get(len(pos))
        if graph is None:
            systems = [data.from_arrays(BEADS, p[None].numpy(), units="kcal/mol,Angstrom")[0] for p in pos]
            graph = graphs[len(pos)] = collate(systems, model.needs)
        out = model(replace(graph, pos=pos.reshape(-1, 3)), want=("forces",))
        return out.forces.reshape(pos.shape).double() / ENERGY["kcal/mol"]

    graphs: dict = {}  # all beads are neighbors of each other at all times: the edges never change
    return forces


def simulated(force, samples: Samples, frames: np.ndarray, args: argparse.Namespace) -> FreeEnergySurface:
    """Free energy over phi, psi of replicas that start from training frames; the first half is left out."""
    start = samples.pos[np.random.default_rng(1).choice(frames, args.replicas)]
    trajectory = overdamped(force, start, kT=KT, dt=args.dt, steps=args.steps, save_every=50, seed=args.seed)
    return free_energy_surface(dihedral_angles(trajectory[len(trajectory) // 2 :], TORSIONS), BINS)


def mirrored(surface: FreeEnergySurface) -> FreeEnergySurface:
    """The average with phi, psi -> -phi, -psi."""
    return FreeEnergySurface(surface.counts + surface.counts[::-1, ::-1])


def main() -> None:
    args = arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    samples = read(args.folder)
    reference = free_energy_surface(samples.torsions, BINS)
    frames = np.random.default_rng(args.seed).choice(
        len(samples.pos), min(args.frames, len(samples.pos)), replace=False
    )
    field = kernel_model(samples, frames, args)
    models = {"GDML, two layers": CoarseGrainedModel(samples.prior, field)}
    forces = {name: (lambda x, m=m: m.predict(x)[1]) for name, m in models.items()}
    if args.minutes > 0:
        network = schnet_model(samples, frames, args.minutes, args.out)
        forces["SchNet"] = lambda x: samples.prior.predict(x)[1] + network(x)
    forces["prior alone"] = lambda x: samples.prior.predict(x)[1]
    panels = [surface_panel(reference, f"all {len(samples.pos)} frames")]
    for name, force in forces.items():
        surface = simulated(force, samples, frames, args)
        line = (
            f"{name}: {surface.mean_squared_difference(reference):.2f} kT^2, {surface.divergence(reference):.3f} nats"
        )
        print(f"{line}; against the symmetrized surface {mirrored(surface).divergence(mirrored(reference)):.3f} nats")
        panels.append(surface_panel(surface, name))
    save_figure(args.out / "free_energy.png", panels)
    print(f"picture: {args.out / 'free_energy.png'}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int, default=1000, help="training frames")
    parser.add_argument("--batches", type=int, default=40, help="models of the first layer")
    parser.add_argument("--batch", type=int, default=80, help="frames per model of the first layer")
    parser.add_argument("--points", type=int, default=250, help="frames of the second layer")
    parser.add_argument("--sigma", type=float, nargs="+", default=[1.0, 3.0], help="length scales to choose from")
    parser.add_argument("--ridge", type=float, default=1e-3, help="of the first layer")
    parser.add_argument("--minutes", type=float, default=2.0, help="of SchNet's training; 0: leave it out")
    parser.add_argument("--replicas", type=int, default=100)
    parser.add_argument("--steps", type=int, default=20000)
    parser.add_argument("--dt", type=float, default=5e-4, help="mol A^2/kcal, with unit mobility")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("coarse"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
