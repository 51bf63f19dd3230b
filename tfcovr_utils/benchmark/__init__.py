"""The benchmark: which triplets train, which queries are asked, and which clips answer them.

It knows clips, labels and texts, and no model. `benchmark` builds, saves and loads the tables, with `splits`,
`triplets` and `queries`. `protocols` turns them into a task to score, `doctor` checks them, and `views` joins
them for people. `statistics` counts them beside the paper's numbers, and `export` writes the files that the
paper authors' code reads.
"""

from .benchmark import Benchmark
from .protocols import PEER_PROTOCOLS, PROTOCOLS, Task, make_task
from .statistics import count

__all__ = ["PEER_PROTOCOLS", "PROTOCOLS", "Benchmark", "Task", "count", "make_task"]
