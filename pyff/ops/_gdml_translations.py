"""GDML products for groups that contain translations: sums over translations become products of Fourier coefficients.

Let H be an abelian subgroup of the permutations of descriptors, its cosets being those of permutations c. Then

    x . x_j[h c] = sum_k q_k x_j[h(k)],    q = x[c^-1]

is a cross-correlation over H on each orbit of descriptor entries, diagonal in the characters of H, and so are the sums
over h of weights times x_j[h]. Distances do not change otherwise, so the result is exact. Where the direct sum takes
8 D flop for each training point and permutation, this takes 16 D / |H| for products and 8 |H| for transforms.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from torch import Tensor

from pyff.ops._gdml import PackedExpansion

if TYPE_CHECKING:
    from pyff.ops.gdml import GdmlKernel

__all__ = ["AbelianGroup", "TranslationProduct", "abelian_prefix", "arranged"]

ROWS = 64  # permuted queries handled at a time, at least
MANY = 16  # permutations below which nobody need look for translations
LARGE = 1e8  # flop of the direct sum for one query: below, it takes about as long as the calls of a transform
ELEMENT = 700  # flop that would take the time of the profile for one training point and permutation
BLOCK = 1 << 15  # distances handled at a time: arrays of this size stay in the cache


def arranged(
    train: Tensor, coef: Tensor, perms: Tensor, kernel: GdmlKernel, coef_energy: Tensor | None
) -> PackedExpansion | TranslationProduct:
    """The training set arranged for the faster of the two ways; on GPUs, always for the direct sum.

    Transforms against the native direct sum, one AVX-512 core, 100 training points: 2.1 times as fast for 32 atoms of
    fcc (1536 permutations), 2.6 for 50 of graphene (300), 5 for 54 of bcc (2592), 12 for 108 of fcc (5184). By
    benchmarks/bench_gdml_product.py.
    """
    m, (p, d) = train.shape[0], perms.shape
    direct = 8.0 * d  # flop for each training point and permutation
    group = None
    if train.device.type == "cpu" and p >= MANY and direct * m * p > LARGE:
        group = abelian_prefix(perms)
    if group is not None:
        n_frequencies, n_translations = group.n_frequencies, len(group.elements)
        n_orbits = d / n_translations
        if direct > 2 * (32 * n_orbits * n_frequencies / n_translations + 16 * n_frequencies + ELEMENT):
            return TranslationProduct(train, coef, perms, group, kernel, coef_energy)
    return PackedExpansion(train, coef, perms, kernel, coef_energy)


@dataclass(frozen=True)
class AbelianGroup:
    """Permutations [T, D] as a product of cyclic groups.

    elements: element (m_1 .. m_r), m_i < orders[i], in C order, is g_1^m_1 ... g_r^m_r.
    """

    elements: Tensor
    orders: tuple[int, ...]

    @property
    def n_frequencies(self) -> int:
        """Characters up to complex conjugation."""
        return (len(self.elements) + 2 ** sum(order % 2 == 0 for order in self.orders)) // 2

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
    Inside, lengths are multiples of a unit in which the profile has no parameter:

        f = unit sum w t - g a,    E = sum g s + c k,    s = t . a,    w = e s + h c g
        Matern: r = sqrt(5) |t| / sigma, e = exp(-r), g = (1 + r) e, k = g + r^2 e / 3, h = 1 / 3
        RBF: r = |t| / sigma, e = g = k = exp(-r^2 / 2), h = 1
    """

    def __init__(
        self,
        train: Tensor,
        coef: Tensor,
        perms: Tensor,
        group: AbelianGroup,
        kernel: GdmlKernel,
        coef_energy: Tensor | None = None,
    ) -> None:
        self.profile, self.cosets = kernel.profile, perms[:: len(group.elements)].clone()
        self.unit, self.h = (math.sqrt(5), 1 / 3) if self.profile == "matern52" else (1.0, 1.0)
        self.unit /= kernel.sigma
        self.inverse = torch.argsort(self.cosets, 1)
        self.n_queries = max(1, ROWS // len(self.cosets))  # at a time
        self._arrange_orbits(group, train.device)
        # distances stay when a descriptor that all permutations keep is taken off; rounding errors shrink
        self.center = train.mean(0)[perms].mean(0)
        self.train = self.unit * (train - self.center)
        self._set_coefficients(coef, coef_energy)

    def with_coefficients(self, coef: Tensor, coef_energy: Tensor | None) -> Self:
        """The same training points with other coefficients."""
        other = copy.copy(self)
        other._set_coefficients(coef, coef_energy)
        return other

    def _arrange_orbits(self, group: AbelianGroup, device: torch.device) -> None:
        """orbits [T, O]: h(k) of the first entry k of each orbit; weight [O]: 1 / number of h with h(k) = k."""
        elements = group.elements.to(device)
        first = torch.unique(elements.min(0).values)
        self.orbits = elements[:, first]
        self.weight = 1.0 / (self.orbits == first).sum(0).double()
        self.place = torch.empty(elements.shape[1], dtype=torch.int64, device=device)
        self.place[self.orbits.reshape(-1)] = torch.arange(self.orbits.numel(), device=device)
        self.analysis, self.synthesis = (matrix.to(device) for matrix in group.characters())

    def _set_coefficients(self, coef: Tensor, coef_energy: Tensor | None) -> None:
        self.has_energies = coef_energy is not None
        c = coef_energy if self.has_energies else torch.zeros_like(coef[:, 0])
        size = max(1, BLOCK // (len(self.orbits) * self.n_queries * len(self.cosets)))
        arrays = (self.train, self.unit * self.h * coef, c)
        self.blocks = [self._block(*part) for part in zip(*(array.split(size) for array in arrays))]

    def _transform(self, z: Tensor) -> Tensor:
        """Fourier coefficients [F, 2, O, R] of descriptors [R, D]."""
        n_translations, n_orbits = self.orbits.shape
        z = z.T[self.orbits]  # [T, O, R]
        return (self.analysis @ z.reshape(n_translations, -1)).reshape(-1, 2, n_orbits, z.shape[2])

    def _block(self, y: Tensor, a: Tensor, coef_energy: Tensor) -> tuple[Tensor, Tensor]:
        """Some of the training points: factors [F, 2 O + 2, 2 2 M] and coef_energy [M, 1].

        factors take (Re, Im) of q to (Re, Im) of conj(q) y and conj(q) a. The last two rows add what does not depend on
        translations, that is, at frequency 0: -(q q + y y) / 2 to q y, and -y a to q a.
        """
        both = torch.stack([self._transform(y), self._transform(a)], 3)  # [F, 2, O, 2, M]
        re, im = both[:, 0], both[:, 1]
        factors = torch.stack([torch.cat([re, im], 1), torch.cat([im, -re], 1)], 2)  # [F, 2 O, 2, 2, M]
        constant = torch.zeros_like(factors[:, :2])
        constant[0, 0, 0, 0] = 1.0
        constant[0, 1, 0, 0] = -0.5 * y.square().sum(1)
        constant[0, 1, 0, 1] = -(y * a).sum(1)
        return torch.cat([factors, constant], 1).flatten(2), coef_energy[:, None]

    def product(self, query: Tensor) -> tuple[Tensor, Tensor]:
        """f [B, D] and E [B] of descriptors [B, D]."""
        if not len(query):
            return query.clone(), query.new_zeros(0)
        f, energy = zip(*(self._products(part) for part in query.split(self.n_queries)))
        return torch.cat(f), torch.cat(energy)

    def _products(self, query: Tensor) -> tuple[Tensor, Tensor]:
        n_translations, (b, d) = len(self.orbits), query.shape
        q = self.unit * (query - self.center)[:, self.inverse].reshape(-1, d)  # [R, D], R = B C
        q_hat = self._query_factors(q)
        f_hat, energy = torch.zeros_like(q_hat), q.new_zeros(len(q))  # [F, 2 O + 2, R], [R]
        for factors, coef_energy in self.blocks:
            products = torch.bmm(factors.transpose(1, 2), q_hat).reshape(self.synthesis.shape[1], -1)
            products = (self.synthesis @ products).reshape(n_translations, 2, -1, len(q))
            energy += self._weigh(products[:, 0], products[:, 1], coef_energy)
            weights = (self.analysis @ products.reshape(n_translations, -1)).reshape(len(f_hat), -1, len(q))
            f_hat.baddbmm_(factors, weights)
        sums = self.synthesis @ f_hat[:, :-2].reshape(self.synthesis.shape[1], -1)
        sums = sums.reshape(-1, len(q))[self.place]  # [D, R]
        f = (f_hat[0, -2, :, None] * q - sums.T).reshape(b, -1, d)
        f = f.gather(2, self.cosets.expand(b, -1, -1)).sum(1)
        return self.unit * f, energy.reshape(b, -1).sum(1)

    def _query_factors(self, q: Tensor) -> Tensor:
        """[F, 2 O + 2, R]: Fourier coefficients of q [R, D], each orbit with its weight, and what `_block` says."""
        q_hat = (self._transform(q) * self.weight[:, None]).flatten(1, 2)
        constant = torch.zeros_like(q_hat[:, :2])
        constant[0, 0] = -0.5 * len(self.orbits) * q.square().sum(1)
        constant[0, 1] = len(self.orbits)
        return torch.cat([q_hat, constant], 1)

    def _weigh(self, w: Tensor, s: Tensor, coef_energy: Tensor) -> Tensor:
        """Energies [R]; -|t|^2 / 2 and s [T, M, R] become w and g. In place: passes over these arrays take the time."""
        if self.profile == "matern52":
            r = w.mul_(-2).clamp_(min=0).sqrt_().neg_()  # -r
            e = torch.exp(r)
            g = torch.addcmul(e, e, r, value=-1)
            k = torch.addcmul(g, e, r.square_(), value=1 / 3) if self.has_energies else None
        else:
            k = g = e = torch.exp(w.clamp_(max=0))
        torch.mul(e, s, out=w)
        s.mul_(g)
        if self.has_energies:
            s.addcmul_(coef_energy, k)
            w.addcmul_(coef_energy, g, value=self.h)
        energy = s.sum((0, 1))
        s.copy_(g)
        return energy
