"""What is held out of training never teaches, the test stays the same, and a composer composes."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from small_benchmark import small_setting

from tfcovr_utils.benchmark.open_world import CLOSED, WAYS, hold_out
from tfcovr_utils.evaluation.asked import across, by_what_is_asked
from tfcovr_utils.evaluation.scoring import evaluate
from tfcovr_utils.labels import Attributes
from tfcovr_utils.methods import METHODS
from tfcovr_utils.training.composer import Composer


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    return small_setting(tmp_path_factory)


@pytest.mark.parametrize("way", WAYS)
def test_what_is_held_out_teaches_nothing_and_is_asked(here, way):
    benchmark = here.benchmark
    held = hold_out(benchmark, way)
    clips = held.benchmark.clips
    assert not set(clips.loc[clips["split"] != "test", "label_id"]) & set(held.labels)
    for table in ("queries", "gallery", "targets"):
        before, after = (getattr(one, table) for one in (benchmark, held.benchmark))
        key = "split" if table == "gallery" else "query_id"
        test = [one[one[key].str.startswith("test")] for one in (before, after)]
        pd.testing.assert_frame_equal(*(one.reset_index(drop=True) for one in test))
    ends = benchmark.modifications.set_index("modification_id")[["source_label", "target_label"]]
    taught = {frozenset(pair) for pair in ends.loc[held.benchmark.triplets["modification_id"]].to_numpy()}
    for query in benchmark.queries.to_dict("records"):
        pair = frozenset(ends.loc[query["modification_id"]])
        new = not taught & {pair} if way == "pairs" else bool(pair & set(held.labels))
        assert (held.asked[query["query_id"]] != CLOSED) == new
    asked = held.asked[held.asked.index.str.startswith("test")]
    assert 0 < (asked != CLOSED).mean() < 1
    assert hold_out(benchmark, way).asked.equals(held.asked)


def test_each_value_of_a_held_out_label_is_taught_by_another(here):
    held = hold_out(here.benchmark, "labels")
    labels = here.benchmark.labels.set_index("label_id")["attributes"].map(json.loads)
    taught = set(held.benchmark.clips.query("split == 'train'")["label_id"])
    for label in held.labels:
        for name, value in labels[label].items():
            assert any(labels[other][name] == value for other in taught), (label, name)
    largest = hold_out(here.benchmark, "count")
    counts = {Attributes.from_json(json.dumps(labels[label])).rotation for label in largest.labels}
    assert len(counts) == 1 and len(largest.labels) >= 2
    with pytest.raises(ValueError, match="way 'skills' is not known; choose one of labels, pairs, count"):
        hold_out(here.benchmark, "skills")


def test_a_composer_replaces_what_the_text_names_and_keeps_the_rest():
    """Two attributes of two and three values; the text says nothing, or "the second becomes its third"."""
    composer = Composer([2, 3], text_dim=2).eval()
    with torch.no_grad():
        for parameter in composer.reader.parameters():
            parameter.zero_()
        composer.reader[0].weight[0] = torch.tensor([0.0, 1.0])
        composer.reader[-1].bias[:2] = 20.0
        composer.reader[-1].weight[2 + 2 + 2, 0] = 60.0
    clip = torch.tensor([[0.0, -30.0, 0.0, -30.0, -30.0]])
    wanted = torch.tensor([[0.0, -30.0, -30.0, -30.0, 0.0]])
    nothing, replaced = composer(clip, torch.tensor([[1.0, 0.0]])), composer(clip, torch.tensor([[0.0, 1.0]]))
    torch.testing.assert_close(nothing, composer.embed_target(clip))
    torch.testing.assert_close(replaced, composer.embed_target(wanted))
    torch.testing.assert_close(replaced.norm(dim=1), torch.ones(1))


@pytest.mark.slow
@pytest.mark.parametrize("row", ["tfcovr-composed", "symbolic"])
def test_rows_of_attributes_run_resume_and_answer_what_was_held_out(here, row, tmp_path):
    held = hold_out(here.benchmark, "labels")
    setting = replace(here, benchmark=held.benchmark, folder=tmp_path / row)
    table = evaluate(METHODS[row].fit(setting), held.benchmark, "full")
    kept = replace(setting, folder=None, checkpoint=tmp_path / row)
    again = evaluate(METHODS[row].fit(kept), held.benchmark, "full")
    np.testing.assert_array_equal(table["ap@50"], again["ap@50"])
    shown = by_what_is_asked(table.assign(method=row, seed=0), held.asked)
    by_hand = 100 * table["ap@50"].groupby(table["query_id"].map(held.asked)).mean()
    assert shown.loc[row, "mAP@50"].to_dict() == pytest.approx(by_hand.to_dict())
    closed, chance = across({"labels": shown}).loc[row, ("labels", CLOSED)], 100 / 6
    assert closed > chance
