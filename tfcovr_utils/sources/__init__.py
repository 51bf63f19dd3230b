"""Sources: each reads somebody's annotation files and gives the same tables.

`source` says which tables. `finegym`, `finediving` and `folder` (a person's own clips) give clips and labels;
`release/` (the paper authors' release), `covr` and `images` (other benchmarks) give every field of a
Benchmark. `published_files` and `pickles` read files without running anything in them. This room knows labels
and video files, but neither benchmarks nor models.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd

from ..profiles import RENDERED, ROOT
from . import covr, finediving, finegym, folder, images
from .published_files import find_file
from .release import released
from .schema import read_table_named
from .source import LABEL_COLUMNS, Source, combine

LABELS_306 = ROOT / "data" / "labels_306.csv"


def load_tfcovr(folder: Path) -> Source:
    """Read FineGym and FineDiving together, with the 306 labels that TF-CoVR keeps."""
    source = combine(finegym.load(folder), finediving.load(folder))
    kept = set(pd.read_csv(LABELS_306, dtype=str)["label_id"])
    tables = [table[table["label_id"].isin(kept)] for table in (source.clips, source.labels)]
    return Source(*(table.reset_index(drop=True) for table in tables), source.notes)


def load_mini(folder: Path) -> Source:
    """Read a rendered benchmark's own tables; they say which split a clip belongs to."""
    for name in ("clips", "labels"):
        find_file(folder, [f"{name}.parquet"], "`tfcovr render --profile mini`")
    clips, labels = (read_table_named(folder, name) for name in ("clips", "labels"))
    return Source(clips, labels.reindex(columns=LABEL_COLUMNS, fill_value=""))


SOURCES: dict[str, Callable[[Path], Source]] = {
    "tfcovr": load_tfcovr,
    "finegym": finegym.load,
    "finediving": finediving.load,
    "mini": load_mini,
    "twin": load_mini,
    "released": released.load,
    "folder": folder.load,
}
# These bring their own triplets and queries: a folder of annotation files -> a Benchmark's fields.
COMPLETE: dict[str, Callable[[Path], dict]] = {
    "released": released.read_release,
    "webvid-covr": covr.read_webvid,
    "dense-webvid-covr": partial(covr.read_webvid, dense=True),
    "egocvr": covr.read_egocvr,
    "cirr": images.read_cirr,
    "fashioniq": images.read_fashioniq,
    "circo": images.read_circo,
}


def check_source(name: str) -> None:
    """Refuse a source that is not known."""
    known = sorted({*SOURCES, *COMPLETE, *RENDERED})
    if name not in known:
        raise ValueError(f"source {name!r} is not known; choose one of {', '.join(known)}.")


def load_source(name: str, folder: Path) -> Source:
    """Read a source by name from its folder of annotation files."""
    if name not in SOURCES:
        raise ValueError(f"source {name!r} is not known; choose one of {', '.join(SOURCES)}.")
    return SOURCES[name](Path(folder))
