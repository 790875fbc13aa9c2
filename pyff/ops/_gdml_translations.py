"""GDML products for groups that contain translations: sums over translations become products of Fourier coefficients.

Let H be an abelian subgroup of the permutations of descriptors, its cosets being those of permutations c. Then

    x . x_j[h c] = sum_k q_k x_j[h(k)],    q = x[c^-1]

is a cross-correlation over H on each orbit of descriptor entries, diagonal in the characters of H, and so are the sums
over h of weights times x_j[h]. Distances do not change otherwise, so the result is exact. Where the direct sum takes
8 D flop for each training point and permutation, this takes 16 D / |H| for products and 8 |H| for transforms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pyff.ops.reference.gdml import profile

__all__ = ["AbelianGroup", "TranslationProduct", "abelian_prefix"]

ROWS = 64  # permuted queries handled at a time, at least
BLOCK = 1 << 17  # distances handled at a time: a few arrays of this size stay in the cache


@dataclass(frozen=True)
class AbelianGroup:
    """Permutations [T, D] as a product of cyclic groups.

    elements: element (m_1 .. m_r), m_i < orders[i], in C order, is g_1^m_1 ... g_r^m_r.
    """

    elements: Tensor
    orders: tuple[int, ...]

    def characters(self) -> tuple[Tensor, Tensor]:
        """Analysis [2 F, T] and synthesis [T, 2 F] of real functions on the group, F frequencies up to negation.

        Rows of analysis: real parts sum_h w(h) cos, then imaginary parts -sum_h w(h) sin, frequency by frequency.
        """
        grid = np.indices(self.orders).reshape(len(self.orders), -1).T  # [T, r]
        opposite = np.ravel_multi_index(tuple((-grid % self.orders).T), self.orders)
        half = np.flatnonzero(np.arange(len(grid)) <= opposite)
        phase = 2 * np.pi * (grid[half] / np.array(self.orders)) @ grid.T  # [F, T]
        analysis = np.stack([np.cos(phase), -np.sin(phase)], 1).reshape(2 * len(half), -1)
        weight = np.where(opposite[half] == half, 1.0, 2.0) / len(grid)
        return torch.from_numpy(analysis), torch.from_numpy((analysis * np.repeat(weight, 2)[:, None]).T.copy())


def abelian_prefix(perms: Tensor) -> AbelianGroup | None:
    """The largest T with perms[:T] an abelian group and perms.reshape(-1, T, D)[c, t] = perms[t][perms[c T]].

    That is how `supercell_group` orders its permutations. None where there is no such T above 1.
    """
    p = perms.shape[0]
    rows = perms.cpu().numpy()
    for t in (p // k for k in range(1, p) if p % k == 0):
        subgroup, cosets = rows[:t], rows[::t]
        # cheap tests first: most candidates fail them
        if not (_commute(subgroup[1], subgroup[-1]) and (subgroup[:, cosets[-1]] == rows[-t:]).all()):
            continue
        group = _cyclic_product(subgroup)
        if group is not None and (subgroup[:, cosets].swapaxes(0, 1).reshape(rows.shape) == rows).all():
            return AbelianGroup(*group)
    return None


def _commute(p: np.ndarray, q: np.ndarray) -> bool:
    return bool((p[q] == q[p]).all())


def _cyclic_product(perms: np.ndarray) -> tuple[Tensor, tuple[int, ...]] | None:
    """Elements and orders of the cyclic factors of permutations [T, D], identity first; None: no abelian group.

    An element of largest order among those whose powers meet the factors found so far in the identity only generates
    another factor.
    """
    names = {row.tobytes() for row in perms}
    powers = [_powers(row, len(perms)) for row in perms]
    if any(cyclic is None for cyclic in powers) or len(names) < len(perms):
        return None
    elements, orders, generators = perms[:1], [], []
    for cyclic in sorted(powers, key=len, reverse=True):
        have = {row.tobytes() for row in elements}
        if len(cyclic) == 1 or any(power.tobytes() in have for power in cyclic[1:]):
            continue
        elements = cyclic[:, elements].reshape(-1, perms.shape[1])
        orders.insert(0, len(cyclic))
        generators.append(cyclic[1])
        if len(elements) > len(perms):
            return None
    commute = all(_commute(g, h) for k, g in enumerate(generators) for h in generators[:k])
    if not commute or {row.tobytes() for row in elements} != names:
        return None
    return torch.from_numpy(elements), tuple(orders)


def _powers(perm: np.ndarray, limit: int) -> np.ndarray | None:
    """1, p, p^2, ... [order, D]; None where there are more than limit."""
    powers = [np.arange(len(perm))]
    while not ((following := perm[powers[-1]]) == powers[0]).all():
        powers.append(following)
        if len(powers) > limit:
            return None
    return np.stack(powers)


class TranslationProduct:
    """`gdml_product` with an abelian subgroup of the permutations, arranged once for many queries.

    train, coef [M, D]; perms int64 [P, D] in cosets of `group`, as `abelian_prefix` says; coef_energy [M] or None.
    """

    def __init__(
        self, train: Tensor, coef: Tensor, perms: Tensor, group: AbelianGroup, kernel, coef_energy: Tensor | None = None
    ) -> None:
        self.kernel, self.cosets = kernel, perms[:: len(group.elements)]
        self.inverse = torch.argsort(self.cosets, 1)
        self.n_queries = max(1, ROWS // len(self.cosets))  # at a time
        self._arrange_orbits(group)
        # distances stay when a descriptor that all permutations keep is taken off; rounding errors shrink
        self.center = train.mean(0)[perms].mean(0)
        y = train - self.center
        coef_energy = torch.zeros_like(coef[:, 0]) if coef_energy is None else coef_energy
        self.blocks = [self._block(*part) for part in self._split(y, coef, coef_energy)]

    def _arrange_orbits(self, group: AbelianGroup) -> None:
        """orbits [T, O]: h(k) of the first entry k of each orbit; weight [O]: 1 / number of h with h(k) = k."""
        first = torch.unique(group.elements.min(0).values)
        self.orbits = group.elements[:, first]
        self.weight = 1.0 / (self.orbits == first).sum(0).double()
        self.place = torch.empty(group.elements.shape[1], dtype=torch.int64)
        self.place[self.orbits.reshape(-1)] = torch.arange(self.orbits.numel())
        self.analysis, self.synthesis = group.characters()

    def _split(self, *arrays: Tensor) -> Iterator[tuple[Tensor, ...]]:
        size = max(1, BLOCK // (len(self.orbits) * self.n_queries * len(self.cosets)))
        return zip(*(array.split(size) for array in arrays))

    def _transform(self, z: Tensor) -> Tensor:
        """Fourier coefficients [F, 2, O, R] of descriptors [R, D]."""
        n_translations, n_orbits = self.orbits.shape
        z = z.T[self.orbits]  # [T, O, R]
        return (self.analysis @ z.reshape(n_translations, -1)).reshape(-1, 2, n_orbits, z.shape[2])

    def _block(self, y: Tensor, coef: Tensor, coef_energy: Tensor) -> tuple[Tensor, ...]:
        """Some of the training points. factors [F, 2 O, 2 2 M] takes (Re, Im) of q to (Re, Im) of conj(q) (y, a)."""
        both = torch.stack([self._transform(y), self._transform(coef)], 3)  # [F, 2, O, 2, M]
        re, im = both[:, 0], both[:, 1]
        factors = torch.stack([torch.cat([re, im], 1), torch.cat([im, -re], 1)], 2).flatten(2)
        return factors, y.square().sum(1)[:, None], (y * coef).sum(1)[:, None], coef_energy[:, None]

    def __call__(self, query: Tensor) -> tuple[Tensor, Tensor]:
        """f [B, D] and E [B] of descriptors [B, D]."""
        parts = [self._products(part) for part in query.split(self.n_queries)]
        f, energy = zip(*parts)
        return torch.cat(f), torch.cat(energy)

    def _products(self, query: Tensor) -> tuple[Tensor, Tensor]:
        n_translations, (b, d) = len(self.orbits), query.shape
        q = (query - self.center)[:, self.inverse].reshape(-1, d)  # [R, D], R = B C
        q_hat = (self._transform(q) * self.weight[:, None]).flatten(1, 2)
        norms, scale, energy = q.square().sum(1), q.new_zeros(len(q)), q.new_zeros(len(q))
        f_hat = torch.zeros_like(q_hat)  # [F, 2 O, R]
        for factors, *train in self.blocks:
            products = torch.bmm(factors.transpose(1, 2), q_hat).reshape(self.synthesis.shape[1], -1)
            products = (self.synthesis @ products).reshape(n_translations, 2, -1, len(q))
            weights, scales, energies = _weights(products, norms, *train, self.kernel)
            scale += scales
            energy += energies
            weights = (self.analysis @ weights.reshape(n_translations, -1)).reshape(len(f_hat), -1, len(q))
            f_hat.baddbmm_(factors, weights)
        sums = self.synthesis @ f_hat.reshape(self.synthesis.shape[1], -1)
        sums = sums.reshape(-1, len(q))[self.place]  # [D, R]
        f = (scale[:, None] * q - sums.T).reshape(b, -1, d)
        return f.gather(2, self.cosets.expand(b, -1, -1)).sum(1), energy.reshape(b, -1).sum(1)


def _weights(
    products: Tensor, norms: Tensor, train_norms: Tensor, shift: Tensor, coef_energy: Tensor, kernel
) -> tuple[Tensor, Tensor, Tensor]:
    """Weights [T, 2, M, R] of y and a in f, sum of those of q and energy [R], of products q y and q a [T, 2, M, R]."""
    r2 = (norms + train_norms - 2 * products[:, 0]).clamp_(min=0)
    s = products[:, 1] - shift
    k, g1, g2 = profile(r2, kernel)
    w1 = g2.mul_(s).add_(coef_energy * g1)
    energy = s.mul_(g1).add_(k.mul_(coef_energy)).sum((0, 1))
    return torch.stack([w1, g1], 1), w1.sum((0, 1)), energy
