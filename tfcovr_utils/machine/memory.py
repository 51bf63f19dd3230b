"""How much memory is free, and an error in one sentence where it is clearly too little."""

from pathlib import Path

import torch

from . import processes


def free_memory(device: torch.device | None = None) -> int:
    """Return free bytes of a GPU, else this rank's share of what Linux has available; elsewhere 4 GiB."""
    if device is not None and device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        available = next(
            line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable")
        )
    except (OSError, StopIteration):
        return 4 * 2**30
    return int(available.split()[1]) * 1024 // processes.place_on_machine()[2]


def require_memory(needed: float, what: str, device: torch.device | None = None) -> None:
    """Raise MemoryError before weights that do not fit are downloaded or read."""
    if (free := free_memory(device)) < needed:
        where = "memory" if device is None or device.type == "cpu" else "the GPU's memory"
        raise MemoryError(
            f"the weights of {what} alone take {needed / 1e9:.1f} GB of {where}, where {free / 1e9:.1f} GB "
            "are free; free some, or run on a larger machine."
        )
