"""Other benchmarks by their owners' files: each protocol on an example worked by hand, and bad files."""

import json

import numpy as np
import owners_files
import pandas as pd
import pytest
import torch
from command import command
from golden import golden

from tfcovr_utils.benchmark.benchmark import Benchmark
from tfcovr_utils.benchmark.protocols import make_task
from tfcovr_utils.encoders.tokens import WRITERS
from tfcovr_utils.evaluation.paper import table_4
from tfcovr_utils.evaluation.recalls import MEASURES, field_scores, recall
from tfcovr_utils.evaluation.results import read_results
from tfcovr_utils.evaluation.saved import save_result
from tfcovr_utils.evaluation.scoring import evaluate
from tfcovr_utils.methods import METHODS, Fitted
from tfcovr_utils.methods.peers import PEERS, frame_scores, pool_by_scores
from tfcovr_utils.sources import COMPLETE
from tfcovr_utils.sources.annotated import Annotations
from tfcovr_utils.sources.covr import read_egocvr
from tfcovr_utils.training.fusion import unit
from tfcovr_utils.training.stage2_inputs import Inputs

MAKERS = {
    "webvid-covr": owners_files.webvid,
    "dense-webvid-covr": lambda folder: owners_files.webvid(folder, "dense-"),
    "egocvr": owners_files.egocvr,
    "cirr": owners_files.cirr,
    "fashioniq": owners_files.fashioniq,
    "circo": owners_files.circo,
}


def read(name: str, folder) -> Benchmark:
    MAKERS[name](folder)
    return Benchmark(**COMPLETE[name](folder))


def ranking(wanted: dict[str, list[str]]) -> Fitted:
    """A method that ranks clips for each query in the given order, and other clips after them."""
    clip_ids = sorted({clip_id for clips in wanted.values() for clip_id in clips})

    def embed_queries(queries):
        told = [wanted.get(query_id, []) for query_id in queries["query_id"]]
        return torch.tensor(
            [[1.0 / (1 + clips.index(one)) if one in clips else 0.0 for one in clip_ids] for clips in told]
        )

    return Fitted(
        embed_queries,
        lambda asked: torch.tensor([[float(one == clip_id) for one in clip_ids] for clip_id in asked]),
    )


@pytest.mark.parametrize("name", MAKERS)
def test_a_benchmark_is_saved_as_any_other(name, tmp_path):
    benchmark = read(name, tmp_path / "files")
    benchmark.save(tmp_path / "tables")
    loaded = Benchmark.load(tmp_path / "tables")
    for table in ("clips", "modifications", "triplets", "queries", "gallery", "targets", "descriptions"):
        pd.testing.assert_frame_equal(getattr(loaded, table), getattr(benchmark, table))
    assert loaded.choices == benchmark.choices and benchmark.choices["source"] == name
    assert (
        benchmark.labels.empty
        and benchmark.pairs.empty
        and (benchmark.modifications["target_label"] == "").all()
    )
    found = loaded.check().set_index("problem")["count"]
    assert found[found > 0].index.isin(["queries without targets"]).all(), found[found > 0]


def test_webvid_by_hand(tmp_path):
    """Three test queries; the first's own clip is no candidate, the second's is what the first asks for."""
    benchmark = read("webvid-covr", tmp_path)
    text_of = benchmark.modifications.set_index("modification_id")["text"]
    test = benchmark.queries[benchmark.queries["split"] == "test"]
    assert test["query_clip"].tolist() == ["8M/7/70", "8M/7/71", "8M/7/72"]
    assert text_of[test["modification_id"]].tolist() == ["as a lake", "NA", "as a river, at night"]
    assert make_task(benchmark).answers == [["8M/7/71"], ["8M/7/72"], ["8M/7/73"]]
    assert set(make_task(benchmark).gallery) == {"8M/7/71", "8M/7/72", "8M/7/73"}
    assert benchmark.clips.set_index("clip_id")["path"]["2M/1/10"] == "2M/train/1/10.mp4"
    assert benchmark.triplets["query_clip"].tolist() == ["2M/1/10", "2M/1/11"]
    assert benchmark.descriptions.set_index("clip_id")["text"]["8M/7/71"] == "lake"
    # Ranks of the right clip by hand: 1; 1, its own clip left out; 3.
    wanted = {
        "test-000000": ["8M/7/71"],
        "test-000001": ["8M/7/71", "8M/7/72"],
        "test-000002": ["8M/7/72", "8M/7/71", "8M/7/73"],
    }
    table = evaluate(ranking(wanted), benchmark)
    assert table["first_rank"].tolist() == [1, 1, 2]  # the third's own clip is out too
    assert field_scores("webvid-covr", {"full": table}) == pytest.approx(
        {"R@1": 200 / 3, "R@5": 100, "R@10": 100, "R@50": 100}
    )


def test_egocvr_by_hand(tmp_path):
    benchmark = read("egocvr", tmp_path)
    assert (
        benchmark.choices["notes"] | {"local_galleries_too_small": 1, "global_galleries_with_the_query": 0}
        == benchmark.choices["notes"]
    )
    both = {name: make_task(benchmark, name) for name in ("global", "local")}
    assert both["local"].answers == [
        ["v1_9_17"],
        ["v1_0_8", "v1_20_28"],
        [],
    ]  # the third is not asked: one clip to search
    assert both["global"].answers[2] == ["v2_9_17"]
    # global, first query: v1_20_28 is not in its list, so what ranks before it does not count.
    wanted = {
        "test-000000": ["v1_20_28", "v3_0_8", "v1_9_17"],
        "test-000001": ["v1_9_17", "v2_0_8", "v2_9_17", "v1_20_28"],
        "test-000002": ["v2_9_17"],
    }
    tables = {name: evaluate(ranking(wanted), benchmark, name) for name in both}
    assert tables["global"]["first_rank"].tolist() == [2, 3, 1]
    assert (
        tables["global"]["retrieved"][0][:2] == ["v3_0_8", "v1_9_17"]
        and len(tables["global"]["retrieved"][0]) == 4
    )
    # local: the first searches v1_20_28 and v1_9_17; the second finds v1_20_28 first; the third is left out.
    assert tables["local"]["first_rank"].tolist()[:2] == [2, 1] and np.isnan(tables["local"]["first_rank"][2])
    scores = field_scores("egocvr", tables)
    assert scores == pytest.approx(
        {"R@1": 100 / 3, "R@5": 100, "R@10": 100, "local R@1": 50, "local R@2": 100, "local R@3": 100}
    )
    # An answer that the owners' list leaves out is asked for, and never found.
    beyond = evaluate(ranking({"test-000001": ["v1_0_8"]}), benchmark, "local")
    assert beyond["n_targets"].tolist() == [1, 2, 0]


def test_cirr_by_hand(tmp_path):
    benchmark = read("cirr", tmp_path)
    tasks = {name: make_task(benchmark, name, "val") for name in ("full", "subset")}
    assert tasks["full"].queries["query_id"].tolist() == [
        "val-000007",
        "val-000008",
        "val-000100",
        "val-000101",
    ]
    assert (
        tasks["full"].answers
        == tasks["subset"].answers
        == [["dev-0-0-img2"], ["dev-1-0-img2"], ["dev-0-0-img1"], ["dev-1-0-img1"]]
    )
    assert benchmark.clips.set_index("clip_id")["path"]["train-0-0-img0"] == "train/34/train-0-0-img0.png"
    a, b = ([f"dev-{n}-0-img{i}" for i in range(3)] for n in range(2))
    wanted = {
        "val-000007": [
            b[0],
            b[1],
            a[0],
            a[2],
        ],  # from a[1]: third of all, second of its set once a[0] is before it
        "val-000008": [b[2]],
        "val-000100": [a[2], a[1]],
        "val-000101": [b[0], b[1]],
    }
    tables = {name: evaluate(ranking(wanted), benchmark, name, "val") for name in tasks}
    assert tables["full"]["first_rank"].tolist() == [4, 1, 2, 1]
    assert tables["subset"]["first_rank"].tolist() == [2, 1, 2, 1]
    assert tables["subset"]["retrieved"][0] == [a[0], a[2]]  # of three, the query picture left out
    assert field_scores("cirr", tables) == pytest.approx(
        {
            "R@1": 50,
            "R@5": 100,
            "R@10": 100,
            "R@50": 100,
            "Rsubset@1": 50,
            "Rsubset@2": 100,
            "Rsubset@3": 100,
            "mean": 75,
        }
    )
    hidden = evaluate(ranking(wanted), benchmark, "full", "test")
    assert (
        hidden["first_rank"].isna().all()
        and hidden["retrieved"].map(len).tolist() == [5] * 4
        and np.isnan(recall(hidden, 1))
    )


def test_fashioniq_by_hand(tmp_path):
    benchmark = read("fashioniq", tmp_path)
    task = make_task(benchmark, "full", "val")
    assert task.queries["text"].tolist()[:2] == ["is longer and has 0 sleeves", "is longer and has 1 sleeves"]
    assert task.group == ["dress"] * 2 + ["shirt"] * 2 + ["toptee"] * 2
    # A shirt never stands before a dress: the first dress is found first though all shirts score higher.
    wanted = {"val-dress-00000": ["B10val", "B11val", "B01val"], "val-dress-00001": ["B03val", "B02val"]}
    table = evaluate(ranking(wanted), benchmark, "full", "val")
    assert table["first_rank"].tolist()[:2] == [1, 2] and all(
        clip.startswith("B0") for clip in table["retrieved"][0]
    )
    ranks = pd.Series([1, 20, 60, 5, 11, np.inf])
    scores = field_scores("fashioniq", {"full": table.assign(first_rank=ranks)})
    assert scores == {
        "dress R@10": 50,
        "dress R@50": 100,
        "shirt R@10": 50,
        "shirt R@50": 50,
        "toptee R@10": 0,
        "toptee R@50": 50,
        "R@10": pytest.approx(100 / 3),
        "R@50": pytest.approx(200 / 3),
    }


def test_circo_by_hand(tmp_path):
    """AP@5 of query 0: hits at ranks 1 and 3 of 3 targets, (1 + 2/3) / 3; of query 1 rank 2, 1/2."""
    benchmark = read("circo", tmp_path)
    assert benchmark.clips["path"][0] == "COCO2017_unlabeled/unlabeled2017/000000000100.jpg" and set(
        benchmark.clips["split"]
    ) == {""}
    wanted = {"val-0000": ["100", "101", "110", "103"], "val-0001": ["111", "104"]}
    table = evaluate(ranking(wanted), benchmark, "full", "val")
    assert table["ap@5"].tolist() == pytest.approx([5 / 9, 1 / 2])
    scores = field_scores("circo", {"full": table}, benchmark.queries)
    assert scores["mAP@5"] == pytest.approx(100 * (5 / 9 + 1 / 2) / 2) and scores["R@5"] == 100
    assert set(scores) == {f"{name}@{k}" for name in ("mAP", "R") for k in (5, 10, 25, 50)}


def test_circo_agrees_with_its_owners_numbers():
    """The fixture's ranking through our tables: what `evaluate` keeps of a query gives their AP."""
    tensors, said = golden("circo_ap")
    fixture = {name: value.numpy() for name, value in tensors.items()}
    predictions = fixture["input.predictions"]
    relevant = [row[row >= 0].tolist() for row in fixture["input.relevant"]]
    query_ids = [f"val-{row:04d}" for row in range(len(predictions))]
    found = Annotations("circo")
    for number in range(-1, 1 + max(predictions.max(), max(map(max, relevant)))):
        found.add_clip(str(number), "", "x.jpg")
    found.add_gallery("full", "val", found.clips)
    for query_id, answers in zip(query_ids, relevant):
        found.add_query(query_id, "val", "-1", "x")
        found.targets += [(query_id, "full", str(one)) for one in answers]
    benchmark = Benchmark(**found.tables())
    table = evaluate(
        ranking({query: [str(one) for one in row] for query, row in zip(query_ids, predictions)}),
        benchmark,
        "full",
        "val",
    )
    np.testing.assert_allclose(
        table[[f"ap@{k}" for k in said["config"]["ranks"]]].to_numpy(), fixture["output.ap"], atol=1e-9
    )


@pytest.mark.parametrize("peer", ["covr", "ecde", "bse-covr"])
def test_webvid_agrees_with_its_owners_numbers(peer, tmp_path):
    """Their loader weighs a target's frames by its scores and cleans the text; their test ranks."""
    fixture, said = golden("covr_webvid")
    rows = pd.DataFrame(said["annotation"])
    owners_files.write(tmp_path, "webvid8m-covr_test.csv", rows.to_csv(index=False))
    benchmark = Benchmark(**COMPLETE["webvid-covr"](tmp_path))
    frames = dict(zip("8M/" + rows["pth2"], fixture["input.frames"]))

    def scores(pool) -> dict:
        fitted = Fitted(lambda queries: unit(fixture["input.queries"]), lambda clip_ids: unit(pool(clip_ids)))
        return field_scores("webvid-covr", {"full": evaluate(fitted, benchmark)})

    def by_scores(clip_ids):
        stacked = torch.stack([frames[clip] for clip in clip_ids])
        return pool_by_scores(stacked, frame_scores(benchmark, clip_ids), clip_ids)

    theirs = {name.replace("R", "R@"): value for name, value in said["output"]["recalls"][peer].items()}
    assert {name: round(value, 2) for name, value in scores(by_scores).items()} == theirs
    assert scores(lambda clip_ids: torch.stack([frames[clip].mean(0) for clip in clip_ids]))["R@1"] < 60
    text_of = benchmark.modifications.set_index("modification_id")["text"]
    texts = text_of[benchmark.queries["modification_id"]]
    options = PEERS[peer].options
    assert [WRITERS[options["written_as"]](text, options["max_words"]) for text in texts] == said["output"][
        "edits"
    ]


# Every method on every benchmark

BY_FILE = (
    "random",
    "video-only",
    "text-only-zs",
    "clip-avg-1-zs",
    "clip-mlp-1",
    "label-oracle",
    "source-label-only",
    "tfcovr-base-zs",
)


@pytest.mark.parametrize("name", ["webvid-covr", "egocvr", "cirr", "fashioniq", "circo"])
def test_methods_run_on_every_one_through_the_commands(name, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TFCOVR_DATA", str(tmp_path / "data"))
    MAKERS[name](tmp_path / "files")
    command("build")(
        [
            "--source",
            name,
            "--annotations",
            str(tmp_path / "files"),
            "--out",
            str(tmp_path / "tables"),
            "--json",
        ]
    )
    benchmark = Benchmark.load(tmp_path / "tables")
    owners_files.show(benchmark.clips, tmp_path / "clips")
    split = "test" if name in ("webvid-covr", "egocvr") else "val"
    capsys.readouterr()
    command("score")(
        [
            "--benchmark",
            str(tmp_path / "tables"),
            "--clips",
            str(tmp_path / "clips"),
            "--out",
            str(tmp_path / "run"),
            "--method",
            *BY_FILE,
            "--profile",
            "smoke",
            "--frames",
            "2",
            "--split",
            split,
            "--protocol",
            *MEASURES[name],
            "--recalls",
        ]
    )
    shown = capsys.readouterr().out
    table = read_results(tmp_path / "run" / "results", split)
    ran = {"random", "video-only", "text-only-zs", "clip-avg-1-zs"} | (
        {"clip-mlp-1"} if not benchmark.triplets.empty else set()
    )
    assert (
        set(table["method"]) == ran
        and (table["coverage"] == 1).all()
        and set(table["protocol"]) == set(MEASURES[name])
    )
    assert (
        shown.count("not run: this benchmark has no labels") >= 3
        and ("mAP@50" if name == "circo" else "R@1") in shown
    )
    folder = tmp_path / "run" / "seed-0" / "clip-avg-1-zs"
    recalls = json.loads((folder / "recalls.json").read_text())
    first = table[(table["method"] == "clip-avg-1-zs") & (table["protocol"] == next(iter(MEASURES[name])))][
        "first_rank"
    ].dropna()
    assert (
        recalls["R1"] == round(100 * (first <= 1).mean(), 2)
        and recalls["annotation"] == benchmark.choices["annotations"][split]
    )
    assert np.load(folder / "query_feat.npy").shape == np.load(folder / "query_feat_txt_only.npy").shape
    alone = table[(table["method"] == "text-only-zs") & (table["protocol"] == next(iter(MEASURES[name])))][
        "first_rank"
    ].dropna()
    assert json.loads((folder / "recalls_txt_only.json").read_text())["R5"] == round(
        100 * (alone <= 5).mean(), 2
    )
    assert not (tmp_path / "run" / "seed-0" / "video-only" / "query_feat_txt_only.npy").exists()


def test_choices_are_made_within_a_querys_own_gallery(tmp_path):
    """Training looks at val by the same rules."""
    benchmark = read("fashioniq", tmp_path)
    ids = benchmark.clips["clip_id"].tolist()
    vectors = torch.randn(len(ids), 8, generator=torch.Generator().manual_seed(0))
    inputs = Inputs(benchmark, ids, vectors, vectors, lambda texts: torch.zeros(len(texts), 8))
    task = inputs.task("full", "val")

    class Copy:
        def __call__(self, video, texts, text_idx):
            return video

        def embed_target(self, target):
            return target

    lookup = dict(zip(ids, vectors))
    plain = Fitted(
        lambda queries: torch.stack([lookup[clip] for clip in queries["query_clip"]]),
        lambda clips: torch.stack([lookup[clip] for clip in clips]),
    )
    expected = evaluate(plain, benchmark, "full", "val")["ap@50"]
    np.testing.assert_allclose(inputs.average_precision(Copy(), task, (50,))[:, 0], expected)


# What is wrong with files


@pytest.mark.parametrize(
    ("name", "broken", "content", "said"),
    [
        ("cirr", "captions/cap.rc2.val.json", "[{", "cap.rc2.val.json, line 1 is not JSON in UTF-8"),
        ("cirr", "captions/cap.rc2.val.json", {"a": 1}, "holds a dict; expected a list"),
        (
            "cirr",
            "captions/cap.rc2.val.json",
            [{"pairid": 1}],
            "annotation 0: no 'reference'; expected the keys pairid, reference",
        ),
        ("cirr", "image_splits/split.rc2.val.json", [], "holds a list; expected a dict"),
        ("circo", "annotations/val.json", [{"id": 0}], "annotation 0: no 'reference_img_id'"),
        ("fashioniq", "captions/cap.dress.val.json", [3], "annotation 0: no 'candidate'"),
        (
            "webvid-covr",
            "webvid8m-covr_test.csv",
            "pth1,edit\n1,2\n",
            "no column 'pth2', only pth1, edit; expected pth1, pth2, edit",
        ),
        ("webvid-covr", "webvid8m-covr_test.csv", "", "is not a CSV in UTF-8"),
        (
            "egocvr",
            "annotation/egocvr/egocvr_annotations_gallery.csv",
            "video_clip_id,target_clip_ids,instruction,global_idx,local_idx\nv1_0_8,\"['v1_9_17']\",x,[77],[1]\n",
            "gallery index 77 is none of the 6 clips",
        ),
        (
            "egocvr",
            "annotation/egocvr/egocvr_annotations_gallery.csv",
            "video_clip_id,target_clip_ids,instruction,global_idx,local_idx\nv1_0_8,__import__('os'),x,[1],[1]\n",
            'row 1: the cell "__import__.*is not a list of str.*nothing of it was run',
        ),
    ],
)
def test_a_broken_file_gets_one_sentence(name, broken, content, said, tmp_path):
    MAKERS[name](tmp_path)
    owners_files.write(tmp_path, broken, content)
    with pytest.raises(ValueError, match=said):
        COMPLETE[name](tmp_path)


@pytest.mark.parametrize("name", MAKERS)
def test_an_empty_folder_says_who_has_the_files(name, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"is not in .*; it comes from .*; put it into that folder"):
        COMPLETE[name](tmp_path)


# Table 4


def test_table_4_has_the_papers_numbers_and_ours_or_how_to_run_them(tmp_path):
    table = table_4(tmp_path).set_index(["benchmark", "metric", "method"])
    assert (
        table.loc[("CIRR", "Recall@10", "gme-zs"), "paper"] == 47.7
        and table.loc[("CIRCO", "mAP@5", "mm-embed-zs"), "paper"] == 32.3
    )
    assert len(table) == 8 and table["ours"].isna().all()
    said = table.loc[("CIRR", "Recall@10", "e5-v-zs"), "status"]
    assert said.startswith("not run: ") and "--method e5-v-zs --protocol full subset" in said
    benchmark = read("cirr", tmp_path / "files")
    ran = evaluate(ranking({"val-000008": ["dev-1-0-img2"]}), benchmark, "full", "val").assign(
        first_rank=[1, 11, 3, 10]
    )
    save_result(ran, tmp_path / "cirr" / "results", "gme-zs", 0, {"revision": "x"})
    row = table_4(tmp_path).set_index(["benchmark", "method"]).loc[("CIRR", "gme-zs")]
    assert (row["ours"], row["status"], row["paper"]) == (75, "run", 47.7)


def test_methods_of_table_4_are_named_as_the_registry_will():
    from tfcovr_utils.evaluation.paper import ROWS, ROWS_4

    assert set(ROWS_4.values()) <= set(ROWS) and "random" in METHODS


def test_cirr_within_a_set_scores_as_its_owners_and_covr_do():
    """The best of the owners' scores among the first K counts, and never less than 0."""
    soft = [{"a": 0.5, "b": -1.0, "c": 1.0}, {"d": 1.0}]
    queries = pd.DataFrame({"query_id": ["q", "r"], "subset_soft": map(json.dumps, soft)})
    ranked = [["b", "a", "c"], ["e", "f", "g"]]
    table = pd.DataFrame({"query_id": ["q", "r"], "first_rank": [3.0, np.inf], "retrieved": ranked})
    found = field_scores("cirr", {"subset": table}, queries)
    assert found == {"Rsubset@1": 0, "Rsubset@2": 25, "Rsubset@3": 50}


def test_egocvr_ranks_rows_and_the_listed_query_clip_as_its_owners_do(tmp_path):
    """Of rows with one clip's name the last is the answer, and a listed query clip may come first."""
    folder = tmp_path / "ego"
    folder.mkdir()
    rows = [("v1_0_8", "v1"), ("v1_9_17", "v1"), ("v1_9_17", "v1"), ("v2_0_8", "v2")]
    data = pd.DataFrame(rows, columns=["clip_name", "video_uid"]).assign(narration_text="C lifts a cup")
    data.to_csv(folder / "egocvr_data.csv", index=False)
    asked = {
        "video_clip_id": "v1_0_8",
        "instruction": "put it down",
        "global_idx": "[0, 1, 3]",
        "local_idx": "[0, 2]",
    }
    same = asked | {"target_clip_ids": "['v1_0_8']", "instruction": "no change required."}
    table = pd.DataFrame([asked | {"target_clip_ids": "['v1_9_17']"}, same])
    table.to_csv(folder / "egocvr_annotations_gallery.csv", index=False)
    benchmark = Benchmark(**read_egocvr(folder))
    assert benchmark.clips["clip_id"].tolist() == ["v1_0_8", "v1_9_17", "v1_9_17#1", "v2_0_8"]
    assert len(benchmark.queries) == 2 and make_task(benchmark, "local").answers == [["v1_9_17"], ["v1_0_8"]]
    order = ["v1_0_8", "v1_9_17#1", "v1_9_17"]
    tables = {
        name: evaluate(ranking({"test-000000": order, "test-000001": order}), benchmark, name)
        for name in ("global", "local")
    }
    # The global list has the first of two rows with the answer's name, which is no answer.
    assert tables["global"]["first_rank"].tolist() == [np.inf, 1] and tables["local"][
        "first_rank"
    ].tolist() == [2, 1]
