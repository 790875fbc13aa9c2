from __future__ import annotations

import math

import torch

__all__ = ["spherical_harmonics"]


def spherical_harmonics(u, degrees):
    """Twin of pyff.ops.spherical_harmonics."""
    x, y, z = u.unbind(-1)
    return torch.cat([torch.stack(_DEGREE[degree](x, y, z), -1) for degree in degrees], -1)


def _c(ratio: float) -> float:
    return math.sqrt(ratio / math.pi)


def _l1(x, y, z):
    c = _c(3 / 4)
    return [c * y, c * z, c * x]


def _l2(x, y, z):
    a, b = _c(15) / 2, _c(5) / 4
    return [a * x * y, a * y * z, b * (3 * z**2 - 1), a * x * z, a / 2 * (x**2 - y**2)]


def _l3(x, y, z):
    a, b, c, d = _c(35 / 2) / 4, _c(105) / 2, _c(21 / 2) / 4, _c(7) / 4
    return [
        a * y * (3 * x**2 - y**2),
        b * x * y * z,
        c * y * (5 * z**2 - 1),
        d * z * (5 * z**2 - 3),
        c * x * (5 * z**2 - 1),
        b / 2 * z * (x**2 - y**2),
        a * x * (x**2 - 3 * y**2),
    ]


def _l4(x, y, z):
    a, b, c, d, e = _c(35) * 3 / 4, _c(35 / 2) * 3 / 4, _c(5) * 3 / 4, _c(5 / 2) * 3 / 4, 3 / 16 * _c(1)
    return [
        a * x * y * (x**2 - y**2),
        b * y * z * (3 * x**2 - y**2),
        c * x * y * (7 * z**2 - 1),
        d * y * z * (7 * z**2 - 3),
        e * (35 * z**4 - 30 * z**2 + 3),
        d * x * z * (7 * z**2 - 3),
        c / 2 * (x**2 - y**2) * (7 * z**2 - 1),
        b * x * z * (x**2 - 3 * y**2),
        a / 4 * (x**2 * (x**2 - 3 * y**2) - y**2 * (3 * x**2 - y**2)),
    ]


_DEGREE = {1: _l1, 2: _l2, 3: _l3, 4: _l4}
