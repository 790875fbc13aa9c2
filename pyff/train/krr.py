"""Kernel ridge regression on Coulomb matrices: closed-form fits, nested cross-validation, learning curves.

Distances are computed once per data set; length scales, ridges and folds share them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyff import ops
from pyff.data.dataset import Dataset
from pyff.errors import DataError, PyffError
from pyff.models.coulomb_krr import CoulombKRR, CoulombKRRConfig

__all__ = ["FoldResult", "Grid", "KRRProblem", "fold_errors", "learning_rows", "nested_cv", "stratified_folds"]

LAMBDAS = (1e-10, 1e-7, 1e-5, 1e-3)
OCTAVES = 4  # of the length scale, to both sides of the median distance


@dataclass(frozen=True)
class Grid:
    """Length scales and ridges to choose from, by the errors of `folds` stratified folds.

    The root mean square decides: mean absolute errors overlook the few molecules far from all others for which an
    ill-conditioned fit explodes.
    """

    sigmas: tuple[float, ...]
    lams: tuple[float, ...] = LAMBDAS
    folds: int = 5


@dataclass(frozen=True)
class FoldResult:
    """Errors of one outer fold, in eV or the target's unit, and what its inner search chose."""

    sigma: float
    lam: float
    n_train: int
    n_test: int
    mae: float
    rmse: float


class KRRProblem:
    """Labelled molecules as kernel ridge regression sees them: M molecules, T descriptors each.

    data: molecules that all carry the label config.quantity. config: all but sigma and lam, which may be anything.

    Raises:
        DataError: a molecule without the label, or a periodic structure.
    """

    def __init__(self, data: Dataset, config: CoulombKRRConfig) -> None:
        label = config.quantity
        for name, system in zip(data.names, data.systems):
            if label not in system.labels:
                raise DataError(f"{name} must carry the label {label!r}; name its key")
            if system.pbc.any():
                raise DataError(f"{name} must be a molecule; received a periodic structure")
        self.config = config
        self.elements = data.elements
        self.labels = torch.tensor([float(s.labels[label]) for s in data.systems], dtype=torch.float64)
        Z, pos = _padded(data, config.size)
        self.counts = torch.stack([(z == Z).sum(1) for z in self.elements], 1).double()
        self.points = config.describe(Z, pos, torch.Generator().manual_seed(config.seed)).flatten(0, 1)  # [M T, F]
        self.distances = ops.distance_matrix(self.points, norm=config.norm)

    def __len__(self) -> int:
        return len(self.labels)

    def default_grid(self, folds: int = 5) -> Grid:
        """Powers of two around the median distance."""
        sample = self.distances[:: max(1, len(self.distances) // 500)]
        middle = round(math.log2(float(sample[sample > 0].median())))
        return Grid(tuple(2.0**k for k in range(middle - OCTAVES, middle + OCTAVES + 1)), folds=folds)

    def rows(self, index: np.ndarray) -> Tensor:
        """Rows of the descriptors of these molecules."""
        orders = self.config.orders
        return (torch.as_tensor(index)[:, None] * orders + torch.arange(orders)).flatten()

    def fit(self, index: np.ndarray, sigma: float, lam: float) -> CoulombKRR:
        """The model of these molecules. Raises PyffError where the matrix is not positive definite."""
        rows = self.rows(index)
        reference, constant = self._baseline(index)
        kernel = self.kernel(rows, rows, sigma)
        coef = _solve(kernel, self._residual(index, reference, constant), lam)
        if coef is None:
            raise PyffError(f"the kernel matrix must be positive definite; raise lam, received {lam:g}")
        config = self.config.model_copy(update={"sigma": float(sigma), "lam": float(lam)})
        return CoulombKRR(
            config, self.elements, points=self.points[rows], coef=coef, reference=reference, constant=constant
        )

    def search(self, index: np.ndarray, grid: Grid, seed: int, progress: Callable[[], None] = lambda: None) -> Tensor:
        """Root-mean-square errors [sigmas, lams] over stratified folds of these molecules, infinite where a fit failed.

        progress: called after each of the len(sigmas) * folds steps.
        """
        folds = stratified_folds(self.labels[index].numpy(), grid.folds, seed)
        out = torch.zeros(len(grid.sigmas), len(grid.lams), dtype=torch.float64)
        for s, sigma in enumerate(grid.sigmas):
            for fold in folds:
                train = np.delete(index, fold)
                for k, error in enumerate(self.errors(train, index[fold], sigma, grid.lams)):
                    out[s, k] += error.square().sum() / len(index)
                progress()
        return out.sqrt()

    def best(self, index: np.ndarray, grid: Grid, seed: int, progress: Callable[[], None] = lambda: None):
        """(sigma, lam, table) of the smallest error. Raises PyffError if no fit succeeded."""
        table = self.search(index, grid, seed, progress)
        if not bool(table.isfinite().any()):
            raise PyffError(f"no kernel matrix was positive definite; raise lam, received {grid.lams}")
        s, k = divmod(int(table.argmin()), len(grid.lams))
        return grid.sigmas[s], grid.lams[k], table

    def errors(self, train: np.ndarray, test: np.ndarray, sigma: float, lams: Sequence[float]) -> Iterator[Tensor]:
        """Prediction minus label of the test molecules, for each ridge."""
        rows, orders = self.rows(train), self.config.orders
        reference, constant = self._baseline(train)
        kernel, across = self.kernel(rows, rows, sigma), self.kernel(self.rows(test), rows, sigma)
        wanted = self._residual(test, reference, constant)[::orders]
        for lam in lams:
            coef = _solve(kernel, self._residual(train, reference, constant), lam)
            if coef is None:
                yield torch.full_like(wanted, math.inf)
            else:
                yield (across @ coef).reshape(-1, orders).mean(1) - wanted

    def kernel(self, rows: Tensor, columns: Tensor, sigma: float) -> Tensor:
        """k between descriptors, from the stored distances."""
        d = self.distances[rows][:, columns]
        exponent = d.div_(-sigma) if self.config.kernel == "laplacian" else d.square_().div_(-2 * sigma**2)
        return exponent.exp_()

    def _baseline(self, index: np.ndarray) -> tuple[Tensor, Tensor]:
        """Reference energies per element and constant that take out of the labels what needs no kernel."""
        labels, counts = self.labels[index], self.counts[index]
        reference = torch.zeros(counts.shape[1], dtype=torch.float64)
        if self.config.baseline == "composition":  # the smallest solution: few formulas do not determine all elements
            reference = torch.linalg.lstsq(counts, labels[:, None], driver="gelsd").solution[:, 0]
        return reference, (labels - counts @ reference).mean()

    def _residual(self, index: np.ndarray, reference: Tensor, constant: Tensor) -> Tensor:
        """What the kernel has to learn, per row."""
        residual = self.labels[index] - self.counts[index] @ reference - constant
        return residual.repeat_interleave(self.config.orders)


def _padded(data: Dataset, size: int) -> tuple[Tensor, Tensor]:
    Z = torch.zeros(len(data), size, dtype=torch.int64)
    pos = torch.zeros(len(data), size, 3, dtype=torch.float64)
    for k, (name, system) in enumerate(zip(data.names, data.systems)):
        if len(system) > size:
            raise DataError(f"size must be at least that of the largest molecule; {name} has {len(system)} atoms")
        Z[k, : len(system)] = torch.from_numpy(system.Z)
        pos[k, : len(system)] = torch.from_numpy(system.pos)
    return Z, pos


def _solve(kernel: Tensor, y: Tensor, lam: float) -> Tensor | None:
    """(K + lam I)^-1 y, or None where that matrix is not positive definite."""
    ridged = kernel.clone()
    ridged.diagonal().add_(lam)
    factor, failed = torch.linalg.cholesky_ex(ridged)
    return None if failed else torch.cholesky_solve(y[:, None], factor)[:, 0]


def stratified_folds(labels: np.ndarray, folds: int, seed: int) -> list[np.ndarray]:
    """Disjoint index sets, each with one of every `folds` neighbors in the order of the labels.

    Raises ValueError for fewer than two folds, or more folds than labels.
    """
    if not 2 <= folds <= len(labels):
        raise ValueError(f"folds must lie in 2..{len(labels)}, the number of molecules; received {folds}")
    rng = np.random.default_rng(seed)
    order = np.argsort(labels, kind="stable")
    fold = np.concatenate([rng.permutation(folds) for _ in range(-(-len(labels) // folds))])[: len(labels)]
    return [np.sort(order[fold == k]) for k in range(folds)]


def nested_cv(
    problem: KRRProblem, grid: Grid, folds: int, seed: int, progress: Callable[[], None] = lambda: None
) -> list[FoldResult]:
    """Errors of each of the outer folds, with sigma and lam chosen by an inner search on the other folds alone."""
    everyone = np.arange(len(problem))
    return [
        fold_errors(problem, np.setdiff1d(everyone, test), test, grid, seed, progress)
        for test in stratified_folds(problem.labels.numpy(), folds, seed)
    ]


def fold_errors(
    problem: KRRProblem, train: np.ndarray, test: np.ndarray, grid: Grid, seed: int,
    progress: Callable[[], None] = lambda: None,
) -> FoldResult:  # fmt: skip
    """Search on the training molecules, fit them, and predict the test molecules."""
    sigma, lam, _ = problem.best(train, grid, seed, progress)
    (error,) = problem.errors(train, test, sigma, [lam])
    return FoldResult(sigma, lam, len(train), len(test), float(error.abs().mean()), float(error.square().mean().sqrt()))


def learning_rows(
    problem: KRRProblem, sizes: Sequence[int], n_test: int, grid: Grid, seed: int,
    progress: Callable[[], None] = lambda: None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Errors against the number of training molecules, nested sets, the same random test molecules.

    Rows as `pyff.train.size_curve` draws them.
    """
    if max(sizes) + n_test > len(problem):
        raise DataError(
            f"{max(sizes)} training and {n_test} test molecules must fit into the {len(problem)} of the data"
        )
    order = np.random.default_rng(seed).permutation(len(problem))
    name = f"{problem.config.representation}, {problem.config.kernel}"
    rows = []
    for n in sorted(sizes):
        r = fold_errors(problem, order[:n], order[len(order) - n_test :], grid, seed, progress)
        errors = {f"{problem.config.quantity}_mae": r.mae, f"{problem.config.quantity}_rmse": r.rmse}
        rows.append({"model": name, "n_train": n, "sigma": r.sigma, "lam": r.lam, "errors_eV_A": errors})
    return rows
