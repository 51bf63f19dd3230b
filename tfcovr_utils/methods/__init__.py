"""The rows of the tables, one file a family: `METHODS` by name."""

from .base import FAMILIES, Fitted, Method, NotRun, Setting, stored
from .controls import CONTROLS
from .covr import COVR_ROWS
from .embedders import MLLM_ROWS
from .frozen_clip import CLIP_ROWS
from .tfcovr import BEYOND_ROWS, SHUFFLED_ROWS, TFCOVR_ROWS

METHODS: dict[str, Method] = {
    method.name: method
    for method in (*CONTROLS, *CLIP_ROWS, *COVR_ROWS, *MLLM_ROWS, *TFCOVR_ROWS, *BEYOND_ROWS, *SHUFFLED_ROWS)
}


def get_method(name: str) -> Method:
    """Look a row up; an unknown name lists the known ones."""
    if name not in METHODS:
        raise ValueError(f"method {name!r} is not known; choose one of {', '.join(METHODS)}.")
    return METHODS[name]


__all__ = ["FAMILIES", "METHODS", "Fitted", "Method", "NotRun", "Setting", "get_method", "stored"]
