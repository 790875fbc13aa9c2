"""The thread pool as Python sees it: same numbers for any count, after fork, in data-loader workers, from threads."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from _native import example, silu, silu_reference
from _python import HERE, output_of

CASES = ["fork", "fork_twice", "fork_while_busy", "threads", "loader_fork", "loader_spawn"]
COUNT = "from pyff._threads import thread_count; print(thread_count())"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_threads_change_no_bit(dtype):
    x = example(dtype=dtype)
    want = silu(x, 1)
    # the tolerance of one pointwise function in this precision
    np.testing.assert_allclose(want, silu_reference(x), rtol=0, atol=8 * np.finfo(dtype).eps * np.abs(x).max())
    for threads in (2, 3, 7, 64):
        assert np.array_equal(silu(x, threads), want)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.skipif(sys.platform == "win32", reason="fork is POSIX")
def test_pool_works_in_case(case, tmp_path: Path):
    assert output_of(HERE / "_thread_cases.py", case, cwd=tmp_path) == "ok"


def test_thread_count_is_torchs_when_torch_is_loaded(tmp_path):
    code = f"import torch; torch.set_num_threads(3); {COUNT}"
    assert output_of("-c", code, cwd=tmp_path, OMP_NUM_THREADS="2") == "3"


def test_thread_count_reads_the_environment_without_torch(tmp_path):
    code = f"{COUNT}; import sys; assert 'torch' not in sys.modules"
    assert output_of("-c", code, cwd=tmp_path, OMP_NUM_THREADS="5") == "5"
    assert output_of("-c", code, cwd=tmp_path, OMP_NUM_THREADS="4,2") == "4"  # nested levels: the first counts


@pytest.mark.skipif(not hasattr(__import__("os"), "sched_setaffinity"), reason="no affinity mask on this system")
@pytest.mark.parametrize("wish", ["", "0", "many"])
def test_thread_count_is_the_affinity_masks_otherwise(wish, tmp_path):
    code = f"import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); {COUNT}"
    assert output_of("-c", code, cwd=tmp_path, OMP_NUM_THREADS=wish) == "1"
