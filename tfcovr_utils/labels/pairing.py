"""Label pairs: which labels form a query and its answer.

Text similarity proposes pairs and breaks ties, the difference of the attributes verifies them, and a
person can overrule both.
"""

import re
from collections import Counter
from collections.abc import Callable
from difflib import SequenceMatcher
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from ..machine.files import replacing
from ..profiles import ROOT
from .attributes import APPARATUS, Attributes, comes_along, difference

ENDS = ["source_label", "target_label"]
PAIR_COLUMNS = [*ENDS, "kind", "tier", "changed", "similarity", "decision"]
DECISION_COLUMNS = [*ENDS, "decision", "kind", "comment"]
DECISIONS_PATH = ROOT / "data" / "pair_decisions.csv"
KINDS = ("temporal", "event")
NEAREST_HARD = 3  # neighbours a label gets in tier 3
RECALL = 0.80  # share of the verified pairs that a calibrated threshold must keep
# Not changes of their own: the apparatus decides the kind, and the family follows from the base.
_CONTEXT = ("apparatus", "family")

Encoder = Callable[[list[str]], np.ndarray]


def spell_out(text: str) -> str:
    """Write the apparatus tag in full, as text encoders need it.

    >>> spell_out("(FX) switch leap")
    '(Floor Exercise) switch leap'
    """
    return re.sub(r"^\((\w+)\)", lambda tag: f"({APPARATUS.get(tag[1], tag[1])})", text)


def similarity_matrix(texts: list[str], encoder: Encoder | None = None) -> np.ndarray:
    """Return the (N, N) cosine similarity of label texts.

    `encoder` maps N texts to (N, D) unit vectors. Without one the similarity is lexical: the mean of the
    cosine of word-pair counts and of the share of words in the same order.
    """
    spelled = [spell_out(text) for text in texts]
    if encoder is not None:
        vectors = np.asarray(encoder(spelled), dtype=np.float64)  # (N, D), unit norm
        lengths = np.linalg.norm(vectors, axis=1) if vectors.ndim == 2 else np.zeros(1)
        if vectors.shape[:1] != (len(texts),) or not np.allclose(lengths, 1, atol=1e-3):
            raise ValueError(
                f"the text encoder gave an array of shape {vectors.shape} for {len(texts)} texts; "
                f"it must give one unit vector a text."
            )
        return vectors @ vectors.T
    words = [re.findall(r"[a-z]+|[\d.]*\d", text.lower()) for text in spelled]
    return (_word_pair_cosine(words) + _same_order(words)) / 2


def calibrate_threshold(similarity: np.ndarray, verified: np.ndarray, recall: float = RECALL) -> float:
    """Return the largest threshold that keeps at least this share of the verified pairs.

    Both arrays hold one value a pair. A threshold is valid for its encoder only.

    >>> calibrate_threshold(np.array([0.9, 0.8, 0.1]), np.array([True, True, False]))
    0.8
    """
    kept = np.sort(similarity[verified])[::-1]
    if not len(kept):
        raise ValueError("no verified pair to calibrate on; the labels share no attribute change.")
    return float(kept[int(np.ceil(recall * len(kept))) - 1])


def proposal_quality(proposed: pd.DataFrame) -> pd.DataFrame:
    """How good the proposals of `propose_pairs` are, by dataset: cut, pairs, precision and recall."""
    right = (proposed["proposed"] & proposed["verified"]).groupby(proposed["dataset"]).sum()
    counted = {name: (name, "sum") for name in ("proposed", "verified")}
    by_dataset = proposed.groupby("dataset")
    table = by_dataset.agg(pairs=("dataset", "size"), cut=("threshold", "first"), **counted)
    table = table.assign(precision=right / table["proposed"], recall=right / table["verified"])
    return table.astype(float).rename_axis(None)


def pair_labels(
    labels: pd.DataFrame, encoder: Encoder | None = None, decisions: Path | None = None
) -> pd.DataFrame:
    """Pair labels in tiers 1 to 3 and return the directed pairs, both ways of each.

    Tier 1: one attribute differs on one apparatus, or none across two. Tier 2: a label without such a pair,
    with its nearest. Tier 3, harder: two attributes differ (or three, for dives), each label with its three
    most similar. `decisions` is a person's CSV: a rejected pair is left out, and an accepted one that
    the rules leave out joins tier 1.
    """
    pairs = _all_pairs(labels, encoder)
    # Rounded, so that the last bits of a matrix product cannot change a choice or a file.
    pairs["similarity"] = pairs["similarity"].round(6)
    pairs["tier"] = _tiers(pairs)
    if decisions is not None and decisions.exists():
        said = read_decisions(decisions)[[*ENDS, "decision", "kind"]]
        pairs = pairs.drop(columns=["decision", "kind"]).merge(said, on=ENDS, how="left")
        pairs = pairs.fillna({"decision": "", "kind": ""})
        pairs["tier"] = pairs["tier"].mask((pairs["decision"] == "accept") & (pairs["tier"] == 0), 1)
    pairs = pairs[(pairs["tier"] > 0) & (pairs["decision"] != "reject")]
    pairs["kind"] = pairs["kind"].where(pairs["kind"] != "", np.where(pairs["across"], *KINDS[::-1]))
    back = pairs.rename(columns=dict(zip(ENDS, ENDS[::-1])))
    both = pd.concat([pairs, back])[PAIR_COLUMNS].astype({"changed": str, "kind": str})
    return both.sort_values(ENDS, ignore_index=True)


def propose_pairs(labels: pd.DataFrame, encoder: Encoder | None = None) -> pd.DataFrame:
    """List every unordered pair of one dataset with its similarity, and whether it is proposed.

    `verified` marks tier 1. Each dataset has its own threshold, calibrated on its verified pairs, since
    dives are more alike in text than gymnastics labels.
    """
    pairs = _all_pairs(labels, encoder).query("same_dataset").reset_index(drop=True)
    table = pairs[[*ENDS, "dataset", "similarity", "verified"]]
    thresholds = {
        name: calibrate_threshold(part["similarity"].to_numpy(), part["verified"].to_numpy())
        for name, part in table.groupby("dataset")
        if part["verified"].any()
    }
    threshold = table["dataset"].map(thresholds)
    return table.assign(threshold=threshold, proposed=table["similarity"] >= threshold)


def read_decisions(path: Path) -> pd.DataFrame:
    """Read a person's decisions; the last one about a pair counts, whichever way it is written."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (ValueError, OSError) as error:
        raise ValueError(f"{path} is no CSV; give a file of {','.join(DECISION_COLUMNS)}.") from error
    if missing := set(DECISION_COLUMNS) - set(table):
        raise ValueError(
            f"{path} has no column {', '.join(sorted(missing))}; its first line must read "
            f"{','.join(DECISION_COLUMNS)}."
        )
    for column, allowed in [("decision", ("accept", "reject")), ("kind", ("", *KINDS))]:
        wrong = table[~table[column].isin(allowed)]
        if len(wrong):
            raise ValueError(
                f"{path}, line {wrong.index[0] + 2}: {column} {wrong[column].iloc[0]!r} is not one "
                f"of {', '.join(filter(None, allowed))}; correct that cell."
            )
    table[ENDS] = np.sort(table[ENDS].to_numpy(dtype=str), axis=1)
    return table.drop_duplicates(ENDS, keep="last")


def record_decision(
    path: Path, source_label: str, target_label: str, decision: str, kind: str = "", comment: str = ""
) -> None:
    """Add one decision to the CSV, at once; an earlier one about the same pair stays and is outvoted."""
    earlier = pd.read_csv(path, dtype=str, keep_default_na=False) if path.exists() else None
    row = [source_label, target_label, decision, kind, comment]
    table = pd.concat([earlier, pd.DataFrame([row], columns=DECISION_COLUMNS)])
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def _word_pair_cosine(words: list[list[str]]) -> np.ndarray:
    counts = pd.DataFrame([Counter(map(" ".join, pairwise(line))) for line in words]).fillna(0).to_numpy()
    lengths = np.linalg.norm(counts, axis=1, keepdims=True)
    unit = counts / np.where(lengths > 0, lengths, 1)
    return unit @ unit.T


def _same_order(words: list[list[str]]) -> np.ndarray:
    ratio = np.eye(len(words))
    matcher = SequenceMatcher(autojunk=False)
    for j, line in enumerate(words):
        matcher.set_seq2(line)  # the matcher keeps what it learned about its second sequence
        for i in range(j):
            matcher.set_seq1(words[i])
            ratio[i, j] = ratio[j, i] = matcher.ratio()
    return ratio


def _all_pairs(labels: pd.DataFrame, encoder: Encoder | None) -> pd.DataFrame:
    """Compare every two labels: a row for each unordered pair, in the order of their ids."""
    labels = labels.sort_values("label_id", ignore_index=True)
    ids, datasets, sets = (labels[name].tolist() for name in ("label_id", "dataset", "set"))
    attributes = [Attributes.from_json(text) for text in labels["attributes"]]
    rows = []
    for i, j in combinations(range(len(labels)), 2):
        a, b = attributes[i], attributes[j]
        changed = [change.attribute for change in difference(a, b) if change.attribute not in _CONTEXT]
        across, same_dataset = a.apparatus != b.apparatus, datasets[i] == datasets[j]
        # Same set and same base, hence same family: only details differ.
        same_skill = same_dataset and not across and sets[i] == sets[j] and a.base == b.base
        verified = not {*changed} - comes_along(a, b) if across else same_skill and len(changed) == 1
        if across:
            changed = ["apparatus"] if verified else ["apparatus", *changed]
        hard = same_skill and (len(changed) == 2 or (len(changed) == 3 and a.family == "dive"))
        near = same_dataset and not across and bool(changed)
        flags = (a.base != b.base, across, same_dataset, verified, hard, near)
        rows.append((i, j, ids[i], ids[j], datasets[i], ",".join(changed), len(changed), *flags))
    names = ["i", "j", *ENDS, "dataset", "changed", "n_changes"]
    flags = ["other_base", "across", "same_dataset", "verified", "hard", "near"]
    table = pd.DataFrame(rows, columns=[*names, *flags]).astype(dict.fromkeys(flags, bool))
    similarity = similarity_matrix(labels["text"].tolist(), encoder)
    return table.assign(similarity=similarity[np.triu_indices(len(labels), 1)], decision="", kind="")


def _tiers(pairs: pd.DataFrame) -> np.ndarray:
    """Tier of each pair, 0 where it is in none."""
    keyed = pairs.assign(unlike=-pairs["similarity"])
    ways = [keyed.assign(label=keyed[one], other=keyed[other]) for one, other in ("ij", "ji")]
    both = pd.concat(ways)
    alone = ~both["label"].isin(both.loc[both["verified"], "label"])

    def nearest(candidates: pd.Series, keys: list[str], n: int) -> pd.Index:
        return both[candidates].sort_values(["label", *keys, "other"]).groupby("label").head(n).index

    tier = pd.Series(0, pairs.index)
    tier[nearest(both["hard"], ["unlike"], NEAREST_HARD)] = 3
    # A label alone prefers its own skill, then the fewest changes, then the most similar text.
    tier[nearest(both["near"] & alone, ["other_base", "n_changes", "unlike"], 1)] = 2
    tier[pairs["verified"]] = 1
    return tier
