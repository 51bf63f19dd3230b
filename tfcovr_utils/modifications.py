"""Modification texts for label pairs, by rule or by a language model."""

from .modification_reader import apply_text
from .modification_rules import describe, write_rules
