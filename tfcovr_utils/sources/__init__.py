"""Sources: each reads somebody's annotation files and gives the same tables: `tables.Source`, or a whole benchmark's."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from ..profiles import ROOT
from . import covr, finediving, finegym, images
from .folder import load as load_folder
from .release import released
from .source import LABEL_COLUMNS, Source, combine, first_file, restrict

LABELS_306 = ROOT / "data" / "labels_306.csv"


def load_tfcovr(folder: Path) -> Source:
    """FineGym and FineDiving together, with the 306 labels that TF-CoVR keeps."""
    kept = pd.read_csv(LABELS_306, dtype=str)
    return restrict(combine(finegym.load(folder), finediving.load(folder)), set(kept["label_id"]))


def load_mini(folder: Path) -> Source:
    """A rendered benchmark's own tables; its split is given and stays."""
    paths = [
        first_file(folder, [f"{name}.parquet"], "`tfcovr render --profile mini`")
        for name in ("clips", "labels")
    ]
    clips, labels = (pd.read_parquet(path) for path in paths)
    return Source(clips, labels.reindex(columns=LABEL_COLUMNS, fill_value=""))


SOURCES: dict[str, Callable[[Path], Source]] = {
    "tfcovr": load_tfcovr,
    "finegym": finegym.load,
    "finediving": finediving.load,
    "mini": load_mini,
    "released": released.load,
    "folder": load_folder,
}
# These bring their own triplets and queries: annotations -> a Benchmark's fields.
COMPLETE: dict[str, Callable[[Path], dict]] = {
    "released": released.read_release,
    "webvid-covr": covr.read_webvid,
    "dense-webvid-covr": covr.read_dense_webvid,
    "egocvr": covr.read_egocvr,
    "cirr": images.read_cirr,
    "fashioniq": images.read_fashioniq,
    "circo": images.read_circo,
}


def load_source(name: str, folder: Path) -> Source:
    """Read a source by name from its folder of annotation files."""
    if name not in SOURCES:
        raise ValueError(f"source {name!r} is not known; choose one of {', '.join(SOURCES)}.")
    return SOURCES[name](Path(folder))
