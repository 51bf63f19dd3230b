"""The benchmark: which triplets train, which queries are asked, and which clips answer them. Knows no model.

`benchmark` builds, saves and loads the tables, with `splits`, `triplets` and `queries`; `protocols` makes a
task to score, `doctor` checks, `views` joins tables for people, `statistics` counts, `export` serves others.
"""

from .benchmark import Benchmark
from .protocols import PEER_PROTOCOLS, PROTOCOLS, Task, make_task
from .statistics import count

__all__ = ["PEER_PROTOCOLS", "PROTOCOLS", "Benchmark", "Task", "count", "make_task"]
