"""A cache of the values that were asked for last."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Any


class Recent(OrderedDict):
    """The values of the last `size` keys that were asked for.

    >>> squares = Recent(2)
    >>> [squares.fetch(number, lambda: number**2) for number in (3, 4, 5)], list(squares)
    ([9, 16, 25], [4, 5])
    """

    def __init__(self, size: int, items: Iterable[tuple] = ()):
        super().__init__(items)
        self.size = size

    def fetch(self, key: Hashable, make: Callable[[], Any]):
        """Return the value of `key`, made if it is not here."""
        if key not in self:
            self[key] = make()
            if len(self) > self.size:
                self.popitem(last=False)
        self.move_to_end(key)
        return self[key]
