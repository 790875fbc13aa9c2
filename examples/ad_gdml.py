"""Force fields from descriptors and kernels that are written down in a few lines, on ethanol, in seconds.

    python examples/ad_gdml.py                      # 100 training points from the data that ship with pyff
    python examples/ad_gdml.py --train 150 --out ad_gdml.png

Trains one model per descriptor and prints its errors on the other frames: any torch function of a geometry will do, and
what it leaves out shows. Draws predicted against reference forces.
"""

from __future__ import annotations

import argparse
import time
from importlib.resources import files

import numpy as np
import torch

from pyff import ops
from pyff._figure import save_figure
from pyff.data import read
from pyff.models.gdml.ad import DescriptorKernel, PairKernel, fit_force_field, inverse_distances
from pyff.models.gdml.radial import radial_profile

CHARGES = torch.tensor([6.0, 6, 8, 1, 1, 1, 1, 1, 1], dtype=torch.float64)
WIDTHS = torch.linspace(0.6, 4.0, 8, dtype=torch.float64)  # A


def distances(pos):
    a, b = torch.tril_indices(len(pos), len(pos), -1)
    return (pos[a] - pos[b]).square().sum(-1).sqrt(), CHARGES[a] * CHARGES[b]


def screened_charges(pos):
    """Coulomb energies of all pairs of nuclei, screened beyond 2 A."""
    r, charges = distances(pos)
    return charges.sqrt() * torch.exp(-r / 2.0) / r


def symmetry_functions(pos):
    """Gaussians of the distances of each atom to those of each element: how its surroundings look, no angles."""
    d2 = (pos[:, None] - pos).square().sum(-1)
    g = torch.exp(-d2[..., None] / WIDTHS**2)  # [N, N, K]
    others = (1 - torch.eye(len(pos), dtype=torch.float64))[..., None]
    return torch.cat([((z == CHARGES).double()[:, None] * others * g).sum(1).flatten() for z in (1, 6, 8)])


def coulomb_eigenvalues(pos):
    """Nine numbers that know nothing of the order of the atoms, for 21 internal coordinates: too few."""
    safe = (pos[:, None] - pos).square().sum(-1) + torch.eye(len(pos), dtype=torch.float64)
    matrix = CHARGES[:, None] * CHARGES * safe.rsqrt()
    diagonal = torch.eye(len(pos), dtype=torch.float64)
    return torch.linalg.eigvalsh(matrix * (1 - diagonal) + diagonal * 0.5 * CHARGES**2.4)


def two_scales(r, other):
    """A kernel of one's own: a broad and a narrow Matern kernel of inverse distances, added."""
    r2 = (inverse_distances(r) - inverse_distances(other)).square().sum()
    return radial_profile(r2, ops.GdmlKernel(8.0)) + 1e-3 * radial_profile(r2, ops.GdmlKernel(1.0))


KERNELS = {
    "inverse distances (native)": DescriptorKernel(inverse_distances, ops.GdmlKernel(4.0)),
    "screened charges": DescriptorKernel(screened_charges, ops.GdmlKernel(16.0)),
    "symmetry functions": DescriptorKernel(symmetry_functions, ops.GdmlKernel(16.0)),
    "Coulomb eigenvalues": DescriptorKernel(coulomb_eigenvalues, ops.GdmlKernel(32.0)),
    "two length scales": PairKernel(two_scales),
}


def frames():
    """Positions, forces, energies of ethanol: A, eV/A, eV."""
    data = read(files("pyff") / "demo" / "ethanol_pbe.extxyz.gz")
    labels = [s.labels for s in data]
    arrays = [[s.pos for s in data], [x["forces"] for x in labels], [float(x["energy"]) for x in labels]]
    return [torch.tensor(np.array(a), dtype=torch.float64) for a in arrays]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="ad_gdml.png")
    options = parser.parse_args()
    pos, forces, energies = frames()
    order = torch.from_numpy(np.random.default_rng(options.seed).permutation(len(pos)))
    train, test = order[: options.train], order[options.train :]
    panels = []
    for name, kernel in KERNELS.items():
        start = time.perf_counter()
        field = fit_force_field(kernel, pos[train], forces[train], energies[train], lam=1e-6)
        fitted = time.perf_counter()
        energy, force = field.predict(pos[test])
        seconds = fitted - start, (time.perf_counter() - fitted) / len(test)
        mae = 1e3 * float((force - forces[test]).abs().mean()), 1e3 * float((energy - energies[test]).abs().mean())
        print(f"{name:<28} forces {mae[0]:6.1f} meV/A   energy {mae[1]:6.1f} meV   "
              f"fit {seconds[0]:5.1f} s, {1e3 * seconds[1]:6.2f} ms per geometry")  # fmt: skip
        panels.append(_panel(name, forces[test], force))
    save_figure(options.out, panels, columns=3)
    print(f"picture: {options.out}")


def _panel(name, label, predicted):
    def draw(axes):
        axes.plot(label.flatten(), predicted.flatten(), ".", markersize=2, color="#1f5fa8", alpha=0.5)
        axes.axline((0, 0), slope=1, color="black", linewidth=0.8)
        axes.set(title=name, xlabel="reference force (eV/A)", ylabel="model")

    return draw


if __name__ == "__main__":
    main()
