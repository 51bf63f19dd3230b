"""Modification texts of label pairs: the instruction that leads from one label to the other.

`rules` writes short texts and `dense` long ones; `checks` checks every text; `words` and `phrases.csv` hold
the vocabulary; `instructions` goes from pairs to a table of texts. `reading/` turns a text back into
attributes, and `llm/` asks a language model. This room knows labels, not clips.
"""

from .checks import LENGTHS, check_table
from .dense import write_dense
from .instructions import MODIFICATION_COLUMNS, describe_labels, make_jobs, read_table, write_by_rule
from .llm.bill import Asking
from .llm.model import dry_run, write_by_model
from .reading.reader import apply_text, satisfies
from .rules import describe, write_rules
from .words import count_words

__all__ = ["LENGTHS", "MODIFICATION_COLUMNS", "apply_text", "check_table", "count_words", "satisfies"]
__all__ += ["describe", "describe_labels", "make_jobs", "read_table", "write_by_rule", "write_dense"]
__all__ += ["Asking", "dry_run", "write_by_model", "write_rules"]
