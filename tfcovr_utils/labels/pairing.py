"""Which labels form a query and its answer: proposed by text similarity, verified by attributes.

Text similarity ranks well and decides badly, so it only proposes and breaks ties. The difference of
the attributes verifies, and a person can overrule both.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import fields
from difflib import SequenceMatcher
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from ..machine.files import replacing
from ..profiles import ROOT
from .attributes import APPARATUS, Attributes

PAIR_COLUMNS = ["source_label", "target_label", "kind", "tier", "changed", "similarity", "decision"]
DECISION_COLUMNS = ["source_label", "target_label", "decision", "kind", "comment"]
DECISIONS_PATH = ROOT / "data" / "pair_decisions.csv"
KINDS = ("temporal", "event")
NEAREST_HARD = 3  # neighbours a label gets in tier 3
RECALL = 0.80  # of the verified pairs that a calibrated threshold must let through
# Landings that any apparatus may end in; a swing is how every skill on the bars begins.
NEUTRAL_LANDINGS = {"", "step-out", "feet together", "cross position", "side position"}
# Not changes of their own: the apparatus tells T from E, the family follows from the base.
_CONTEXT = ("apparatus", "family")
_ATTRIBUTES = [f.name for f in fields(Attributes) if f.name not in _CONTEXT]

Encoder = Callable[[list[str]], np.ndarray]


def spell_out(text: str) -> str:
    """Write the apparatus tag in full, as an encoder of text wants it."""
    return re.sub(r"^\((\w+)\)", lambda tag: f"({APPARATUS.get(tag[1], tag[1])})", text)


def similarity_matrix(texts: list[str], encoder: Encoder | None = None) -> np.ndarray:
    """Return the (N, N) cosine similarity of label texts.

    `encoder` maps N texts to (N, D) unit vectors; without one the similarity is "lexical": the mean
    of the cosine of word-pair counts and of the share of words that stand in the same order.
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
    """Return the largest cut that lets at least this share of the verified pairs through.

    Both arrays hold one value a pair. A cut of one encoder means nothing to another.
    """
    kept = np.sort(similarity[verified])[::-1]
    if not len(kept):
        raise ValueError("no verified pair to calibrate on; the labels share no attribute change.")
    return float(kept[int(np.ceil(recall * len(kept))) - 1])


def pair_labels(
    labels: pd.DataFrame, encoder: Encoder | None = None, decisions: Path | None = None
) -> pd.DataFrame:
    """Pair labels in tiers 1 to 3 and return the directed pairs, both ways of each.

    Tier 1: one attribute differs on one apparatus, or none across two. Tier 2: a label still alone
    with its nearest. Tier 3, harder: two attributes differ (three for dives), each label's three
    most similar. `decisions` is a person's CSV; where it exists it is obeyed in both directions:
    a rejected pair is left out, an accepted one stands in tier 1 whatever the rules say.
    """
    labels = labels.sort_values("label_id", ignore_index=True)
    # Rounded, so that the last bits of a matrix product cannot change a choice or a file.
    similarity = similarity_matrix(labels["text"].tolist(), encoder).round(6)
    compared = _Comparison(labels)
    pairs = _tiers(compared, similarity)
    if decisions is not None and decisions.exists():
        pairs = _obey(pairs, read_decisions(decisions), labels)
    i_idx, j_idx = pairs["i"].to_numpy(), pairs["j"].to_numpy()
    ids = labels["label_id"].to_numpy()
    apparatus = np.array([attributes.apparatus for attributes in compared.attributes])
    kind = np.where(apparatus[i_idx] == apparatus[j_idx], *KINDS)
    pairs = pairs.assign(
        kind=pairs["kind"].where(pairs["kind"] != "", kind),
        changed=[compared.names(i, j) for i, j in zip(i_idx, j_idx)],
        similarity=similarity[i_idx, j_idx],
    )
    there = pairs.assign(source_label=ids[i_idx], target_label=ids[j_idx])
    back = pairs.assign(source_label=ids[j_idx], target_label=ids[i_idx])
    both = pd.concat([there, back])[PAIR_COLUMNS].astype({"changed": str, "kind": str})
    return both.sort_values(["source_label", "target_label"], ignore_index=True)


def propose_pairs(labels: pd.DataFrame, encoder: Encoder | None = None) -> pd.DataFrame:
    """List every unordered pair of one dataset with its similarity, and whether it is proposed.

    `verified` marks tier 1; the threshold is calibrated on it for each dataset, as text similarity
    means something else among dives than among gymnastics labels.
    """
    labels = labels.sort_values("label_id", ignore_index=True)
    similarity = similarity_matrix(labels["text"].tolist(), encoder)
    compared = _Comparison(labels)
    i_idx, j_idx = np.triu_indices(len(labels), 1)
    dataset = labels["dataset"].to_numpy()
    same = dataset[i_idx] == dataset[j_idx]
    i_idx, j_idx = i_idx[same], j_idx[same]
    ids = labels["label_id"].to_numpy()
    table = pd.DataFrame(
        {
            "source_label": ids[i_idx],
            "target_label": ids[j_idx],
            "dataset": dataset[i_idx],
            "similarity": similarity[i_idx, j_idx],
            "verified": compared.tier_1[i_idx, j_idx],
        }
    )
    cuts = {
        name: calibrate_threshold(part["similarity"].to_numpy(), part["verified"].to_numpy())
        for name, part in table.groupby("dataset")
        if part["verified"].any()
    }
    threshold = table["dataset"].map(cuts)
    return table.assign(threshold=threshold, proposed=table["similarity"] >= threshold)


def read_decisions(path: Path) -> pd.DataFrame:
    """Read a person's decisions; the last one about a pair counts, whichever way it is written."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    missing = set(DECISION_COLUMNS) - set(table)
    if missing:
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
    ends = np.sort(table[["source_label", "target_label"]].to_numpy(dtype=str), axis=1)
    table = table.assign(source_label=ends[:, 0], target_label=ends[:, 1])
    return table.drop_duplicates(["source_label", "target_label"], keep="last")


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
    pairs = [Counter(pairwise(line)) for line in words]
    column = {pair: k for k, pair in enumerate(dict.fromkeys(p for line in pairs for p in line))}
    counts = np.zeros((len(words), max(len(column), 1)))
    for row, line in enumerate(pairs):
        counts[row, [column[pair] for pair in line]] = list(line.values())
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


class _Comparison:
    """What differs between every two labels: boolean matrices (N, N), and how many changes."""

    def __init__(self, labels: pd.DataFrame):
        self.attributes = [Attributes.from_json(text) for text in labels["attributes"]]
        self.differs = {name: self._unequal(name) for name in _ATTRIBUTES}
        self.n_changes = np.sum(list(self.differs.values()), axis=0)
        apparatus = ~self._unequal("apparatus")
        group = labels["set"].to_numpy(dtype=str)
        dataset = labels["dataset"].to_numpy(dtype=str)
        self.same_apparatus = apparatus & (dataset[:, None] == dataset)
        # Same set and same base, hence same family: only details differ.
        self.same_skill = self.same_apparatus & (group[:, None] == group) & ~self.differs["base"]
        entry = self._neutral("entry", lambda entry: not entry or "swing" in entry)
        landing = self._neutral("finish", NEUTRAL_LANDINGS.__contains__)
        ignored = (self.differs["entry"] & entry).astype(int) + (self.differs["finish"] & landing)
        across = ~apparatus & (self.n_changes == ignored)
        self.tier_1 = (self.same_skill & (self.n_changes == 1)) | across

    def names(self, i: int, j: int) -> str:
        """The attributes that change, e.g. "rotation" or "direction,shape"; across apparatus
        only "apparatus" where nothing else that counts does."""
        if self.attributes[i].apparatus != self.attributes[j].apparatus and self.tier_1[i, j]:
            return "apparatus"
        context = ["apparatus"] * (self.attributes[i].apparatus != self.attributes[j].apparatus)
        return ",".join(context + [name for name in _ATTRIBUTES if self.differs[name][i, j]])

    def _unequal(self, name: str) -> np.ndarray:
        codes, _ = pd.factorize(pd.Series([str(getattr(a, name)) for a in self.attributes]))
        return codes[:, None] != codes

    def _neutral(self, name: str, is_neutral: Callable[[str], bool]) -> np.ndarray:
        flags = np.array([is_neutral(getattr(a, name)) for a in self.attributes], dtype=bool)
        return flags[:, None] & flags


def _tiers(compared: _Comparison, similarity: np.ndarray) -> pd.DataFrame:
    """Unordered pairs i < j of the three tiers, by position."""
    upper = np.triu(np.ones(similarity.shape, dtype=bool), 1)
    first = compared.tier_1 & upper

    # A label alone prefers its own skill, then the fewest changes, then the likest text.
    alone = ~compared.tier_1.any(axis=1)
    reachable = compared.same_apparatus & (compared.n_changes > 0)
    by_nearness = [-similarity, compared.n_changes, compared.differs["base"]]
    second = _nearest(reachable & alone[:, None], by_nearness, 1) & upper

    is_dive = np.array([attributes.family == "dive" for attributes in compared.attributes], dtype=bool)
    hard = compared.same_skill & (compared.n_changes == 2)
    hard |= compared.same_skill & (compared.n_changes == 3) & is_dive
    third = _nearest(hard, [-similarity], NEAREST_HARD) & upper & ~second

    tiers = []
    for tier, chosen in enumerate([first, second, third], start=1):
        i_idx, j_idx = np.nonzero(chosen)
        tiers.append(pd.DataFrame({"i": i_idx, "j": j_idx, "tier": tier}))
    return pd.concat(tiers, ignore_index=True).assign(decision="", kind="")


def _nearest(candidates: np.ndarray, keys: list[np.ndarray], n: int) -> np.ndarray:
    """Mark the n best candidates of each row (both ways); the last key weighs most, ties go to
    the first label."""
    columns = np.arange(candidates.shape[1])
    chosen = np.zeros_like(candidates)
    for row in np.flatnonzero(candidates.any(axis=1)):
        order = np.lexsort([columns, *(key[row] for key in keys), ~candidates[row]])
        chosen[row, order[: min(n, candidates[row].sum())]] = True
    return chosen | chosen.T


def _obey(pairs: pd.DataFrame, decisions: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Apply decisions about labels that are here; others belong to another benchmark."""
    position = {label_id: k for k, label_id in enumerate(labels["label_id"])}
    ends = ["source_label", "target_label"]
    here = decisions[decisions[ends].isin(list(position)).all(axis=1)]
    places = np.sort(here[ends].map(position.get).to_numpy(dtype=int).reshape(-1, 2), axis=1)
    here = pd.DataFrame({"i": places[:, 0], "j": places[:, 1]}).assign(
        said=here["decision"].to_numpy(), said_kind=here["kind"].to_numpy()
    )
    merged = pairs.merge(here, on=["i", "j"], how="outer")
    merged = merged[merged["said"] != "reject"]
    return merged.assign(
        tier=merged["tier"].fillna(1).astype(int),
        kind=merged["said_kind"].fillna(""),
        decision=merged["said"].fillna(""),
    )[["i", "j", "tier", "decision", "kind"]]
