"""Steps of preconditioned conjugate gradients for a GDML system: kinds of preconditioners against numbers of columns.

    python benchmarks/nystroem_steps.py ethanol.npz --json FILE --figure steps.png

The file holds ethanol geometries as sGDML's data sets do (R [n, 9, 3], F). Each seed draws the training points and the
random columns; printed are medians over the seeds, and the extremes. Defaults: 100 points (n = 2700), sigma 10, ridge
1e-10, |r| <= 1e-4 |y|. Steps do not depend on how fast the machine is.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

import numpy as np
import torch

from pyff import ops
from pyff.solvers import KINDS, ConjugateGradients, nystroem
from pyff.train.gdml.operator import GdmlOperator

# steps of an independent implementation (NumPy, the factor by a full SVD, shift = ridge) on other points of these data
EXPECTED = {
    0.025: {"eigen": 2531, "cholesky": 2986},
    0.05: {"eigen": 663, "random": 968, "leverage": 897, "cholesky": 933, "rpcholesky": 941},
    0.10: {"eigen": 259, "random": 386, "leverage": 386, "cholesky": 385, "rpcholesky": 377, "points": 864},
    0.20: {"eigen": 114, "random": 186, "leverage": 173, "cholesky": 173, "rpcholesky": 171, "points": 289},
}


def ethanol_permutations() -> torch.Tensor:
    """Rotations of the methyl group (atoms 5 to 7), and its mirror images together with the methylene's exchange."""
    rotations = [[5, 6, 7], [6, 7, 5], [7, 5, 6]]
    swaps = [[5, 7, 6], [6, 5, 7], [7, 6, 5]]
    return torch.tensor([[0, 1, 2, 3, 4, *m, 8] for m in rotations] + [[0, 1, 2, 4, 3, *m, 8] for m in swaps])


def system(path: Path, n_points: int, sigma: float, seed: int) -> tuple[GdmlOperator, torch.Tensor]:
    """K and normalized forces of random frames."""
    with np.load(path, allow_pickle=False) as file:
        pos, forces = file["R"], file["F"]
    frames = np.sort(np.random.default_rng(seed).choice(len(pos), n_points, replace=False))
    x, g = ops.inverse_distances(torch.from_numpy(pos[frames]))
    perms = ops.descriptor_permutations(ethanol_permutations())
    y = torch.from_numpy(forces[frames]).reshape(-1)
    return GdmlOperator(x, g, perms, ops.GdmlKernel(sigma)), y / y.std(correction=0)


def residuals(
    operator: GdmlOperator, y: torch.Tensor, ridge: float, kind: str, k: int, seed: int, rtol: float, limit: int,
    shift: float | None,
) -> list[float]:  # fmt: skip
    """|r| / |y| before and after every step."""
    precondition = nystroem(operator, k, ridge, kind, np.random.default_rng(seed), shift=shift)
    product = lambda v: operator(v) + ridge * v  # noqa: E731
    cg = ConjugateGradients.start(product, precondition, y)
    while cg.norms[-1] > rtol * cg.norms[0] and len(cg.norms) <= limit:
        cg.step(product, precondition)
    return [norm / cg.norms[0] for norm in cg.norms]


def count(args) -> tuple[list[dict], dict[str, list[float]]]:
    """A row per kind and fraction, and the residuals of the first seed at the fraction that is drawn."""
    rows = {(f, kind): {"fraction": f, "kind": kind, "steps": []} for f in args.fractions for kind in args.kinds}
    curves = {}
    for seed in range(args.seeds):
        operator, y = system(args.data, args.points, args.sigma, seed)
        for (fraction, kind), row in rows.items():
            k = max(1, int(fraction * operator.size))
            shift = args.ridge if args.shift == "ridge" else None
            norms = residuals(operator, y, args.ridge, kind, k, seed, args.rtol, args.limit, shift)
            row["columns"] = k
            row["steps"].append(len(norms) - 1 if norms[-1] <= args.rtol else None)
            if seed == 0 and fraction == args.drawn:
                curves[kind] = norms
            print(
                f"seed {seed}  {100 * fraction:4.1f} %  {kind:10s} {row['steps'][-1] or f'> {args.limit}'}", flush=True
            )
    for row in rows.values():
        limited = sorted(s or args.limit + 1 for s in row["steps"])
        row["median"], row["extremes"] = statistics.median(limited), (limited[0], limited[-1])
        row["expected"] = EXPECTED.get(row["fraction"], {}).get(row["kind"]) if args.shift == "ridge" else None
    return list(rows.values()), curves


def report(rows: list[dict], limit: int) -> None:
    print(f"\n{'columns':>16s} {'kind':11s} {'median':>7s} {'least':>6s} {'most':>6s} {'expected':>9s} {'ratio':>6s}")
    for row in rows:
        cells = [f"> {limit}" if v > limit else f"{v:g}" for v in (row["median"], *row["extremes"])]
        ratio = f"{row['median'] / row['expected']:6.2f}" if row["expected"] else ""
        print(f"{row['columns']:8d} {100 * row['fraction']:5.1f} % {row['kind']:11s} {cells[0]:>7s} {cells[1]:>6s}"
              f" {cells[2]:>6s} {row['expected'] or '':>9} {ratio}")  # fmt: skip


def figure(path: Path, rows: list[dict], curves: dict[str, list[float]], args) -> None:
    """Residuals of every kind, and steps against columns."""
    from pyff._figure import save_figure

    def convergence(axes):
        for kind, norms in curves.items():
            axes.semilogy(norms, label=kind, linewidth=1)
        axes.set(xlabel="step", ylabel="|r| / |y|", title=f"{100 * args.drawn:g} % of the columns")
        axes.legend()

    def against_columns(axes):
        for kind in args.kinds:
            mine = [r for r in rows if r["kind"] == kind and r["median"] <= args.limit]
            axes.loglog([r["columns"] for r in mine], [r["median"] for r in mine], "o-", label=kind)
        axes.set(xlabel="columns", ylabel="steps (median)")

    save_figure(path, [convergence, against_columns])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="ethanol geometries and forces, .npz with R and F")
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--sigma", type=float, default=10.0)
    parser.add_argument("--ridge", type=float, default=1e-10)
    parser.add_argument("--shift", choices=["tail", "ridge"], default="tail",
                        help="of the low-rank matrix before its inversion: pyff's choice, or the ridge")  # fmt: skip
    parser.add_argument("--rtol", type=float, default=1e-4)
    parser.add_argument("--fractions", type=float, nargs="+", default=[0.025, 0.05, 0.10, 0.20])
    parser.add_argument("--drawn", type=float, default=0.10, help="fraction whose residuals the figure shows")
    parser.add_argument("--kinds", nargs="+", default=[*KINDS], choices=[*KINDS])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--limit", type=int, default=3000, help="steps after which a run is given up")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--figure", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rows, curves = count(args)
    report(rows, args.limit)
    if args.json:
        named = {name: getattr(args, name) for name in ("points", "sigma", "ridge", "rtol", "seeds", "limit", "shift")}
        args.json.write_text(json.dumps({"data": args.data.name, **named, "rows": rows}, indent=1) + "\n")
    if args.figure:
        figure(args.figure, rows, curves, args)


if __name__ == "__main__":
    main()
