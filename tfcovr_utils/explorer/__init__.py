"""Widgets: asking for clips and looking through the answers, and deciding about label pairs.

`session` answers without a front end, from a `library` of clips and the pure functions of `search`; `index`
makes a folder searchable and `folders` does so for a command. `widget` shows it all with `chooser`, `cards`,
`controls`, `previews` and `page`; `downloads` and `reel` write files. `reviewer` shows label pairs.
"""

from .index import index_folder
from .reviewer import KEYS, PairReviewer
from .session import Session
from .widget import Explorer

__all__ = ["KEYS", "Explorer", "PairReviewer", "Session", "index_folder"]
