"""What a person does with widgets: asking for clips and looking through the answers, and deciding about label pairs.

`session` answers without a front end, from the pure functions of `search`; `index` makes a folder searchable;
`widget` shows it all, and the modules beside it make previews, exports and the highlight reel.
"""

from .index import index_folder
from .reviewer import KEYS, PairReviewer
from .session import Session
from .widget import Explorer

__all__ = ["KEYS", "Explorer", "PairReviewer", "Session", "index_folder"]
