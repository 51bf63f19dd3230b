"""The pair reviewer, without a browser: what it writes, and that later runs obey it."""

import json

import pandas as pd
import pytest

from tfcovr_utils.explorer import KEYS, PairReviewer
from tfcovr_utils.labels.pairing import pair_labels, read_decisions
from tfcovr_utils.rendering.dataset import label_table
from tfcovr_utils.rendering.skills import SKILLS


@pytest.fixture
def reviewing(tmp_path):
    labels = label_table(SKILLS["smoke"])
    pairs = pair_labels(labels)
    undirected = pairs[pairs.source_label < pairs.target_label]
    return (
        labels,
        undirected,
        PairReviewer(undirected, dict(zip(labels.label_id, labels.text)), tmp_path / "decisions.csv"),
    )


def test_each_decision_is_written_at_once_and_obeyed(reviewing):
    labels, pairs, reviewer = reviewing
    first, second, third = (tuple(pairs.iloc[i][["source_label", "target_label"]]) for i in range(3))
    reviewer.press("r")
    assert list(read_decisions(reviewer.path).decision) == ["reject"]
    reviewer.press("k")
    reviewer.press("a")
    reviewer._comment.value = 'a "quoted", long comment'
    reviewer.press("r")
    written = pd.read_csv(reviewer.path, keep_default_na=False)
    assert list(written.comment)[-1] == 'a "quoted", long comment' and reviewer._comment.value == ""
    obeyed = pair_labels(labels, decisions=reviewer.path).set_index(["source_label", "target_label"])
    assert first not in obeyed.index and first[::-1] not in obeyed.index and third not in obeyed.index
    assert obeyed.kind[second] != pairs.kind.iloc[1]


def test_a_decision_taken_back_by_a_later_one(reviewing):
    reviewer = reviewing[2]
    for key in ("r", "b", "a"):
        reviewer.press(key)
    decisions = read_decisions(reviewer.path)
    assert len(decisions) == 1 and decisions.decision.iloc[0] == "accept"


def test_one_letter_typed_is_enough_and_nonsense_does_nothing(reviewing):
    reviewer = reviewing[2]
    reviewer._key.value = "a"
    assert reviewer.position == 1 and reviewer._key.value == ""
    reviewer._key.value = "x"
    assert reviewer.position == 1 and reviewer._key.value == ""
    reviewer._key.value = "b"
    assert reviewer.position == 0 and set(KEYS) == set("arknb")


def test_the_pair_and_its_texts_are_shown(reviewing):
    labels, pairs, reviewer = reviewing
    text = dict(zip(labels.label_id, labels.text))
    assert (
        text[pairs.iloc[0].source_label] in reviewer._shown.value
        and f"1 of {len(pairs)}" in reviewer._shown.value
    )
    assert json.dumps(reviewer._shown.value)
