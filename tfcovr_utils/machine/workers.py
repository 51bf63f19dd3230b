"""Worker processes that end with the run that started them, however that ends."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from functools import cache
from pathlib import Path

MOST = 4  # trainings side by side; each holds its own weights and clips in memory


def make_pool(workers: int, threads: int | None = None) -> ProcessPoolExecutor:
    """A pool of fresh processes: a fork would inherit the locks of a notebook's kernel, and a decoder's threads do not survive it.

    threads: of torch in each; None leaves them as they are.
    """
    return ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_begin_worker, initargs=(threads,)
    )


def how_many() -> int:
    """Processes to compute with: one where a GPU does the work, which one training fills; else the threads that torch has, up to MOST."""
    import torch  # here, since a worker that renders needs none

    return 1 if torch.cuda.is_available() else min(torch.get_num_threads(), MOST)


def side_by_side(function: Callable, calls: Sequence[tuple]) -> None:
    """Call `function(*arguments)` for all `calls`; begin with the longest. What they make they keep in files, so nothing is returned.

    The threads that torch has here are shared out: two small trainings of one thread each do half as much again as one after
    another with two. Where there is to be one process (`how_many`), they run here, in order.
    """
    import torch

    processes = min(len(calls), how_many())
    if processes < 2:
        for arguments in calls:
            function(*arguments)
        return
    try:
        futures = [
            _kept_pool(processes, torch.get_num_threads() // processes).submit(_call, function, arguments)
            for arguments in calls
        ]
        wait(futures, return_when=FIRST_EXCEPTION)
        for future in futures:
            future.cancel()  # where one has failed; those that have begun go on to their end
        wait(futures)
        for future in futures:
            if not future.cancelled():
                future.result()
    except BrokenProcessPool as error:
        _kept_pool.cache_clear()
        raise RuntimeError(
            "a training process was ended from outside, mostly for want of memory; run again with OMP_NUM_THREADS=1, "
            "which trains one at a time. What is done is kept."
        ) from error
    except KeyboardInterrupt:
        for worker in multiprocessing.active_children():
            worker.terminate()  # what it has not finished goes on from its checkpoint the next time
        _kept_pool.cache_clear()
        raise


def _call(function: Callable, arguments: tuple) -> None:
    function(*arguments)  # without its result, which would be carried over for nothing


@cache
def _kept_pool(processes: int, threads: int) -> ProcessPoolExecutor:
    return make_pool(processes, threads)  # for the next calls too: to begin takes seconds


def step_back() -> None:
    """Let all else go first. Linux shares the processors among sessions before it looks at processes, and a kernel begins one of its own."""
    if hasattr(os, "nice"):
        os.nice(10)
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text("10")


def _begin_worker(threads: int | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for systems without masks; the parent ends the pool
    # A pool's worker does not notice that its parent was killed, and would wait for ever.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
