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
    """Return what each label means: its attributes, else its text, else its id. Some labels mean the same."""
    has_any = labels["attributes"].map(lambda text: bool(Attributes.from_json(text).base))
    meaning = labels["attributes"].where(has_any, labels["text"])
    return meaning.where(meaning != "", labels["label_id"])


def answers(labels: pd.DataFrame, modifications: pd.DataFrame) -> pd.Series:
    """Return the label ids that answer each modification: all that its source and text lead to."""
    ids = labels["label_id"]
    meaning = ids.groupby(meanings(labels)).transform("min").set_axis(ids)
    labels_of = ids.groupby(meaning.to_numpy()).agg(sorted)
    keys = ["source", "text"]
    asked = modifications[["text"]].assign(
        source=modifications["source_label"].map(meaning), target=modifications["target_label"].map(meaning)
    )
    targets = asked.groupby(keys)["target"].agg(
        lambda found: sorted(label for target in set(found) for label in labels_of[target])
    )
    found = targets.reindex(pd.MultiIndex.from_frame(asked[keys])).to_numpy()
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
    asked = _candidates(labels, pairs, modifications, right, members["capped"])
    queries = _draw_queries(asked, clips, rng)
    queries = queries.assign(
        query_id=[f"{split}-{number:04d}" for number in range(len(queries))],
        split=split,
        target_labels=right.reindex(queries["modification_id"]).to_numpy(),
    )[["query_id", "split", "query_clip", "modification_id", "target_labels"]]
    gallery = [part[["clip_id"]].assign(gallery=name, split=split) for name, part in members.items()]
    gallery = pd.concat(gallery, ignore_index=True)[["gallery", "split", "clip_id"]]
    targets = [find_targets(queries, part, name) for name, part in members.items()]
    return queries, gallery, pd.concat(targets, ignore_index=True)


def find_targets(queries: pd.DataFrame, clips: pd.DataFrame, gallery: str) -> pd.DataFrame:
    """List every clip that answers each query; the query clip is never its own answer.

    >>> queries = pd.DataFrame({"query_id": ["q"], "query_clip": ["a"], "target_labels": [["salto"]]})
    >>> clips = pd.DataFrame({"clip_id": ["a", "b", "c"], "label_id": ["salto", "salto", "leap"]})
    >>> find_targets(queries, clips, "full")["clip_id"].tolist()
    ['b']
    """
    wanted = queries[["query_id", "query_clip", "target_labels"]].explode("target_labels")
    found = wanted.merge(clips[["clip_id", "label_id"]], left_on="target_labels", right_on="label_id")
    found = found[found["clip_id"] != found["query_clip"]].assign(gallery=gallery)
    return found.sort_values(["query_id", "clip_id"], ignore_index=True)[["query_id", "gallery", "clip_id"]]


def _capped(clips: pd.DataFrame, labels: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Draw a few clips of each label, in the order of their ids."""
    dives = labels.loc[labels["event"] == "DV", "label_id"]
    order = clips.iloc[rng.random(len(clips)).argsort()]
    cap = np.where(order["label_id"].isin(dives), DIVE_CAP, CAP)
    return order[order.groupby("label_id").cumcount() < cap].sort_values("clip_id", ignore_index=True)


def _candidates(labels, pairs, modifications, right: pd.Series, capped: pd.DataFrame) -> pd.DataFrame:
    """Modifications that can be asked, with their stratum: those with few enough targets in `capped`."""
    n_capped = capped["label_id"].value_counts()
    n_targets = right.map(lambda ids: int(n_capped.reindex(ids).sum()))
    is_dive = labels.set_index("label_id")["event"] == "DV"
    table = modifications.merge(pairs[["source_label", "target_label", "kind"]])
    stratum = table["kind"].mask(table["source_label"].map(is_dive), "dive")
    table = table.assign(stratum=stratum, n_targets=table["modification_id"].map(n_targets))
    # One text that leads from one source to two labels is one question.
    table = table.drop_duplicates(["source_label", "text"])
    return table[table["n_targets"].between(1, MAX_TARGETS)]


def _draw_queries(candidates: pd.DataFrame, clips: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Draw by stratum, and within a stratum in turns over the label pairs."""
    shown = clips[["clip_id", "label_id"]].set_axis(["query_clip", "source_label"], axis=1)
    table = candidates.merge(shown, on="source_label")
    table = table.iloc[rng.random(len(table)).argsort()]
    table = table.assign(turn=table.groupby("modification_id").cumcount())
    table = table.sort_values("turn", kind="stable", ignore_index=True)
    first = table.groupby("stratum").cumcount() < table["stratum"].map(N_QUERIES).astype(int)
    # Other strata fill what one cannot.
    missing = sum(N_QUERIES.values()) - first.sum()
    chosen = pd.concat([table[first], table[~first].head(missing)])
    return chosen.sort_values(["modification_id", "query_clip"], ignore_index=True)
