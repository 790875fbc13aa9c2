"""Instruction sets, threads, imports and memory of the neighbor list, in processes of their own."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from pyff import _core, neighbor_list
from pyff._threads import thread_count

# several structures: an open molecule, a periodic liquid, a crystal with distances at the cutoff, a skewed cell
DIGEST = """
import hashlib, json, numpy as np
from pyff import _core, neighbor_list
rng = np.random.default_rng(0)
grid = np.stack(np.meshgrid(*[np.arange(12) * 2.0] * 3, indexing="ij"), -1).reshape(-1, 3)
skewed = np.array([[4.6, 0, 0], [3.1, 4.4, 0], [-2.7, 2.9, 4.2]])
cases = [
    (rng.random((25, 3)) * 8, np.zeros((3, 3)), False),
    (rng.random((3000, 3)) * 31, np.eye(3) * 31, True),
    (grid, np.eye(3) * 24, (True, True, False)),
    (rng.random((12, 3)) @ skewed, skewed, True),
]
h, n = hashlib.sha256(), 0
for pos, cell, pbc in cases:
    for half in (False, True):
        arrays = neighbor_list("ijSDd", positions=pos, cell=cell, pbc=pbc, cutoff=4.0, half=half)
        n += len(arrays[0])
        for a in arrays:
            h.update(a.tobytes())
print(json.dumps([_core.isa(), n, h.hexdigest()]))
"""


def run(code: str, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=os.environ | env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def digest(**env: str):
    return json.loads(run(DIGEST, **env))


def test_instruction_sets_give_the_same_bytes():
    order = ["baseline", "avx2", "avx512"]
    available = order[: order.index(_core.best_isa()) + 1]
    results = {isa: digest(PYFF_ISA=isa) for isa in available}
    assert [r[0] for r in results.values()] == available
    assert results["baseline"][1] > 100_000
    assert len({tuple(r[1:]) for r in results.values()}) == 1


def test_thread_counts_give_the_same_bytes():
    results = {n: digest(OMP_NUM_THREADS=str(n)) for n in (1, 2, 4, 7)}
    assert len({tuple(r) for r in results.values()}) == 1


def test_import_needs_neither_torch_nor_scipy_nor_ase():
    code = """
import sys, pyff
pyff.neighbor_list("ijSDd", positions=[[0, 0, 0], [1, 0, 0]], cell=None, cutoff=2.0)
print([m for m in ("torch", "scipy", "ase") if m in sys.modules])
"""
    assert run(code).strip() == "[]"


def test_calls_from_several_python_threads_agree():
    rng = np.random.default_rng(0)
    systems = [rng.random((n, 3)) * (n / 0.1) ** (1 / 3) for n in (30, 400, 2000, 900)]

    def answer(pos):
        arrays = neighbor_list("ijSDd", positions=pos, cell=np.eye(3) * 40, pbc=True, cutoff=4.0)
        return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()

    want = [answer(pos) for pos in systems]
    wrong = []

    def work(k):
        for _ in range(20):
            if answer(systems[k % 4]) != want[k % 4]:
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_one_atom_with_a_huge_cutoff_lets_other_threads_run():
    ticks, done = [], threading.Event()

    def tick():
        while not done.wait(0.002):
            ticks.append(time.monotonic())

    clock = threading.Thread(target=tick)
    clock.start()
    start = time.monotonic()
    n_pairs = len(neighbor_list("d", positions=np.zeros((1, 3)), cell=np.eye(3), pbc=True, cutoff=120.0))
    end = time.monotonic()
    done.set()
    clock.join()
    assert n_pairs > 7e6
    assert sum(start < t < end for t in ticks) >= 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_child_forked_after_a_parallel_call_can_search():
    code = """
import os, numpy as np
from pyff import neighbor_list
pos = np.random.default_rng(0).random((4000, 3)) * 34
n = len(neighbor_list("i", positions=pos, cutoff=4.0))
pid = os.fork()
if pid == 0:
    os._exit(0 if len(neighbor_list("i", positions=pos, cutoff=4.0)) == n else 1)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert run(code, OMP_NUM_THREADS="4").strip() == "0"


def test_thread_count_follows_the_environment_then_torch():
    code = "from pyff._threads import thread_count; print(thread_count())"
    assert run(code, OMP_NUM_THREADS="3").strip() == "3"
    assert run(code, OMP_NUM_THREADS="").strip() == str(len(os.sched_getaffinity(0)))
    with_torch = "import torch; torch.set_num_threads(5); " + code
    assert run(with_torch, OMP_NUM_THREADS="3").strip() == "5"
    assert thread_count() >= 1


def test_repeated_calls_do_not_grow_memory():
    code = """
import resource, numpy as np
from pyff import neighbor_list
pos = np.random.default_rng(0).random((3000, 3)) * 31
def calls(n):
    for k in range(n):
        neighbor_list("ijSDd", positions=pos[: 2000 + 10 * (k % 90)], cell=np.eye(3) * 31, pbc=True, cutoff=5.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
calls(100)
first = calls(100)
print(calls(300) - first)
"""
    assert int(run(code, OMP_NUM_THREADS="1")) < 4000  # KiB


PEAK = """
import json, numpy as np
from pyff import neighbor_list
def kib(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key))
n = {n}
rng = np.random.default_rng(0)
L = (n / 0.1) ** (1 / 3)
m = round(n ** (1 / 3))
pos = (np.stack(np.meshgrid(*[np.arange(m)] * 3, indexing="ij"), -1).reshape(-1, 3) + 0.5) * (L / m)
pos += rng.uniform(-0.5, 0.5, pos.shape)
order = rng.permutation(len(pos))
pos = pos[order]
neighbor_list("ijSDd", positions=pos[:2000], cutoff=5.0)
before = kib("VmRSS")
i, j, S, D, d = neighbor_list("ijSDd", positions=pos, cell=np.eye(3) * L, pbc=True, cutoff=5.0)
peak = kib("VmHWM")
E = len(i)
extra = 1024 * (peak - before) - 60 * E
chosen = rng.integers(0, E, 100000)
vec = pos[j[chosen]] - pos[i[chosen]] + S[chosen] * L
print(json.dumps(dict(
    atoms=len(pos), pairs=E, output=sum(a.nbytes for a in (i, j, S, D, d)), extra=extra,
    sorted=bool((np.diff(i) >= 0).all()), rows=np.bincount(i, minlength=len(pos)).tolist()[:5],
    symmetric=bool((np.bincount(i, minlength=len(pos)) == np.bincount(j, minlength=len(pos))).all()),
    balance=float(np.abs(D.sum(0)).max()), shifts=S.sum(0, dtype=np.int64).tolist(),
    vectors=float(np.abs(vec - D[chosen]).max()), longest=float(d.max()))))
if {count}:
    from scipy.spatial import cKDTree
    tree = cKDTree(pos % L, boxsize=L)
    print(int(tree.count_neighbors(tree, 5.0)) - len(pos))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_and_count_of_a_large_list():
    n = int(os.environ.get("PYFF_TEST_LARGE_ATOMS", "125000"))
    out = run(PEAK.format(n=n, count=True), OMP_NUM_THREADS="2").splitlines()
    got = json.loads(out[0])
    assert got["pairs"] == int(out[1]) > 45 * n
    assert got["output"] == 60 * got["pairs"]
    assert got["extra"] <= 4 * got["pairs"] + 200 * got["atoms"]
    assert got["sorted"] and got["symmetric"] and got["shifts"] == [0, 0, 0]
    assert got["vectors"] < 1e-11 and got["longest"] < 5.0 and got["balance"] < 1e-5
