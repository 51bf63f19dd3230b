"""Rows of the tables: what each method embeds, and how it is fitted. May use every room up to `training`.

`base` says what a method is. `*_rows` list the methods, one file a kind; `METHODS` holds them by name.
`features` and `encoder_features` are what they read, `fits` how they are trained, and `composed` the model
that reads a clip and a text together.
"""

import difflib

from .base import GROUPS, Fitted, Method, NotRun, Setting, stored
from .clip_rows import CLIP_ROWS
from .control_rows import CONTROL_ROWS
from .covr_rows import COVR_ROWS
from .embedder_rows import EMBEDDER_ROWS
from .tfcovr_rows import BEYOND_ROWS, SHUFFLED_ROWS, TFCOVR_ROWS

_ROWS = (*CONTROL_ROWS, *CLIP_ROWS, *COVR_ROWS, *EMBEDDER_ROWS, *TFCOVR_ROWS, *BEYOND_ROWS, *SHUFFLED_ROWS)
METHODS: dict[str, Method] = {method.name: method for method in _ROWS}


def get_method(name: str) -> Method:
    """Return a method by its name.

    >>> get_method("clip-avg-zs").group
    'zero-shot'
    """
    if name not in METHODS:
        shown = name[:60]
        near = [known for known in METHODS if name in known][:4] or difflib.get_close_matches(shown, METHODS)
        meant = f"; did you mean {' or '.join(near)}?" if near else "."
        raise ValueError(f"method {shown!r} is not known; `--method list` prints all rows{meant}")
    return METHODS[name]


__all__ = ["GROUPS", "METHODS", "Fitted", "Method", "NotRun", "Setting", "get_method", "stored"]
