"""Benchmarks: split, triplets, queries and targets against brute force; the doctor; the command."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from command import command
from hypothesis import given, settings
from hypothesis import strategies as st
from small_benchmark import small_benchmark

from tfcovr_utils.benchmark.benchmark import TABLES, Benchmark, write_modifications
from tfcovr_utils.benchmark.queries import CAP, DIVE_CAP, answers, build_queries, find_targets
from tfcovr_utils.benchmark.splits import split_by_source
from tfcovr_utils.benchmark.triplets import TARGETS_PER_QUERY, draw_triplets, stream_all_triplets
from tfcovr_utils.labels import Attributes, label_text, parse_label
from tfcovr_utils.labels.pairing import pair_labels
from tfcovr_utils.sources import load_source
from tfcovr_utils.sources.source import CLIP_COLUMNS, Source, label_row
from tfcovr_utils.texts import make_jobs, write_by_rule
from tfcovr_utils.video import write_clip

ROOT = Path(__file__).parent.parent
ANNOTATIONS = os.environ.get("TFCOVR_ANNOTATIONS")
needs_annotations = pytest.mark.skipif(
    not ANNOTATIONS, reason="TFCOVR_ANNOTATIONS is not set to the folder of annotation files"
)
TEXTS = {
    "one": "(FX) salto backward stretched with 1 twist",
    "two": "(FX) salto backward stretched with 2 twist",
    "tuck": "(FX) salto backward tucked with 1 twist",
    "beam": "(BB) salto backward stretched with 1 twist",
    "leap": "(FX) switch leap with 1 turn",
    "107b": "107b",
    "107c": "107c",
}


def label_table(texts: dict[str, str] = TEXTS) -> pd.DataFrame:
    rows = []
    for label_id, text in texts.items():
        attributes = parse_label(text)
        dive = attributes.apparatus == "DV"
        spelled = label_text(text) if dive else text
        rows.append(label_row(label_id, spelled, "dives" if dive else "gym", attributes, ""))
    return pd.DataFrame(rows)


def clip_table(held: dict[str, list[str]], split: dict[str, str] | None = None) -> pd.DataFrame:
    """Clips of two seconds from "video -> labels, one a clip"."""
    rows = []
    for video, label_ids in held.items():
        dataset = "dives" if video.startswith("d") else "gym"
        for number, label_id in enumerate(label_ids):
            clip = f"{video}_{number}_{label_id}"
            where = (split or {}).get(video, "")
            rows.append([clip, dataset, video, label_id, where, 0.0, 2.0, f"{clip}.mp4"])
    return pd.DataFrame(rows, columns=CLIP_COLUMNS)


def small_source(given_split: bool = False) -> Source:
    gym = [name for name in TEXTS if not name.startswith("1")]
    held = {f"g{k:02d}": gym * 2 + gym[: k % 3] * 3 for k in range(20)}
    held |= {f"d{k:02d}": ["107b", "107c"] * 2 for k in range(20)}
    split = {video: ("test", "val")[int(video[1:])] for video in held if int(video[1:]) < 2}
    split = {video: split.get(video, "train") for video in held} if given_split else None
    return Source(clip_table(held, split), label_table(), {"note": 1})


@pytest.fixture(scope="module")
def benchmark():
    return Benchmark.build(small_source(), budget=3_000)


def allowed_triplets(clips: pd.DataFrame, pairs: pd.DataFrame) -> set[tuple[str, str]]:
    """Brute force: every (query clip, target clip) of a label pair from two training sources."""
    train = clips[clips["split"] == "train"].to_dict("records")
    related = set(zip(pairs["source_label"], pairs["target_label"]))
    return {
        (query["clip_id"], target["clip_id"])
        for query, target in product(train, train)
        if (query["label_id"], target["label_id"]) in related
        and query["source_video"] != target["source_video"]
    }


def drawn(triplets: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(triplets["query_clip"], triplets["target_clip"]))


# Split


def test_no_source_is_shared_and_every_label_keeps_a_training_clip(benchmark):
    clips = benchmark.clips
    assert (clips.groupby("source_video")["split"].nunique() == 1).all()
    assert set(clips.loc[clips["split"] == "train", "label_id"]) == set(TEXTS)
    by_split = clips.groupby(["dataset", "split"])["source_video"].nunique().to_dict()
    assert by_split == {
        (dataset, split): n
        for dataset in ("dives", "gym")
        for split, n in (("test", 2), ("val", 2), ("train", 16))
    }
    assert benchmark.choices["test_sources"] == sorted(
        clips.loc[clips["split"] == "test", "source_video"].unique()
    )


def test_a_label_of_one_source_stays_in_training():
    held = {f"g{k:02d}": ["one", "two"] for k in range(10)}
    held["g04"].append("tuck")
    clips = clip_table(held)
    pairs = pair_labels(label_table())
    for seed in range(5):
        split, _ = split_by_source(clips, pairs, seed)
        assert set(split[clips["source_video"] == "g04"]) == {"train"}
        assert sorted(split.unique()) == ["test", "train", "val"]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(list(TEXTS)), max_size=6), min_size=1, max_size=12), st.integers(0, 3)
)
def test_a_split_of_anything_leaks_nothing_and_loses_no_label(videos, seed):
    clips = clip_table({f"g{k:02d}": label_ids for k, label_ids in enumerate(videos)})
    split, _ = split_by_source(clips, pair_labels(label_table()), seed)
    clips = clips.assign(split=split)
    assert (clips.groupby("source_video")["split"].nunique() <= 1).all()
    assert set(clips.loc[clips["split"] == "train", "label_id"]) == set(clips["label_id"])


def test_a_given_split_is_kept():
    source = small_source(given_split=True)
    built = Benchmark.build(source, budget=10)
    before = source.clips.set_index("clip_id")["split"]
    after = built.clips.set_index("clip_id")["split"]
    pd.testing.assert_series_equal(after.sort_index(), before.sort_index())
    assert "test_draw" not in built.choices


# Training triplets


def test_a_small_budget_is_met_exactly_and_spread_over_the_pairs(benchmark):
    allowed = allowed_triplets(benchmark.clips, benchmark.pairs)
    args = (benchmark.clips, benchmark.pairs, benchmark.modifications)
    triplets = draw_triplets(*args, budget=600)
    assert len(triplets) == 600
    assert len(set(drawn(triplets))) == 600
    assert set(drawn(triplets)) <= allowed
    by_pair = ["tier", "source_label", "target_label"]
    counts = triplets.merge(benchmark.pairs).groupby(by_pair).size()
    for tier in (1, 3):
        assert counts[tier].max() - counts[tier].min() <= 1
    assert counts[1].mean() / counts[3].mean() == pytest.approx(175 / 53, rel=0.1)


def test_round_robin_uses_every_query_clip_before_any_twice(benchmark):
    args = (benchmark.clips, benchmark.pairs, benchmark.modifications)
    triplets = draw_triplets(*args, budget=600)
    for _, part in triplets.groupby(["source_label", "target_label"]):
        uses = part["query_clip"].value_counts()
        assert uses.max() - uses.min() <= 1


def test_a_large_budget_gives_all_there_is_up_to_the_targets_of_a_query(benchmark):
    allowed = allowed_triplets(benchmark.clips, benchmark.pairs)
    args = (benchmark.clips, benchmark.pairs, benchmark.modifications)
    triplets = draw_triplets(*args, budget=10**6)
    label = benchmark.clips.set_index("clip_id")["label_id"]
    table = pd.DataFrame(sorted(allowed), columns=["query_clip", "target_clip"])
    available = table.groupby(["query_clip", table["target_clip"].map(label)]).size()
    assert available.max() > TARGETS_PER_QUERY
    got = triplets.groupby(["query_clip", "target_label"]).size()
    expected = available.clip(upper=TARGETS_PER_QUERY).to_dict()
    assert got.to_dict() == expected
    assert set(drawn(triplets)) <= allowed


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(list(TEXTS)), max_size=5), min_size=2, max_size=6),
    st.integers(0, 40),
    st.integers(0, 3),
)
def test_triplets_drawn_and_streamed_are_those_of_brute_force(tmp_path_factory, videos, budget, seed):
    held = {f"g{k}": label_ids for k, label_ids in enumerate(videos)}
    clips = clip_table(held, dict.fromkeys(held, "train"))
    labels = label_table()
    pairs = pair_labels(labels)
    texts = write_modifications(labels, pairs)
    allowed = allowed_triplets(clips, pairs)
    triplets = draw_triplets(clips, pairs, texts, budget, seed)
    assert set(drawn(triplets)) <= allowed and len(set(drawn(triplets))) == len(triplets)
    assert len(triplets) == min(budget, len(allowed))

    path = tmp_path_factory.mktemp("all") / "triplets_all.parquet"
    assert stream_all_triplets(clips, pairs, texts, path) == len(allowed)
    streamed = pq.read_table(path).to_pandas().astype(str)
    assert sorted(drawn(streamed)) == sorted(allowed)
    label = clips.set_index("clip_id")["label_id"]
    assert (streamed["query_clip"].map(label) == streamed["source_label"]).all()
    assert (streamed["target_clip"].map(label) == streamed["target_label"]).all()
    named = "short:" + streamed["source_label"] + ">" + streamed["target_label"]
    assert (streamed["modification_id"] == named).all()


# Queries and targets


def test_one_text_from_one_source_has_all_its_labels_as_answers():
    shown = {"a": "one", "a2": "one", "b": "two", "b2": "two", "c": "tuck"}
    labels = label_table({label_id: TEXTS[name] for label_id, name in shown.items()})
    said = [("a", "b", "show more"), ("a2", "c", "show more"), ("c", "a", "show more")]
    texts = pd.DataFrame(
        [(f"{s}>{t}", text, s, t) for s, t, text in said],
        columns=["modification_id", "text", "source_label", "target_label"],
    )
    found = answers(labels, texts).to_dict()
    assert found == {"a>b": ["b", "b2", "c"], "a2>c": ["b", "b2", "c"], "c>a": ["a", "a2"]}


def brute_force_targets(b: Benchmark, gallery: str) -> dict[str, set[str]]:
    # What the label's words say, so that a gloss in brackets or a second element set makes no other answer.
    text_of = {row.label_id: Attributes.from_json(row.attributes) for row in b.labels.itertuples()}
    label_of = dict(zip(b.clips["clip_id"], b.clips["label_id"]))
    said = dict(zip(b.modifications["modification_id"], b.modifications["text"]))
    leads = {(text_of[m.source_label], m.text, text_of[m.target_label]) for m in b.modifications.itertuples()}
    here = b.gallery[b.gallery["gallery"] == gallery]
    shown = [(c, s, text_of[label_of[c]]) for c, s in zip(here["clip_id"], here["split"])]
    found = {}
    for query in b.queries.itertuples():
        asked = (text_of[label_of[query.query_clip]], said[query.modification_id])
        found[query.query_id] = {
            clip
            for clip, split, text in shown
            if split == query.split and (*asked, text) in leads and clip != query.query_clip
        }
    return found


@pytest.mark.parametrize("gallery", ["capped", "full"])
def test_targets_are_all_the_clips_that_answer_and_no_other(benchmark, gallery):
    given_ = benchmark.targets[benchmark.targets["gallery"] == gallery]
    found = given_.groupby("query_id")["clip_id"].agg(set).to_dict()
    assert found == brute_force_targets(benchmark, gallery)
    assert set(found) == set(benchmark.queries["query_id"])


def test_galleries_hold_what_their_names_say(benchmark):
    clips = benchmark.clips.set_index("clip_id")
    for split in ("val", "test"):
        here = benchmark.gallery[benchmark.gallery["split"] == split]
        full = here.loc[here["gallery"] == "full", "clip_id"]
        assert sorted(full) == sorted(clips.index[clips["split"] == split])
        capped = here.loc[here["gallery"] == "capped", "clip_id"]
        n_full = clips.loc[full, "label_id"].value_counts()
        cap = n_full.index.map(lambda label: DIVE_CAP if label.startswith("107") else CAP)
        n_capped = clips.loc[capped, "label_id"].value_counts()
        assert n_capped.to_dict() == dict(zip(n_full.index, np.minimum(n_full, cap)))


def test_queries_are_distinct_and_ask_of_their_own_split(benchmark):
    queries = benchmark.queries
    assert not queries.duplicated(["query_clip", "modification_id"]).any()
    split = benchmark.clips.set_index("clip_id")["split"]
    assert (queries["query_clip"].map(split) == queries["split"]).all()
    assert set(queries["split"]) == {"val", "test"}


def test_queries_take_turns_over_the_pairs():
    held = {f"g{k}": ["one", "two", "tuck"] * 200 for k in range(2)}
    clips = clip_table(held, dict.fromkeys(held, "test"))
    labels = label_table()
    pairs = pair_labels(labels)
    queries, _, _ = build_queries(clips, labels, pairs, write_modifications(labels, pairs), "test")
    assert len(queries) == 473
    asked = queries["modification_id"].value_counts()
    assert asked.max() - asked.min() <= 1


def test_one_question_by_two_labels_is_asked_once_with_both_answers():
    held = {f"g{k}": ["one", "two", "tuck", "beam"] for k in range(3)}
    source = Source(clip_table(held, dict.fromkeys(held, "test")), label_table())
    pairs = pair_labels(source.labels)
    texts = write_modifications(source.labels, pairs).assign(text="show it another way")
    b = Benchmark.build(source, modifications=texts)
    assert len(b.queries) == 12  # a clip can be asked one thing
    related = pairs.groupby("source_label")["target_label"].agg(sorted)
    label = b.clips.set_index("clip_id")["label_id"]
    expected = b.queries["query_clip"].map(label).map(related)
    assert b.queries["target_labels"].tolist() == expected.tolist()
    assert diagnosis(b) == {"labels without training clips": len(TEXTS)}


def test_the_query_clip_is_never_its_own_answer(benchmark):
    said = benchmark.modifications.head(1).assign(
        modification_id="again", text="show it again", source_label="one", target_label="one"
    )
    query = benchmark.clips[benchmark.clips["split"] == "test"].query("label_id == 'one'").iloc[0]
    query = pd.DataFrame(
        [["again", "test", query["clip_id"], "again", ["one"]]], columns=benchmark.queries.columns
    )
    clips = benchmark.clips.set_index("clip_id")
    found = []
    for name, part in benchmark.gallery.query("split == 'test'").groupby("gallery"):
        found.append(find_targets(query, clips.loc[part["clip_id"]].reset_index(), name))
    assert query["query_clip"].iloc[0] not in set(pd.concat(found)["clip_id"])
    changed = replace(
        benchmark,
        modifications=pd.concat([benchmark.modifications, said]),
        queries=pd.concat([benchmark.queries, query]),
        targets=pd.concat([benchmark.targets, *found]),
    )
    assert diagnosis(changed) == {}


# Benchmark as files


def test_saved_and_loaded_is_the_same(benchmark, tmp_path):
    benchmark.save(tmp_path)
    loaded = Benchmark.load(tmp_path)
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(loaded, name), getattr(benchmark, name))
    assert loaded.choices == benchmark.choices


def test_a_folder_without_a_table_names_it(benchmark, tmp_path):
    benchmark.save(tmp_path)
    (tmp_path / "queries.parquet").unlink()
    with pytest.raises(FileNotFoundError, match="no queries.parquet; build"):
        Benchmark.load(tmp_path)


def test_clips_without_labels_are_refused_in_a_sentence(tmp_path):
    write_clip(tmp_path / "one.mp4", np.zeros((4, 16, 16, 3), np.uint8), 8)
    with pytest.raises(ValueError, match="1 clips have no label, .*; put the clips into folders named by"):
        Benchmark.build(load_source("folder", tmp_path))


def test_the_order_of_accepted_texts_changes_nothing():
    plain = Benchmark.build(small_source(), budget=200)
    shuffled = plain.modifications.sample(frac=1, random_state=0)
    again = Benchmark.build(small_source(), budget=200, modifications=shuffled)
    assert all(getattr(plain, table).equals(getattr(again, table)) for table in TABLES)


def test_accepted_texts_stand_and_the_rest_are_written_by_rule():
    labels = label_table()
    pairs = pair_labels(labels)
    ruled = write_modifications(labels, pairs)
    one = ruled.iloc[[3]].assign(text="show it better", writer="openai", modification_id="short:x")
    dense = one.assign(style="dense", text="a long text", modification_id="dense:x")
    stranger = one.assign(source_label="nobody", modification_id="short:y")
    mixed = write_modifications(labels, pairs, pd.concat([dense, one, stranger]))
    assert len(mixed) == len(ruled)
    assert mixed.set_index("modification_id").loc["short:x", "text"] == "show it better"
    assert (mixed["writer"] == "rules").sum() == len(ruled) - 1


def test_part_of_the_clips_gives_part_of_the_benchmark(benchmark):
    test = benchmark.clips[benchmark.clips["split"] == "test"]
    gone = set(test["clip_id"].iloc[::3]) | set(benchmark.clips["clip_id"].iloc[::5])
    kept = set(benchmark.clips["clip_id"]) - gone
    part = benchmark.restrict(kept)
    assert set(part.clips["clip_id"]) == kept
    assert set(part.triplets["query_clip"]) | set(part.triplets["target_clip"]) <= kept
    problems = part.check().set_index("problem")["count"]
    assert problems.sum() == 0
    coverage = part.coverage(benchmark)
    assert coverage["clips"] == round(len(kept) / len(benchmark.clips), 4)
    assert 0 < coverage["queries"] < 1
    nothing = benchmark.restrict(set())
    assert [len(nothing.queries), len(nothing.triplets), len(nothing.check())] == [0, 0, 13]


def test_a_query_goes_when_one_gallery_has_no_answer_left(benchmark):
    per_gallery = benchmark.targets.groupby(["query_id", "gallery"])["clip_id"].agg(set).unstack()
    more = per_gallery[per_gallery["full"].map(len) > per_gallery["capped"].map(len)]
    query, gone = more.index[0], more["capped"].iloc[0]
    part = benchmark.restrict(set(benchmark.clips["clip_id"]) - gone)
    assert query not in set(part.queries["query_id"]) | set(part.targets["query_id"])
    assert diagnosis(part) == {}


def test_partial_annotations_build_and_are_reported():
    """One video, and labels nobody shows: reported, never an abort."""
    source = Source(clip_table({"g00": ["one"]}), label_table(), {})
    built = Benchmark.build(source)
    assert (len(built.triplets), len(built.queries)) == (0, 0)
    problems = built.check().set_index("problem")["count"]
    assert problems["labels without training clips"] == len(TEXTS) - 1


# The doctor


def diagnosis(benchmark: Benchmark, clips_dir: Path | None = None) -> dict[str, int]:
    report = benchmark.check(clips_dir)
    assert (report["advice"] != "").all()
    found = report[report["count"] > 0]
    assert (found["examples"] != "").all()
    return dict(zip(found["problem"], found["count"]))


def first(table: pd.DataFrame, **values) -> pd.DataFrame:
    """The table with these values in its first row."""
    changed = table.copy()
    for column, value in values.items():
        changed.loc[changed.index[0], column] = value
    return changed


def twice(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table, table.head(1)], ignore_index=True)


def damage_leak(b):
    test = b.clips.index[b.clips["split"] == "test"]
    return {"clips": b.clips.assign(split=b.clips["split"].mask(b.clips.index == test[0], "train"))}


DAMAGES = {
    "clips too short": lambda b: {"clips": first(b.clips, end_s=0.1)},
    "labels without training clips": lambda b: {
        "labels": twice(b.labels).pipe(lambda t: first(t.iloc[::-1], label_id="nobody", text="x"))
    },
    "labels without a pair": lambda b: {
        "pairs": b.pairs[~b.pairs[["source_label", "target_label"]].eq("leap").any(axis=1)]
    },
    "queries without targets": lambda b: {
        "targets": b.targets[b.targets["query_id"] != b.queries["query_id"].iloc[0]]
    },
    "missing valid targets": lambda b: {"targets": b.targets.iloc[1:]},
    "targets that do not answer": lambda b: {
        "targets": pd.concat([b.targets, first(b.targets.head(1), clip_id=b.queries["query_clip"].iloc[0])])
    },
    "duplicates": lambda b: {"triplets": twice(b.triplets)},
    "sources shared between splits": damage_leak,
    "clips used outside their split": lambda b: {
        "gallery": first(b.gallery, split="test" if b.gallery["split"].iloc[0] == "val" else "val")
    },
    "triplets within one source": lambda b: {
        "triplets": first(b.triplets, target_clip=b.triplets["query_clip"].iloc[0])
    },
    "triplets that contradict their labels": lambda b: {"triplets": first(b.triplets, source_label="leap")},
    "unknown ids": lambda b: {"triplets": first(b.triplets, query_clip="nobody")},
    "texts outside the limits": lambda b: {"modifications": first(b.modifications, text="show")},
}


def test_a_sound_benchmark_has_no_finding(benchmark):
    assert diagnosis(benchmark) == {}
    assert set(benchmark.check()["problem"]) == set(DAMAGES)


@pytest.mark.parametrize("problem", DAMAGES)
def test_each_damage_is_found_and_named(benchmark, problem):
    found = diagnosis(replace(benchmark, **DAMAGES[problem](benchmark)))
    assert found[problem] >= 1
    # Some damage is two: a query without targets lacks valid ones. None raises a crowd of alarms.
    assert len(found) <= 4


def test_repeats_are_found_in_every_table(benchmark):
    for name in TABLES:
        if len(getattr(benchmark, name)):
            damaged = replace(benchmark, **{name: twice(getattr(benchmark, name))})
            report = damaged.check().set_index("problem").loc["duplicates"]
            assert report["count"] >= 1 and name in report["examples"]


def test_missing_and_broken_files_are_named(benchmark, tmp_path):
    small = benchmark.restrict(set(benchmark.clips["clip_id"].head(4)))
    good, broken, folder, missing = small.clips["path"]
    write_clip(tmp_path / good, np.zeros((12, 32, 32, 3), dtype=np.uint8), fps=10)
    (tmp_path / broken).write_bytes(b"not a video")
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "00001.jpg").touch()
    report = small.check(tmp_path).set_index("problem")
    assert report.loc["missing clip files", "examples"] == missing
    assert report.loc["missing clip files", "count"] == 1
    assert report.loc["unreadable clip files", "count"] == 1
    assert broken in report.loc["unreadable clip files", "examples"]


# The command


def write_rendered(folder: Path) -> Path:
    source = small_source(given_split=True)
    folder.mkdir(exist_ok=True)
    source.clips.to_parquet(folder / "clips.parquet")
    source.labels.drop(columns="set").to_parquet(folder / "labels.parquet")
    return folder


def run_build(out: Path, *options: str, hash_seed: str = "0") -> subprocess.CompletedProcess:
    arguments = [sys.executable, "-m", "tfcovr_utils", "build", "--out", str(out), "--json"]
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    how = {"capture_output": True, "text": True, "check": True}
    return subprocess.run([*arguments, *options], cwd=ROOT, env=environment, **how)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
def test_the_command_prints_json_alone_and_repeats_to_the_byte(tmp_path):
    rendered = write_rendered(tmp_path / "rendered")
    options = ("--source", "mini", "--annotations", str(rendered), "--all")
    runs = [run_build(tmp_path / f"out{seed}", *options, hash_seed=str(seed)) for seed in (1, 2)]
    assert runs[0].stdout == runs[1].stdout
    counts = json.loads(runs[0].stdout)
    assert counts["source"] == "mini" and counts["labels_paired"] == len(TEXTS)
    assert "MiB" in runs[0].stderr
    assert contents(tmp_path / "out1") == contents(tmp_path / "out2")
    assert counts["triplets_all"] >= counts["triplets"] > 0


def test_the_command_keeps_the_clips_that_are_there(tmp_path, capsys):
    rendered = write_rendered(tmp_path / "rendered")
    clips = small_source(given_split=True).clips
    for path in clips["path"].iloc[::2]:
        (rendered / path).touch()
    given_ = ["--source", "mini", "--annotations", str(rendered), "--out", str(tmp_path / "out")]
    command("build")([*given_, "--clips", str(rendered), "--json"])
    counts = json.loads(capsys.readouterr().out)
    assert counts["coverage"]["clips"] == round(len(clips.iloc[::2]) / len(clips), 4)
    assert set(Benchmark.load(tmp_path / "out").clips["path"]) == set(clips["path"].iloc[::2])


def test_the_command_reads_well_without_json(tmp_path, capsys):
    rendered = write_rendered(tmp_path / "rendered")
    command("build")(["--source", "mini", "--annotations", str(rendered), "--out", str(tmp_path / "out")])
    shown = capsys.readouterr().out
    assert "labels: 7\n" in shown and "paper:\n" in shown


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The real annotations, built once by the command."""
    out = tmp_path_factory.mktemp("published")
    run = run_build(out, "--source", "tfcovr", "--annotations", ANNOTATIONS)
    return json.loads(run.stdout), Benchmark.load(out)


@pytest.mark.slow
@needs_annotations
def test_the_published_annotations_give_the_papers_benchmark(published):
    counts, _ = published
    assert counts["labels_paired"] == counts["labels"] == 306
    assert counts["labels_of"] == {"finediving": 47, "finegym": 259}
    assert counts["labels_with_residue"] == 0
    assert counts["pairs_directed"] == 1_890
    assert sum(counts["clips"].values()) == 38_108
    assert counts["labels_in_split"]["train"] == 306
    # The recipe's own draw had 3,806 test clips; it does not say which sources.
    assert counts["clips"] == {"test": 3_803, "train": 31_015, "val": 3_290}
    assert counts["sources"] == {"test": 22, "train": 177, "val": 20}
    assert counts["triplets"] == counts["triplets_unique"] == 180_000
    assert counts["triplets_pairs"] == 1_886
    assert counts["queries"] == {"test": 473, "val": 473}
    assert 3.9 <= counts["targets_per_query"]["test capped"]["mean"] <= 4.0
    assert counts["sources_shared_between_splits"] == counts["missing_valid_targets"] == 0
    # Whole-second stamps give many clips no length; nothing else is wrong.
    assert {k for k, n in counts["problems"].items() if n} == {"clips too short"}


@pytest.mark.slow
@needs_annotations
def test_the_published_triplets_and_targets_hold_against_brute_force(published):
    _, built = published
    clip = built.clips.set_index("clip_id")
    query, target = (clip.loc[built.triplets[f"{end}_clip"]] for end in ("query", "target"))
    assert (query["source_video"].to_numpy() != target["source_video"].to_numpy()).all()
    assert set(query["split"]) == set(target["split"]) == {"train"}
    assert built.triplets.groupby(["query_clip", "target_label"]).size().max() <= TARGETS_PER_QUERY
    for gallery in ("capped", "full"):
        given_ = built.targets[built.targets["gallery"] == gallery]
        found = given_.groupby("query_id")["clip_id"].agg(set).to_dict()
        assert found == brute_force_targets(built, gallery)


@pytest.mark.slow
@needs_annotations
def test_the_published_build_repeats_under_another_hash_seed(published, tmp_path):
    counts, built = published
    options = ("--source", "tfcovr", "--annotations", ANNOTATIONS)
    run = run_build(tmp_path / "run", *options, hash_seed="7")
    assert json.loads(run.stdout) == counts
    again = tmp_path / "again"
    built.save(again)
    assert contents(again) == contents(tmp_path / "run")


# ---------------------------------------------------------------------------
# What a person meets on the command line


def own_clips(folder: Path) -> Path:
    """Two labels in free words with two clips each: too few for any query."""
    frames = np.random.default_rng(0).integers(0, 255, (10, 32, 32, 3)).astype(np.uint8)
    for label in ("slicing bread", "dicing onions"):
        for number in range(2):
            write_clip(folder / label / f"clip {number} of {label}.mp4", frames, 25)
    return folder


def test_a_few_clips_of_ones_own_are_a_benchmark_too(tmp_path, capsys):
    command("build")(
        [
            "--source",
            "folder",
            "--annotations",
            str(own_clips(tmp_path / "own")),
            "--out",
            str(tmp_path / "out"),
            "--json",
        ]
    )
    counted = json.loads(capsys.readouterr().out)
    assert counted["clips"] and sum(counted["clips"].values()) == 4 and counted["targets_per_query"] == {}
    assert set(Benchmark.load(tmp_path / "out").descriptions["text"]) == {"slicing bread", "dicing onions"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--annotations", "nowhere"], "nowhere"),
        (["--clips", "nowhere"], "nowhere does not exist; correct the path"),
        (["--decisions", "typo.csv"], "typo.csv does not exist; correct the path"),
        (["--modifications", "typo.parquet"], "typo.parquet does not exist"),
    ],
)
def test_a_wrong_path_gets_one_sentence_and_writes_nothing(options, said, tmp_path):
    given_ = [
        "--source",
        "folder",
        "--annotations",
        str(own_clips(tmp_path / "own")),
        "--out",
        str(tmp_path / "out"),
    ]
    with pytest.raises(SystemExit) as stopped:
        command("build")([*given_, *options])
    assert said in str(stopped.value) and "\n" not in str(stopped.value)
    assert not (tmp_path / "out").exists()


def test_clips_that_are_not_this_benchmarks_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match="holds none of 4 clips; the first would be"):
        command("build")(
            [
                "--source",
                "folder",
                "--annotations",
                str(own_clips(tmp_path / "own")),
                "--out",
                str(tmp_path / "out"),
                "--clips",
                str(tmp_path / "empty"),
            ]
        )


def test_the_same_is_asked_in_other_words():
    benchmark = small_benchmark()
    dense = write_by_rule(make_jobs(benchmark.pairs, benchmark.labels, "dense"))
    reworded = benchmark.reworded(dense)
    for name in ("triplets", "queries"):
        before, after = getattr(benchmark, name), getattr(reworded, name)
        assert after.drop(columns="modification_id").equals(before.drop(columns="modification_id"))
        ends = [
            table["modification_id"].map(
                texts.set_index("modification_id")[["source_label", "target_label"]].apply(tuple, axis=1)
            )
            for table, texts in ((before, benchmark.modifications), (after, dense))
        ]
        assert ends[0].tolist() == ends[1].tolist()
    assert set(reworded.modifications["style"]) == {"dense"}
    with pytest.raises(
        ValueError, match="label pairs in use have no new text, such as .* -> .*; write one for each"
    ):
        benchmark.reworded(dense.iloc[:3])
