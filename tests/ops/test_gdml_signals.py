"""Long native calls hear Ctrl-C between their parts."""

from __future__ import annotations

import ctypes
import signal
import sys

import numpy as np
import pytest
import torch

from pyff import _core, ops
from pyff.ops import _gdml

KERNEL = ops.GdmlKernel(10.0)


class StopError(Exception):
    """What the signal's handler raises, as Ctrl-C raises KeyboardInterrupt."""


def problem(n: int, m: int, p: int):
    """Geometries, descriptors, gradients and permutations of descriptors."""
    generator = torch.Generator().manual_seed(0)
    pos = 3 * torch.randn(m, n, 3, dtype=torch.float64, generator=generator)
    perms = torch.stack([torch.randperm(n, generator=generator) for _ in range(p)])
    return pos, *ops.inverse_distances(pos), ops.descriptor_permutations(perms)


def matrix():
    _, x, g, perms = problem(20, 40, 500)
    ops.gdml_matrix(x, g, x, g, perms, KERNEL, True)


def gram():
    _, x, g, perms = problem(20, 60, 500)
    ops.gdml_gram(x, g, perms, KERNEL)


def columns():
    _, x, g, perms = problem(20, 60, 500)
    ops.gdml_columns(x, g, x, g, perms, KERNEL, torch.arange(0, 3600, 60))


def product():
    _, x, _, perms = problem(20, 400, 100)
    _gdml.PackedExpansion(x, x, perms, KERNEL, None).product(x)


def predict():
    pos, x, _, perms = problem(20, 400, 100)
    ops.GdmlExpansion(x, x, perms, KERNEL).predict(pos)


def matching():
    pos, *_ = problem(40, 200, 1)
    distance = torch.cdist(pos, pos)
    i, j = torch.triu_indices(200, 200, 1)
    ops.match_atoms(distance, torch.linalg.eigh(distance).eigenvectors, torch.ones(40).long(), torch.stack([i, j], 1))


# the native call; where its arguments hold the address of the results, and how many of them there are
CALLS = {
    matrix: ("gdml_matrix", lambda a: a[4], (40 * 61) ** 2),
    gram: ("gdml_matrix", lambda a: a[4], (60 * 60) ** 2),
    columns: ("gdml_columns", lambda a: a[4], 60 * 3600),
    product: ("gdml_product", lambda a: a[2][1], 400 * 190),
    predict: ("gdml_predict", lambda a: a[3][1], 400 * 60),
    matching: ("atom_matching", lambda a: a[2][4], 200 * 199 // 2),
}


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_signal_ends_a_long_call_between_its_parts(call, monkeypatch):
    name, address, size = CALLS[call]
    native, results = getattr(_core, name), []

    def signalled(*args):
        out = np.ctypeslib.as_array((ctypes.c_double * size).from_address(address(args)))
        out.fill(np.nan)
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        try:
            native(*args)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            results.append(np.isfinite(out))

    def stop(*args):
        raise StopError

    for module, attribute in (("gdml_matrix", "kernel_on"), ("_gdml", "kernel"), ("gdml_expansion", "kernel")):
        monkeypatch.setattr(sys.modules[f"pyff.ops.{module}"], attribute, lambda kernel, device: signalled)
    monkeypatch.setattr(_core, "atom_matching", signalled)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more of them work off larger parts
    before = signal.signal(signal.SIGALRM, stop)
    try:
        with pytest.raises(StopError):
            call()
    finally:
        signal.signal(signal.SIGALRM, before)
        torch.set_num_threads(threads)
    assert results[0].any() and results[0].mean() < 0.9 * (0.5 if call is gram else 1.0)
