"""Modification texts for label pairs: what leads from one label to the other.

`rules` writes them short, `dense` long, `model` has a language model do it; `checks` looks at every text,
whoever wrote it, and `reader` reads one back. `words`, `counts` and `synonyms` are the vocabulary; `prompt`,
`dialogue`, `cache`, `bill` and `batch` are what asking a model takes; `tables` goes from pairs to texts.
"""

from .checks import LENGTHS, check_table
from .dense import write_dense
from .llm.bill import Asking
from .llm.model import dry_run, write_by_model
from .reading.reader import apply_text, satisfies
from .rules import describe, write_rules
from .words import count_words
from .writing import MODIFICATION_COLUMNS, describe_labels, make_jobs, read_table, write_by_rule

__all__ = [
    "LENGTHS",
    "MODIFICATION_COLUMNS",
    "Asking",
    "apply_text",
    "check_table",
    "count_words",
    "describe",
    "describe_labels",
    "dry_run",
    "make_jobs",
    "read_table",
    "satisfies",
    "write_by_model",
    "write_by_rule",
    "write_dense",
    "write_rules",
]
