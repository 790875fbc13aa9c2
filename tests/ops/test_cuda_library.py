"""Loading of the CUDA library, and its functions end to end on the CPU: the kernels' host implementation, compiled
into a library of the same interface, is called through the same bindings and compared with the CPU's ops.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from _data import CHECKOUT

from pyff import _core
from pyff.ops import _cuda

SOURCES = sorted((CHECKOUT / "csrc" / "cuda").glob("*.cu"))


def run_python(code: str, library: Path | str) -> str:
    helpers = [str(CHECKOUT / "tests"), str(CHECKOUT / "tests" / "ops"), os.environ.get("PYTHONPATH")]
    environment = dict(os.environ, PYFF_CUDA_LIBRARY=str(library), PYTHONPATH=os.pathsep.join(filter(None, helpers)))
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.fixture(scope="module")
def host_library(tmp_path_factory) -> Path:
    """The library's sources compiled for the CPU."""
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if not SOURCES or compiler is None:
        pytest.skip("needs a checkout and a C++ compiler")
    path = tmp_path_factory.mktemp("cuda") / "libpyff_cuda_host.so"
    flags = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-fvisibility=hidden"]
    include = f"-I{CHECKOUT / 'csrc'}"
    subprocess.run([compiler, *flags, include, "-x", "c++", *map(str, SOURCES), "-o", str(path)], check=True)
    return path


STATUS = "from pyff.ops import _cuda; print(_cuda.status()); print(_cuda.is_live())"
REQUIRE = """
from pyff.ops import _cuda
try:
    _cuda.library()
except RuntimeError as error:
    print(error)
"""


def test_status_says_live_or_why_not():
    live, text = _cuda.is_live(), _cuda.status()
    assert text.startswith("live on " if live else "not live: ")
    assert live or text.endswith(".")


def test_a_missing_library_is_one_clear_sentence(tmp_path):
    text = run_python(REQUIRE, tmp_path / "libpyff_cuda.so")
    assert text.startswith("this pyff was built without CUDA kernels") and text.count("\n") == 0


def test_a_broken_library_is_one_clear_sentence(tmp_path):
    path = tmp_path / "libpyff_cuda.so"
    path.write_bytes(b"no library")
    text = run_python(REQUIRE, path)
    assert text.startswith("pyff's CUDA library cannot be loaded: ") and str(path) in text


def test_a_library_of_another_build_is_refused():
    text = run_python(REQUIRE, _core.__file__)
    assert text == f"{_core.__file__} belongs to another build of pyff; reinstall pyff."


def test_host_library_is_live(host_library):
    assert run_python(STATUS, host_library).endswith("(for tests)\nTrue")


NEIGHBORS = """
import torch
from pyff import ops
from pyff.ops import _cuda

g = torch.Generator().manual_seed(3)
cell = torch.zeros(2, 3, 3, dtype=torch.float64)
cell[0] = torch.tensor([[6.0, 0, 0], [1.5, 5, 0], [-1, 0.5, 7]])
pos = torch.randn(25, 3, generator=g, dtype=torch.float64) * 4
pbc = torch.tensor([[True, False, True], [False] * 3])
ptr = torch.tensor([0, 15, 25])
batch = torch.repeat_interleave(torch.arange(2), ptr.diff())
got = ops.NeighborList(*_cuda.neighbor_list(pos, cell, pbc, batch, ptr, 4.5))
want = ops.neighbor_list(pos, cell, pbc, 4.5, ptr=ptr)

def canonical(x):
    keys = torch.cat([x.idx_i[:, None], x.idx_j[:, None], x.shift.long()], 1)
    return sorted(map(tuple, keys.tolist()))

assert len(want.idx_i) > 50
assert torch.equal(got.row_ptr, want.row_ptr) and canonical(got) == canonical(want)
assert torch.equal(got.idx_i[got.edge_rev], got.idx_j) and torch.equal(got.shift[got.edge_rev], -got.shift)

def refused(pos=pos, cell=cell, cutoff=4.5):
    try:
        _cuda.neighbor_list(pos, cell, pbc, batch, ptr, cutoff)
    except ValueError as error:
        print(error)

refused(pos=pos * float("nan"))
refused(cell=cell * 0)
refused(cutoff=-1.0)
"""


def test_neighbor_list_through_the_library_equals_the_cpu_op(host_library):
    lines = run_python(NEIGHBORS, host_library).splitlines()
    assert [line.split(" must ")[0] for line in lines] == ["neighbor_list: pos", "neighbor_list: cell", "cutoff"]


CFCONV = """
import torch
from pyff import _core, ops
from pyff.ops import _cuda

torch.set_num_threads(1)
g = torch.Generator().manual_seed(5)
pos = torch.randn(9, 3, generator=g, dtype=torch.float64) * 1.5
graph = ops.neighbor_list(pos, cutoff=3.0)
edges = (graph.row_ptr, graph.idx_i, graph.idx_j, graph.edge_rev)
distance = (pos[graph.idx_j] - pos[graph.idx_i]).norm(dim=1)
n, e, f, k, size = 9, len(distance), 6, 12, 5
assert e > 20

def compare(name, dtype, filter_args, parameters):
    suffix = str(dtype).removeprefix("torch.")
    draw = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64).to(dtype)
    h, grad_y, u, v = draw(n, f), draw(n, f), draw(n, f), draw(e).double()
    for order in range(3):
        results = []
        for device in ("cpu", "cuda"):
            out = [torch.full((n, f), torch.nan, dtype=dtype) for _ in range(4)]
            out[2] = torch.full((e,), torch.nan, dtype=torch.float64)
            grads = [torch.full_like(p, torch.nan) for p in parameters]
            args = [order, (n, e, *(x.data_ptr() for x in edges)),
                    (f, *(x.data_ptr() for x in (distance, h, grad_y, u, v)), 1), *filter_args,
                    [x.data_ptr() for x in out], [x.data_ptr() for x in grads]]
            if name == "cfconv_table":
                args[-1] = args[-1][0]
            if device == "cpu":
                getattr(_core, f"{name}_{suffix}")(*args)
            else:
                _cuda.call(f"{name}_{suffix}", torch.device("cpu"), *args)
            wanted = {0: out[:1], 1: out[1:3] + grads, 2: out[1:] + grads}[order]
            results.append(wanted)
        for a, b in zip(*results):
            error = (a - b).abs().max() / a.abs().max()
            assert error < (1e-12 if dtype == torch.float64 else 5e-6), (name, dtype, order, error)

for dtype in (torch.float32, torch.float64):
    draw = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64).to(dtype)
    coef = draw(k, 6, f)
    compare("cfconv_table", dtype, [(coef.data_ptr(), k, 0.0, 3.0 / k)], [coef])
    weights = [draw(f, size), draw(f), draw(f, f), draw(f)]
    shape = ((0, 0.0, 0.75, 1.5, size), (1, 3.0, 0.0), 1, 2)
    compare("cfconv_network", dtype, [[w.data_ptr() for w in weights], shape], weights)
print("ok")
"""


def test_cfconv_through_the_library_equals_the_cpu_op(host_library):
    assert run_python(CFCONV, host_library) == "ok"


# an op's kernel taken from the library, for tensors that are still the CPU's
THROUGH_LIBRARY = """
import sys
from functools import partial

import _cuda_cases as cases
import torch
from _twins import derivatives, error

from pyff.ops import _check, _cuda

torch.set_num_threads(1)
on_cpu = _check.kernel
called = set()


def through_library(name, device):
    called.add(name)
    return partial(_cuda.call, name, device)


def compare(what, tolerance, op, inputs, mask=None):
    results = []
    for kernel in (on_cpu, through_library):
        _check.kernel = sys.modules["pyff.ops.pair_energy"].kernel = kernel
        results.append(derivatives(op, inputs, mask))
    for level, (want, got) in enumerate(zip(*results)):
        for k, (a, b) in enumerate(zip(want, got)):
            assert error(b, a) < tolerance, (what, level, k, error(b, a))
"""

ATTENTION = f"""{THROUGH_LIBRARY}
for kind in ("table", "rows"):
    for spherical in (True, False):
        for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 2e-5)):
            op, inputs, mask = cases.attention("cpu", kind, dtype, spherical=spherical)
            compare((kind, spherical, dtype), tolerance, op, inputs, mask)
print(*sorted(called))
"""

PAIR_ENERGIES = f"""{THROUGH_LIBRARY}
for law in cases.PAIR_LAWS:
    for cutoff in (cases.CUTOFF, None):
        if law != "erfc" or cutoff:
            compare((law, cutoff), 1e-11, *cases.pair_energy("cpu", law, cutoff=cutoff))
print(*called)
"""

DISTANCES = """
import sys
from functools import partial

import torch

from pyff import ops
from pyff.ops import _check, _cuda

x, y = (torch.randn(n, 21, dtype=torch.float64) for n in (70, 9))
results = []
for kernel in (_check.kernel, lambda name, device: partial(_cuda.call, name, device)):
    sys.modules["pyff.ops.distance_matrix"].kernel = kernel
    results.append([ops.distance_matrix(x, y, "l1"), ops.distance_matrix(x), ops.kernel_matrix(x, None, 9.0)])
print(max(float((a - b).abs().max()) for a, b in zip(*results)) < 1e-13)
"""

GDML_MATRIX = f"""{THROUGH_LIBRARY}
import importlib

from pyff import ops
from _gdml import random_positions, rotations

module = importlib.import_module("pyff.ops.gdml_matrix")
x, g = ops.inverse_distances(random_positions(3, 6, 1))
others = ops.inverse_distances(random_positions(2, 6, 2))
perms, columns = ops.descriptor_permutations(rotations(6, 4)), torch.tensor([3, 30, 8, 0])
for profile in ("matern52", "rbf"):
    for energies in (False, True):
        settings, results = (perms, ops.GdmlKernel(0.9, profile)), []
        for kernel in (on_cpu, through_library):
            module.kernel_on = kernel
            results.append((
                ops.gdml_matrix(x, g, *others, *settings, energies),
                torch.triu(ops.gdml_gram(x, g, *settings, energies)),
                ops.gdml_columns(x, g, *others, *settings, columns, energies),
                ops.gdml_diagonal(x, g, *settings, energies),
            ))
        for want, got in zip(*results):
            assert error(got, want) < 1e-12
print(*sorted(called))
"""


def test_gdml_matrices_through_the_library_equal_the_cpu_ops(host_library):
    assert run_python(GDML_MATRIX, host_library) == "gdml_columns gdml_matrix"


GDML = """
import sys
from functools import partial

import _cuda_cases as cases
import torch

from pyff.ops import _check, _cuda

torch.set_num_threads(1)
called, results = set(), []


def through_library(name, device):
    called.add(name)
    return partial(_cuda.call, name, device)


for kernel in (_check.kernel, through_library):
    for name in ("_gdml.kernel", "gdml.native"):
        module, _, attribute = name.partition(".")
        setattr(sys.modules[f"pyff.ops.{module}"], attribute, kernel)
    results.append(cases.gdml("cpu"))
for name, want in results[0].items():
    assert float((results[1][name] - want).abs().max()) < 1e-12 * float(want.abs().max()), name
print(*sorted(called))
"""


def test_gdml_through_the_library_equals_the_cpu_ops(host_library):
    assert run_python(GDML, host_library) == "gdml_descriptors gdml_jacobian gdml_product"


def test_attention_through_the_library_equals_the_cpu_op(host_library):
    assert run_python(ATTENTION, host_library) == "equivariant_attention_float32 equivariant_attention_float64"


def test_pair_energies_through_the_library_equal_the_cpu_ops(host_library):
    assert run_python(PAIR_ENERGIES, host_library) == "pair_energy"


def test_distances_through_the_library_equal_the_cpu_op(host_library):
    assert run_python(DISTANCES, host_library) == "True"
