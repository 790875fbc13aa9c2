"""Programs that test_threads.py starts: python _thread_cases.py CASE. Each asserts and prints 'ok'."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings

import numpy as np
from _native import example, silu

THREADS = 3
HANG = 30  # seconds after which a child is killed, so that a deadlock is a failure and not a hang


def check(seed: int = 0) -> None:
    x = example(seed)
    # one thread is the reference: static chunks of a pointwise kernel give the same bits
    assert np.array_equal(silu(x, THREADS), silu(x, 1))


def exit_code_of_child(work) -> int:
    child = os.fork()
    if child == 0:
        signal.alarm(HANG)
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def fork() -> None:
    check()
    for _ in range(3):
        assert exit_code_of_child(check) == 0
    check()


def fork_twice() -> None:
    """A child of a child, each having used the pool."""

    def child() -> None:
        check()
        assert exit_code_of_child(check) == 0
        check()

    check()
    assert exit_code_of_child(child) == 0


def fork_while_busy() -> None:
    """Forks while another Python thread is inside the kernel, with the pool's locks in any state."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            check()

    check()  # numpy's lazy imports are over: a child forked within one would wait for its lock
    busy = threading.Thread(target=work)
    busy.start()
    try:
        assert [exit_code_of_child(check) for _ in range(5)] == [0] * 5
    finally:
        stop.set()
        busy.join()


def threads() -> None:
    """Four Python threads at once; the GIL is released, so they meet in the pool."""
    wrong: list[int] = []

    def work(seed: int) -> None:
        x = example(seed)
        want = silu(x, 1)
        wrong.extend(k for k in range(200) if not np.array_equal(silu(x, THREADS), want))

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


class Squashed:
    """A data set whose items need the kernel."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, seed: int) -> np.ndarray:
        return silu(example(seed), THREADS)


def loader(context: str) -> None:
    from torch.utils.data import DataLoader

    check()  # the parent's pool has threads before the workers are made
    items = DataLoader(Squashed(), batch_size=None, num_workers=2, multiprocessing_context=context, timeout=HANG)
    got = [np.asarray(item) for item in items]
    assert all(np.array_equal(y, silu(example(seed), 1)) for seed, y in enumerate(got))
    assert len(got) == 6
    check()


CASES = {
    "fork": fork,
    "fork_twice": fork_twice,
    "fork_while_busy": fork_while_busy,
    "threads": threads,
    "loader_fork": lambda: loader("fork"),
    "loader_spawn": lambda: loader("spawn"),
}

if __name__ == "__main__":
    # forking with threads alive is what these programs are about; Python 3.12 warns of it
    warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
    CASES[sys.argv[1]]()
    print("ok")
