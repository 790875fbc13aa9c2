"""CUDA ops on a real GPU against the CPU's: values, gradients and second derivatives. Their logic is tested without
one in tests/csrc/test_cuda_*.cpp and test_cuda_library.py."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _cuda_cases import CUTOFF, PAIR_LAWS, attention, batch, draw, gdml, pair_energy
from _gdml import random_positions, rotations
from _graphs import edge_arguments, random_crystal, random_molecule
from _twins import derivatives, error

from pyff import ops
from pyff.ops import _cuda, reference

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU (or is built without CUDA)")

G = 9


def shape(last="identity"):
    return ops.FilterShape(ops.GaussianBasis(0.0, 0.4, 3.0, G), ops.Cutoff("cosine", CUTOFF), "ssp", last)


def on(device, kind, b, dtype):
    """(op, inputs) on a device; distances come from positions, so that pairs stay symmetric."""
    b, f = b.to(device), 36
    weights = [draw(f, G, seed=1), draw(f, seed=2), draw(f, f, seed=3) / 6, draw(f, seed=4)]
    if kind == "table":
        weights = [draw(20, 6, f, seed=5)]
    inputs = [x.to(device, dtype) for x in (draw(b.n_atoms, f), *weights)]

    def op(h, pos, *w):
        graph = edge_arguments(b)
        distance = reference.edge_geometry(pos, b.cell, b.shift, *graph, b.batch)[1]
        if kind == "table":
            return ops.cfconv_table(h, distance, *w, *graph, 0.0, CUTOFF / 20)
        return ops.cfconv(h, distance, tuple(w), *graph, shape())

    return op, [inputs[0], b.pos, *inputs[1:]]


def test_status_is_live():
    assert _cuda.is_live(), _cuda.status()
    assert torch.cuda.get_device_name(0) in _cuda.status()


@pytest.mark.parametrize("kind", ["table", "network"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_cfconv_on_the_gpu_equals_the_cpu(kind, dtype):
    b = batch()
    # second derivatives among the weights come from the twin and are left out
    mask = [True, True] + [False] * (4 if kind == "network" else 1)
    results = [derivatives(*on(device, kind, b, dtype), mask) for device in ("cpu", "cuda")]
    for want, got in zip(*results):
        for x, y in zip(want, got):
            assert error(y.cpu(), x) < (1e-11 if dtype == torch.float64 else 2e-5)


@pytest.mark.parametrize("kind", ["table", "network"])
def test_cfconv_on_the_gpu_gives_the_same_bits_every_time(kind):
    op, inputs = on("cuda", kind, batch(), torch.float32)
    first, second = derivatives(op, inputs), derivatives(op, inputs)
    for x, y in zip(first, second):
        assert all(torch.equal(a, b) for a, b in zip(x, y))


@pytest.mark.parametrize("kind", ["table", "rows"])
@pytest.mark.parametrize("spherical", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_attention_on_the_gpu_equals_the_cpu(kind, spherical, dtype):
    results = []
    for device in ("cpu", "cuda"):
        op, inputs, mask = attention(device, kind, dtype, spherical=spherical)
        results.append(derivatives(op, inputs, mask))
    for want, got in zip(*results):
        for x, y in zip(want, got):
            assert error(y.cpu(), x) < (1e-11 if dtype == torch.float64 else 5e-5)


def test_attention_on_the_gpu_gives_the_same_bits_every_time():
    op, (pos, *inputs), (_pos, *mask) = attention("cuda", "table", torch.float32)
    # torch's own sums over edges, where positions are differentiated, come in any order
    fixed = lambda *x: op(pos, *x)  # noqa: E731
    for x, y in zip(derivatives(fixed, inputs, mask), derivatives(fixed, inputs, mask)):
        assert all(torch.equal(a, b) for a, b in zip(x, y))


@pytest.mark.parametrize("law", PAIR_LAWS)
def test_pair_energies_on_the_gpu_equal_the_cpu(law):
    results = [derivatives(*pair_energy(device, law)) for device in ("cpu", "cuda")]
    for want, got in zip(*results):
        for x, y in zip(want, got):
            assert error(y.cpu(), x) < 1e-11


@pytest.mark.parametrize("profile", ["matern52", "rbf"])
@pytest.mark.parametrize(("n", "p"), [(5, 3), (21, 6)])
def test_gdml_matrices_on_the_gpu_equal_the_cpu(n, p, profile):
    perms, kernel = ops.descriptor_permutations(rotations(n, p)), ops.GdmlKernel(0.9, profile)
    columns, results = torch.randperm(9 * n, generator=torch.Generator().manual_seed(1))[: 3 * n], []
    for device in ("cpu", "cuda"):
        one, two = ([a.to(device) for a in ops.inverse_distances(random_positions(3, n, k))] for k in (1, 2))
        settings = (perms.to(device), kernel)
        gram = ops.gdml_gram(*one, *settings, True)
        chosen = ops.gdml_columns(*one, *two, *settings, columns.to(device), True)
        results.append((ops.gdml_matrix(*one, *two, *settings, True), torch.triu(gram), chosen))
    for want, got in zip(*results):
        assert error(got.cpu(), want) < 1e-12


def test_attention_runs_on_the_current_stream():
    op, inputs, _mask = attention("cuda", "table", torch.float64)
    want = op(*inputs)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        got = op(*inputs)
    torch.cuda.current_stream().wait_stream(stream)
    assert all(torch.equal(a, b) for a, b in zip(got, want))


def test_cfconv_runs_on_the_current_stream():
    op, inputs = on("cuda", "table", batch(), torch.float64)
    want = op(*inputs)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        got = op(*inputs)
    torch.cuda.current_stream().wait_stream(stream)
    assert torch.equal(got, want)


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_distances_on_the_gpu_equal_the_cpu(norm):
    x, y = draw(700, 276), draw(300, 276, seed=1)
    for other in (y, None):
        want, got = ops.distance_matrix(x, other, norm), ops.distance_matrix(x.cuda(), _cuda_or_none(other), norm)
        assert got.is_cuda and error(got.cpu(), want) < 1e-12
    kind = {"l1": "laplacian", "l2": "gaussian"}[norm]
    got = ops.kernel_matrix(x.cuda(), None, 300.0, kind).cpu()
    assert error(got, ops.kernel_matrix(x, None, 300.0, kind)) < 1e-12 and torch.equal(got, got.T)


def test_gdml_on_the_gpu_equals_the_cpu():
    want, got = gdml("cpu"), gdml("cuda")
    for name, x in want.items():
        assert float((got[name] - x).abs().max()) < 1e-12 * float(x.abs().max()), name


def _cuda_or_none(x):
    return None if x is None else x.cuda()


def test_tensors_on_two_devices_are_refused():
    b = batch()
    graph = edge_arguments(b)
    distance = torch.ones(b.n_edges, dtype=torch.float64)
    with pytest.raises(ValueError, match="coef must be on the device of h"):
        ops.cfconv_table(draw(b.n_atoms, 4), distance, draw(3, 6, 4).cuda(), *graph, 0.0, 1.0)


@pytest.mark.parametrize("n", [1, 30, 3000])
@pytest.mark.parametrize("pbc", [[True] * 3, [True, False, True], [False] * 3])
def test_neighbor_list_on_the_gpu_equals_the_cpu(n, pbc):
    cell = torch.tensor([[1.0, 0, 0], [0.2, 1.1, 0], [-0.1, 0.3, 0.9]], dtype=torch.float64) * 2.2 * n ** (1 / 3)
    pos = torch.rand(n, 3, generator=torch.Generator().manual_seed(n), dtype=torch.float64) @ cell * 3
    pbc = torch.tensor(pbc)
    want = ops.neighbor_list(pos, cell, pbc, 5.0)
    got = ops.neighbor_list(pos.cuda(), cell.cuda(), pbc.cuda(), 5.0)
    assert all(x.is_cuda for x in got)
    assert torch.equal(got.row_ptr.cpu(), want.row_ptr)
    keys = [torch.cat([x.idx_i[:, None], x.idx_j[:, None], x.shift], 1).cpu() for x in (got, want)]
    rows = [k[torch.from_numpy(_lexsorted(k))] for k in keys]
    assert torch.equal(rows[0], rows[1]) and torch.equal(keys[0], rows[0])
    assert torch.equal(got.shift[got.edge_rev], -got.shift) and torch.equal(got.idx_i[got.edge_rev], got.idx_j)


def _lexsorted(keys):
    return np.lexsort(keys.numpy().T[::-1])


def test_neighbor_list_on_the_gpu_of_a_batch_equals_the_cpu():
    structures = [random_crystal(), random_molecule(9, 2), random_crystal(20, 6.0, 3)]
    pos = torch.cat([torch.as_tensor(s[1]) for s in structures])
    cell = torch.stack([torch.as_tensor(s[2]) for s in structures])
    pbc = torch.tensor([[s[3]] * 3 for s in structures])
    batch_of = torch.repeat_interleave(torch.arange(3), torch.tensor([len(s[0]) for s in structures]))
    want = ops.neighbor_list(pos, cell, pbc, 4.0, batch=batch_of)
    got = ops.neighbor_list(pos.cuda(), cell.cuda(), pbc.cuda(), 4.0, batch=batch_of.cuda())
    assert torch.equal(got.row_ptr.cpu(), want.row_ptr)
    assert torch.equal(got.idx_j.cpu().sort().values, want.idx_j.sort().values)


def test_neighbor_list_on_the_gpu_refuses_bad_input():
    pos = torch.zeros(2, 3, dtype=torch.float64, device="cuda")
    with pytest.raises(ValueError, match="pos must be finite"):
        ops.neighbor_list(pos * float("nan"), cutoff=3.0)
    n = len(pos)
    for wrong in ([-5] * n, [0] * (n - 1) + [10**15], [1] + [0] * (n - 1)):
        with pytest.raises(ValueError, match="batch must be ascending"):
            ops.neighbor_list(pos, cutoff=3.0, batch=torch.tensor(wrong, device=pos.device))
    for ptr in ([0, n + 1], [1, n], [0, n, 0, n]):
        with pytest.raises(ValueError, match="ptr must ascend"):
            ops.neighbor_list(pos, cutoff=3.0, ptr=torch.tensor(ptr, device=pos.device))
    with pytest.raises(ValueError, match="ptr must be on cuda"):
        ops.neighbor_list(pos, cutoff=3.0, ptr=torch.tensor([0, n]))
