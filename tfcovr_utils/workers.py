"""Worker processes that end with the run that started them, however that ends."""
import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor


def make_pool(workers: int) -> ProcessPoolExecutor:
    """A pool of fresh processes: a fork would inherit the locks of a notebook's kernel, and a decoder's threads do not survive it."""
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_begin_worker)


def _begin_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for systems without masks; the parent ends the pool
    # A pool's worker does not notice that its parent was killed, and would wait for ever.
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
