"""Composed queries, their galleries, and all the clips that answer each."""

import numpy as np
import pandas as pd

from ..labels import Attributes
from ..profiles import SPLITS

# Fitted to the paper's 473 queries with 3.94 targets on average.
N_QUERIES = {"temporal": 343, "dive": 76, "event": 54}
CAP, DIVE_CAP = 5, 6  # clips of a label in the gallery `capped`
MAX_TARGETS = 10


def meanings(labels: pd.DataFrame) -> pd.Series:
    """Return what each label shows: its attributes, where it has none its text, else its id.

    Three labels stand in FineGym twice, as an acrobatic skill and as a dismount, and glosses in brackets are
    no attributes: clips of such labels answer the same query.
    """
    says = labels["attributes"].map(lambda text: bool(Attributes.from_json(text).base))
    meaning = labels["attributes"].where(says, labels["text"])
    return meaning.where(meaning != "", labels["label_id"])


def answers(labels: pd.DataFrame, modifications: pd.DataFrame) -> pd.Series:
    """Return the label ids that answer each modification, by modification_id.

    Labels that mean the same are the same answer; and where one text, said of one source, leads to
    several labels, all of them are right.
    """
    ids = labels["label_id"]
    meaning = ids.groupby(meanings(labels)).transform("min").set_axis(ids)
    twins = ids.groupby(meaning.to_numpy()).agg(sorted)
    said = pd.DataFrame(
        {
            "source": modifications["source_label"].map(meaning),
            "text": modifications["text"],
            "target": modifications["target_label"].map(meaning),
        }
    )
    targets = said.groupby(["source", "text"])["target"].agg(
        lambda found: sorted(label for target in set(found) for label in twins[target])
    )
    keys = pd.MultiIndex.from_frame(said[["source", "text"]])
    found = targets.reindex(keys).to_numpy()
    return pd.Series(found, index=modifications["modification_id"], name="target_labels")


def build_queries(
    clips: pd.DataFrame,
    labels: pd.DataFrame,
    pairs: pd.DataFrame,
    modifications: pd.DataFrame,
    split: str,
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Draw the queries of one split from the short texts; return (queries, gallery, targets)."""
    modifications = modifications[modifications["style"] == "short"]
    rng = np.random.default_rng([seed, SPLITS.index(split)])
    clips = clips[clips["split"] == split].sort_values("clip_id", ignore_index=True)
    members = {"capped": _capped(clips, labels, rng), "full": clips}
    right = answers(labels, modifications)
    queries = _draw_queries(clips, labels, pairs, modifications, right, members["capped"], rng)
    queries = queries.assign(
        query_id=[f"{split}-{number:04d}" for number in range(len(queries))],
        split=split,
        target_labels=right.reindex(queries["modification_id"]).to_numpy(),
    )[["query_id", "split", "query_clip", "modification_id", "target_labels"]]
    gallery = pd.concat(
        [part[["clip_id"]].assign(gallery=name, split=split) for name, part in members.items()]
    )[["gallery", "split", "clip_id"]]
    targets = pd.concat([find_targets(queries, part, name) for name, part in members.items()])
    return queries, gallery.reset_index(drop=True), targets.reset_index(drop=True)


def find_targets(queries: pd.DataFrame, clips: pd.DataFrame, gallery: str) -> pd.DataFrame:
    """List every clip that answers each query; the query clip is never its own answer."""
    wanted = queries[["query_id", "query_clip", "target_labels"]].explode("target_labels")
    shown = clips[["clip_id", "label_id"]]
    found = wanted.merge(shown, left_on="target_labels", right_on="label_id")
    found = found[found["clip_id"] != found["query_clip"]].assign(gallery=gallery)
    found = found.sort_values(["query_id", "clip_id"], ignore_index=True)
    return found[["query_id", "gallery", "clip_id"]]


def _capped(clips: pd.DataFrame, labels: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """A few clips a label, drawn at random, in the order of their ids."""
    dives = labels.loc[labels["event"] == "DV", "label_id"]
    order = clips.iloc[rng.random(len(clips)).argsort()]
    cap = np.where(order["label_id"].isin(dives), DIVE_CAP, CAP)
    kept = order[order.groupby("label_id").cumcount() < cap]
    return kept.sort_values("clip_id", ignore_index=True)


def _draw_queries(clips, labels, pairs, modifications, right, capped, rng) -> pd.DataFrame:
    """Draw stratified by kind of change, and within a kind round-robin over the label pairs."""
    n_capped = capped["label_id"].value_counts()
    n_targets = right.map(lambda ids: int(n_capped.reindex(ids).sum()))
    is_dive = labels.set_index("label_id")["event"] == "DV"
    table = modifications.merge(pairs[["source_label", "target_label", "kind"]])
    stratum = table["kind"].mask(table["source_label"].map(is_dive), "dive")
    table = table.assign(stratum=stratum, n_targets=table["modification_id"].map(n_targets))
    # The same question twice, by two target labels of one text, is one query.
    table = table.drop_duplicates(["source_label", "text"])
    table = table[table["n_targets"].between(1, MAX_TARGETS)]

    table = table.merge(
        clips[["clip_id", "label_id"]].rename(columns={"clip_id": "query_clip"}),
        left_on="source_label",
        right_on="label_id",
    )
    table = table.iloc[rng.random(len(table)).argsort()]
    table = table.assign(turn=table.groupby("modification_id").cumcount())
    table = table.sort_values("turn", kind="stable", ignore_index=True)
    place = table.groupby("stratum").cumcount()
    first = place < table["stratum"].map(N_QUERIES).astype(int)
    # What one kind cannot fill, the others do.
    missing = sum(N_QUERIES.values()) - first.sum()
    chosen = pd.concat([table[first], table[~first].head(missing)])
    return chosen.sort_values(["modification_id", "query_clip"], ignore_index=True)
