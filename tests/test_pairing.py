"""Pairing: tiers by hand and by brute force, similarity, thresholds, and a person's decisions."""

import os
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfcovr_utils.labels import label_text, parse_label
from tfcovr_utils.labels.pairing import (
    DECISION_COLUMNS,
    PAIR_COLUMNS,
    calibrate_threshold,
    pair_labels,
    propose_pairs,
    read_decisions,
    similarity_matrix,
    spell_out,
)
from tfcovr_utils.sources import load_source
from tfcovr_utils.sources.source import label_row

ANNOTATIONS = os.environ.get("TFCOVR_ANNOTATIONS")
needs_annotations = pytest.mark.skipif(
    not ANNOTATIONS, reason="TFCOVR_ANNOTATIONS is not set to the folder of annotation files"
)
# One label a letter. A, B, C: one skill on one apparatus; D: the same as A on another.
TEXTS = {
    "a": "(FX) salto backward stretched with 1 twist",
    "b": "(FX) salto backward stretched with 2 twist",
    "c": "(FX) salto backward tucked with 2 twist",
    "d": "(BB) salto backward stretched with 1 twist",
    "e": "(FX) switch leap",
    "f": "(UB) (swing forward) salto backward stretched with 1 turn",
}


def labels_of(texts: dict[str, str], groups: dict[str, str] | None = None) -> pd.DataFrame:
    rows = []
    for label_id, text in texts.items():
        attributes = parse_label(text)
        spelled = label_text(text) if attributes.apparatus == "DV" else text
        group = (groups or {}).get(label_id, "")
        rows.append(label_row(label_id, spelled, "test", attributes, group))
    return pd.DataFrame(rows)


def undirected(pairs: pd.DataFrame) -> dict[str, tuple]:
    """One "ab": values a pair, after checking that both directions say the same."""
    shown = {}
    for row in pairs.itertuples():
        key = "".join(sorted(row.source_label + row.target_label))
        values = tuple(getattr(row, name) for name in ("tier", "kind", "changed"))
        assert shown.setdefault(key, values) == values
    assert len(pairs) == 2 * len(shown)
    return shown


def test_tiers_and_kinds_by_hand():
    pairs = pair_labels(labels_of(TEXTS))
    assert list(pairs) == PAIR_COLUMNS
    assert undirected(pairs) == {
        "ab": (1, "temporal", "rotation"),
        "bc": (1, "temporal", "shape"),
        "ad": (1, "event", "apparatus"),
        "af": (1, "event", "apparatus"),  # the swing is how any skill on the bars begins
        "df": (1, "event", "apparatus"),
        "ae": (2, "temporal", "base,saltos,direction,shape,rotation"),
        "ac": (3, "temporal", "shape,rotation"),
    }


def test_the_same_text_in_two_element_sets_is_no_pair_and_details_stay_within_a_set():
    texts = {"a": "(BB) salto backward tucked", "b": "(BB) salto backward tucked"}
    texts["c"] = "(BB) salto backward piked"
    shown = undirected(pair_labels(labels_of(texts, {"a": "33", "b": "35", "c": "33"})))
    assert shown == {"ac": (1, "temporal", "shape"), "bc": (2, "temporal", "shape")}


def test_dives_pair_by_one_count_and_harder_by_three():
    texts = {"a": "107b", "b": "107c", "c": "205c", "d": "5152b"}
    shown = undirected(pair_labels(labels_of(texts)))
    assert shown == {
        "ab": (1, "temporal", "shape"),
        "bc": (2, "temporal", "saltos,direction"),
        "ad": (2, "temporal", "saltos,rotation"),
        "ac": (3, "temporal", "saltos,direction,shape"),
        "bd": (3, "temporal", "saltos,shape,rotation"),
        "cd": (3, "temporal", "direction,shape,rotation"),
    }


SALTOS = st.tuples(
    st.sampled_from(["FX", "BB", "UB"]),
    st.sampled_from(["", "double "]),
    st.sampled_from(["forward", "backward"]),
    st.sampled_from(["tucked", "piked", "stretched"]),
    st.sampled_from(["", " with 0.5 twist", " with 1 twist"]),
).map(lambda parts: "({}) {}salto {} {}{}".format(*parts))


@settings(max_examples=40, deadline=None)
@given(st.lists(SALTOS, min_size=2, max_size=12, unique=True))
def test_tier_1_is_what_brute_force_finds_and_no_reachable_label_stays_alone(texts):
    pairs = pair_labels(labels_of({f"{k:02d}": text for k, text in enumerate(texts)}))
    split = [text.replace("double salto", "double-salto").split(" ", 1) for text in texts]
    expected, apparatus = set(), [tag for tag, _ in split]
    for i, j in combinations(range(len(texts)), 2):
        one, other = parse_label(texts[i]), parse_label(texts[j])
        names = ("saltos", "direction", "shape", "rotation")
        changes = sum(getattr(one, name) != getattr(other, name) for name in names)
        if changes == (apparatus[i] == apparatus[j]):
            expected |= {(f"{i:02d}", f"{j:02d}"), (f"{j:02d}", f"{i:02d}")}
    first = pairs[pairs["tier"] == 1]
    assert set(zip(first["source_label"], first["target_label"])) == expected
    has_company = {k for k, tag in enumerate(apparatus) if apparatus.count(tag) > 1}
    paired = {int(label_id) for label_id in pairs["source_label"]}
    assert paired >= has_company
    assert not pairs.duplicated(["source_label", "target_label"]).any()
    third = pairs[pairs["tier"] == 3]
    assert (third["changed"].str.count(",") == 1).all()


def test_order_of_the_labels_does_not_matter():
    labels = labels_of(TEXTS)
    shuffled = labels.sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(pair_labels(labels), pair_labels(shuffled))


def test_an_encoder_sees_spelled_out_tags_and_ranks_the_neighbours():
    seen = []

    def encoder(texts):
        seen.extend(texts)
        return np.eye(len(texts))

    pairs = pair_labels(labels_of(TEXTS), encoder)
    assert "(Balance Beam) salto backward stretched with 1 twist" in seen
    assert spell_out("Back, 2.5 Soms.Pike, Entry") == "Back, 2.5 Soms.Pike, Entry"
    assert (pairs["similarity"] == 0).all()


@pytest.mark.parametrize("vectors", [np.ones((6, 3)), np.eye(5), np.ones(6)])
def test_an_encoder_without_unit_vectors_is_refused(vectors):
    with pytest.raises(ValueError, match=r"array of shape .* for 6 texts"):
        similarity_matrix(list(TEXTS.values()), lambda texts: vectors)


def test_lexical_similarity_is_a_similarity():
    similarity = similarity_matrix(list(TEXTS.values()))
    np.testing.assert_allclose(similarity, similarity.T)
    np.testing.assert_allclose(np.diag(similarity), 1)
    position = {label_id: k for k, label_id in enumerate(TEXTS)}
    near, far = similarity[position["a"], [position["b"], position["e"]]]
    assert 0 <= far < near < 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0.05, 1))
def test_the_threshold_is_the_largest_cut_that_keeps_the_recall(values, recall):
    values = np.array(values)
    verified = np.ones(len(values), dtype=bool)
    cut = calibrate_threshold(values, verified, recall)
    assert (values >= cut).mean() >= recall
    higher = values[values > cut]
    if len(higher):
        assert (values >= higher.min()).mean() < recall


def test_only_verified_pairs_calibrate():
    similarity, verified = np.array([0.9, 0.8, 0.1]), np.array([True, True, False])
    assert calibrate_threshold(similarity, verified) == 0.8
    with pytest.raises(ValueError, match="no verified pair"):
        calibrate_threshold(similarity, ~verified & False)


def test_a_person_overrules(tmp_path):
    path = tmp_path / "decisions.csv"
    rows = [
        ["b", "a", "reject", "", "looks alike"],
        ["c", "e", "accept", "event", ""],
        ["a", "d", "reject", "", ""],
        ["d", "a", "accept", "temporal", "the later line counts"],
        ["a", "from-another-benchmark", "reject", "", ""],
    ]
    pd.DataFrame(rows, columns=DECISION_COLUMNS).to_csv(path, index=False)
    labels = labels_of(TEXTS)
    pairs = pair_labels(labels, decisions=path)
    shown = undirected(pairs)
    assert "ab" not in shown
    assert shown["ce"][:2] == (1, "event")
    assert shown["ad"] == (1, "temporal", "apparatus")
    said = pairs.set_index(["source_label", "target_label"])["decision"]
    assert (said["c", "e"], said["e", "c"], said["b", "c"]) == ("accept", "accept", "")
    without = pair_labels(labels, decisions=tmp_path / "none.csv")
    pd.testing.assert_frame_equal(without, pair_labels(labels))


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("decision", "__import__('os').system('touch canary')"),
        ("decision", "maybe"),
        ("decision", "=HYPERLINK(1)"),
        ("kind", "eval('1')"),
    ],
)
def test_a_hostile_or_unknown_cell_is_refused_by_line(tmp_path, monkeypatch, column, cell):
    monkeypatch.chdir(tmp_path)
    row = dict(zip(DECISION_COLUMNS, ["a", "b", "accept", "", ""]))
    path = tmp_path / "decisions.csv"
    pd.DataFrame([row, row | {column: cell}]).to_csv(path, index=False)
    with pytest.raises(ValueError, match=rf"line 3: {column} .* is not one of"):
        read_decisions(path)
    assert not (tmp_path / "canary").exists()


def test_decisions_without_their_columns_are_refused(tmp_path):
    path = tmp_path / "decisions.csv"
    path.write_text("source_label,target_label\na,b\n")
    with pytest.raises(ValueError, match="no column comment, decision, kind"):
        read_decisions(path)


@needs_annotations
def test_the_published_labels_give_the_measured_pairs():
    labels = load_source("tfcovr", Path(ANNOTATIONS)).labels
    pairs = pair_labels(labels)
    assert len(pairs) == 1_890
    assert set(pairs["source_label"]) == set(labels["label_id"]) and len(labels) == 306
    is_dive = pairs["source_label"].str.endswith(("a", "b", "c", "d"))
    counted = (pairs.groupby(["tier", "kind", is_dive]).size() // 2).to_dict()
    assert counted == {
        (1, "temporal", False): 352,
        (1, "event", False): 74,
        (1, "temporal", True): 92,
        (2, "temporal", False): 12,
        (3, "temporal", False): 318,
        (3, "temporal", True): 97,
    }
    first = pairs[pairs["tier"] == 1]
    assert first.loc[~is_dive, "source_label"].nunique() == 244


@needs_annotations
def test_similarity_ranks_verified_pairs_first_but_cannot_set_the_list():
    proposals = propose_pairs(load_source("tfcovr", Path(ANNOTATIONS)).labels)
    gym = proposals[proposals["dataset"] == "finegym"]
    n_verified = gym["verified"].sum()
    wins = gym["similarity"].rank()[gym["verified"]].sum() - n_verified * (n_verified + 1) / 2
    assert wins / (n_verified * (len(gym) - n_verified)) > 0.98
    right = gym["verified"][gym["proposed"]]
    assert right.sum() >= 0.80 * n_verified
    assert right.mean() < 0.4
    assert proposals.groupby("dataset")["threshold"].nunique().tolist() == [1, 1]
