"""Labels: FineGym texts and FineDiving dive codes as attributes, their differences and pairs.

This room knows nothing about clips or sentences. `attributes` holds the values, `grammar` reads a label
into them, `numbers` spells numbers, and `pairing` says which labels form a query and its answer.
"""

from .attributes import APPARATUS, BASES, FAMILY_OF, Attributes, Change, comes_along, difference
from .grammar import label_text, parse_label

__all__ = ["APPARATUS", "BASES", "FAMILY_OF", "Attributes", "Change", "comes_along", "difference"]
__all__ += ["label_text", "parse_label"]
