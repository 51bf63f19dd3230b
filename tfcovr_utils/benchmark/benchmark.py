"""The benchmark as tables: built from a source's clips and labels, saved, loaded, checked and restricted."""

from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path

import pandas as pd

from ..labels.pairing import PAIR_COLUMNS, Encoder, pair_labels
from ..machine.files import read_json, replacing_files, write_json, write_table
from ..machine.hashing import hash_text
from ..profiles import SPLITS
from ..sources import Source
from ..sources.schema import ADVICE, check_labels, read_table_named
from ..sources.source import CLIP_COLUMNS, LABEL_COLUMNS
from ..texts import MODIFICATION_COLUMNS, describe_labels, make_jobs, write_by_rule
from .doctor import examine
from .queries import build_queries
from .splits import split_by_source
from .triplets import BUDGET, TRIPLET_COLUMNS, draw_triplets

DESCRIPTION_COLUMNS = ["clip_id", "label_id", "style", "text", "writer"]
ENDS = ["source_label", "target_label"]
COLUMNS = {
    "clips": CLIP_COLUMNS,
    "labels": LABEL_COLUMNS,
    "pairs": PAIR_COLUMNS,
    "modifications": MODIFICATION_COLUMNS,
    "triplets": TRIPLET_COLUMNS,
    "queries": ["query_id", "split", "query_clip", "modification_id", "target_labels"],
    "gallery": ["gallery", "split", "clip_id"],
    "targets": ["query_id", "gallery", "clip_id"],
}


@dataclass(frozen=True)
class Benchmark:
    """One benchmark as tables. The columns are the same for every source."""

    clips: pd.DataFrame
    labels: pd.DataFrame
    pairs: pd.DataFrame
    modifications: pd.DataFrame
    triplets: pd.DataFrame
    queries: pd.DataFrame
    gallery: pd.DataFrame
    targets: pd.DataFrame
    descriptions: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=DESCRIPTION_COLUMNS, dtype=str)
    )
    choices: dict = field(default_factory=dict)

    @classmethod
    def build(
        cls,
        source: Source,
        *,
        seed: int = 0,
        budget: int = BUDGET,
        encoder: Encoder | None = None,
        decisions: Path | None = None,
        modifications: pd.DataFrame | None = None,
    ) -> "Benchmark":
        """Pair labels, write the texts that `modifications` lacks, and draw splits, triplets and queries."""
        clips = source.clips.sort_values("clip_id", ignore_index=True)
        if source.labels.empty:
            raise ValueError(
                f"{len(clips)} clips have no label, so there are no label pairs; put the clips into folders "
                "named by their label, or give the CSV file that names the labels."
            )
        labels = source.labels.sort_values("label_id", ignore_index=True)
        pairs = pair_labels(labels, encoder, decisions)
        choices: dict = {"seed": seed, "notes": source.notes}
        if (clips["split"] == "").any():
            split, drawn = split_by_source(clips, pairs, seed)
            clips, choices = clips.assign(split=split), choices | drawn
        texts = write_modifications(labels, pairs, modifications)
        triplets = draw_triplets(clips, pairs, texts, budget, seed)
        parts = [build_queries(clips, labels, pairs, texts, split, seed) for split in SPLITS[1:]]
        queries, gallery, targets = (pd.concat(part, ignore_index=True) for part in zip(*parts))
        tables = (clips, labels, pairs, texts, triplets, queries, gallery, targets)
        return cls(*tables, describe_labels(labels), choices)

    @classmethod
    def unlabelled(cls, clips: pd.DataFrame) -> "Benchmark":
        """Make a benchmark of clips that no label describes: nothing is asked of them, all are of test."""
        tables = {name: pd.DataFrame(columns=columns, dtype=str) for name, columns in COLUMNS.items()}
        gallery = clips[["clip_id"]].assign(gallery="full", split="test")
        return cls(**tables | {"clips": clips.assign(split="test"), "gallery": gallery})

    def save(self, folder: Path) -> None:
        """Write the tables as Parquet and the choices as JSON. Equal benchmarks give equal bytes."""
        with replacing_files(folder, f"{TABLES[0]}.parquet") as temporary:
            for name in TABLES:
                write_table(getattr(self, name), temporary / f"{name}.parquet")
            write_json(self.choices, temporary / "choices.json")

    @classmethod
    def load(cls, folder: Path) -> "Benchmark":
        """Read what `save` wrote."""
        folder = Path(folder)
        absent = [name for name in TABLES if not (folder / f"{name}.parquet").exists()]
        if absent:
            raise FileNotFoundError(
                f"{folder} has no {absent[0]}.parquet; build the benchmark there with "
                f"`tfcovr build --out {folder}`."
            )
        tables = {name: read_table_named(folder, name) for name in TABLES}
        check_labels(tables, folder)
        lists = tables["queries"]["target_labels"].map(list)
        tables["queries"] = tables["queries"].assign(target_labels=lists)
        path = folder / "choices.json"
        if not isinstance(choices := read_json(path) if path.exists() else {}, dict):
            raise ValueError(f"{path} holds a {type(choices).__name__}; expected an object; {ADVICE}")
        return cls(**tables, choices=choices)

    @cached_property
    def digest(self) -> str:
        """Hash of all tables, row by row."""
        rows = [pd.util.hash_pandas_object(getattr(self, name).astype(str), index=False) for name in TABLES]
        return hash_text(str([values.to_numpy().tobytes() for values in rows]))

    def check(self, clips_dir: Path | None = None) -> pd.DataFrame:
        """Return `doctor.examine`: what may be wrong here; with `clips_dir`, open the clips' files too."""
        return examine(self, clips_dir)

    def restrict(self, clip_ids: set[str]) -> "Benchmark":
        """Keep what these clips allow, and queries with a target left in each gallery where they had any."""
        kept = {name: getattr(self, name) for name in ("clips", "gallery", "targets")}
        kept = {name: table[table["clip_id"].isin(clip_ids)] for name, table in kept.items()}
        ends = self.triplets[["query_clip", "target_clip"]]
        kept["triplets"] = self.triplets[ends.isin(clip_ids).all(axis=1)]
        query_ids = self.queries["query_id"]
        galleries = [
            table.groupby("query_id")["gallery"].nunique() for table in (self.targets, kept["targets"])
        ]
        before, left = (number.reindex(query_ids, fill_value=0).to_numpy() for number in galleries)
        queries = self.queries[self.queries["query_clip"].isin(clip_ids) & (before == left)]
        kept["targets"] = kept["targets"][kept["targets"]["query_id"].isin(queries["query_id"])]
        kept["queries"] = queries.drop(columns="listed_targets", errors="ignore")  # clips that are gone too
        return replace(self, **{name: table.reset_index(drop=True) for name, table in kept.items()})

    def reworded(self, modifications: pd.DataFrame) -> "Benchmark":
        """Ask the same with other texts; `modifications` has one text for each label pair in use."""
        of_pair = modifications.set_index(ENDS)["modification_id"]
        before = self.modifications.set_index("modification_id")[ENDS].apply(tuple, axis=1)
        now = before.map(of_pair.to_dict())
        asked = pd.concat([self.triplets["modification_id"], self.queries["modification_id"]]).unique()
        if (missing := now[asked].isna()).any():
            raise ValueError(
                f"{missing.sum()} of {len(asked)} label pairs in use have no new text, such as "
                f"{' -> '.join(before[asked][missing].iloc[0])}; write one for each."
            )
        triplets, queries = (
            table.assign(modification_id=table["modification_id"].map(now))
            for table in (self.triplets, self.queries)
        )
        return replace(self, modifications=modifications, triplets=triplets, queries=queries)

    def coverage(self, complete: "Benchmark") -> dict[str, float]:
        """Return the share of each table of the complete benchmark that is here."""
        return {
            name: round(len(getattr(self, name)) / max(len(getattr(complete, name)), 1), 4)
            for name in ("clips", "triplets", "queries", "targets")
        }


TABLES = [f.name for f in fields(Benchmark) if f.name != "choices"]


def write_modifications(
    labels: pd.DataFrame, pairs: pd.DataFrame, accepted: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return one short text for each directed pair: the accepted one if there is one, else the rules'."""
    texts = write_by_rule(make_jobs(pairs, labels))
    if accepted is None:
        return texts
    wanted = accepted[accepted["style"] == "short"].merge(pairs[ENDS])
    both = pd.concat([wanted[MODIFICATION_COLUMNS], texts]).drop_duplicates(ENDS)
    return both.sort_values(ENDS, ignore_index=True)  # draws depend on the order: the rules' own order
