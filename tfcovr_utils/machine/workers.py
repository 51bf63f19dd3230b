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

MOST = 4  # trainings at once; each holds its own weights and clips in memory


def make_pool(workers: int, threads: int | None = None) -> ProcessPoolExecutor:
    """Make a pool of spawned processes, each with so many torch threads; None leaves torch's default.

    A forked process would inherit the locks of a notebook's kernel, and a decoder's threads do not survive a
    fork.
    """
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, context, initializer=_begin_worker, initargs=(threads,))


def worker_count() -> int:
    """Return how many processes may train at once: 1 on a GPU, else torch's threads, at most MOST."""
    import torch  # here, since a worker that renders needs none

    return 1 if torch.cuda.is_available() else min(torch.get_num_threads(), MOST)


def run_in_parallel(function: Callable, calls: Sequence[tuple]) -> None:
    """Call `function(*arguments)` for all `calls`, the longest first; their results go to files.

    The processes share torch's threads: two small trainings with one thread each get half as much again done
    as one after the other with two. With a `worker_count` of 1 the calls run here, in order.
    """
    import torch

    processes = min(len(calls), worker_count())
    if processes < 2:
        for arguments in calls:
            function(*arguments)
        return
    try:
        pool = _shared_pool(processes, torch.get_num_threads() // processes)
        futures = [pool.submit(_call, function, arguments) for arguments in calls]
        wait(futures, return_when=FIRST_EXCEPTION)
        for future in futures:
            future.cancel()  # after a failure; calls that have begun run to their end
        wait(futures)
        for future in futures:
            if not future.cancelled():
                future.result()
    except BrokenProcessPool as error:
        _shared_pool.cache_clear()
        raise RuntimeError(
            "a training process was killed from outside, most likely for lack of memory; run again with"
            " OMP_NUM_THREADS=1, which trains one at a time. Finished trainings are kept."
        ) from error
    except KeyboardInterrupt:
        for worker in multiprocessing.active_children():
            worker.terminate()  # its training resumes from the checkpoint the next time
        _shared_pool.cache_clear()
        raise


def require_main_guard() -> None:
    """Refuse to run in a worker process that is still importing a script's main module.

    Worker processes import the script that started them. A script without a guard would start again in
    each of them, and wait for itself.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise RuntimeError(
            "this script starts worker processes, which import it; "
            'put its calls below `if __name__ == "__main__":`.'
        )


def _call(function: Callable, arguments: tuple) -> None:
    function(*arguments)  # without its result, which would be pickled for nothing


@cache
def _shared_pool(processes: int, threads: int) -> ProcessPoolExecutor:
    return make_pool(processes, threads)  # for later calls too, since starting takes seconds


def lower_priority() -> None:
    """Lower this process's priority, and on Linux that of its session, which the scheduler looks at first."""
    if hasattr(os, "nice"):
        os.nice(10)
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text("10")


def _begin_worker(threads: int | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on systems without signal masks; the parent ends the pool
    # A pool's worker does not notice that its parent was killed, and would wait for ever.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
