"""Labels: FineGym texts and FineDiving dive codes as attributes, their differences and pairs.

This room knows nothing about clips or sentences. `attributes` holds the values, `grammar` reads a label
into them, `numbers` spells numbers, and `pairing` says which labels form a query and its answer.
"""

from .attributes import APPARATUS, FAMILY_OF, Attributes, Change, difference
from .grammar import label_text, parse_label

__all__ = ["APPARATUS", "FAMILY_OF", "Attributes", "Change", "difference", "label_text", "parse_label"]
