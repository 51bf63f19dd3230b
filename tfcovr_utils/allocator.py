"""The C library's allocator, told to keep what is freed.

As it comes, glibc asks the system for each large block and gives it back at once, so that every training step and every batch
on a CPU pays for fresh pages again: a tenth to a fifth of the time of both at the rendered benchmark's size.
"""
import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
KEPT = 2**30  # bytes: larger blocks still go back at once, and so does what lies free beyond as much


def keep_freed() -> bool:
    """Keep freed memory for this process's next blocks; False where the C library has no such setting."""
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all([mallopt(_M_MMAP_THRESHOLD, KEPT), mallopt(_M_TRIM_THRESHOLD, KEPT)])
