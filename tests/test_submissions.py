"""Files for the servers of CIRR and CIRCO, in their published format; BSE-CoVR's files; the mteb task."""

import json
import sys
from dataclasses import replace

import numpy as np
import owners_files
import pandas as pd
import pytest
import torch
from command import command
from small_benchmark import small_benchmark

from tfcovr_utils.benchmark.benchmark import Benchmark
from tfcovr_utils.benchmark.protocols import make_task
from tfcovr_utils.evaluation.exchange.mteb_task import candidates, export_task, load_task, read_qrels
from tfcovr_utils.evaluation.exchange.submissions import (
    check_submission,
    circo_submission,
    cirr_submission,
    write_submissions,
)
from tfcovr_utils.evaluation.recalls import covr_recalls, save_recalls
from tfcovr_utils.evaluation.saved import save_result
from tfcovr_utils.evaluation.scoring import evaluate
from tfcovr_utils.methods import METHODS, Fitted, Setting
from tfcovr_utils.profiles import PROFILES
from tfcovr_utils.sources import COMPLETE

RECORD = {"revision": "x"}


def at_random(benchmark: Benchmark) -> Fitted:
    return METHODS["random"].fit(Setting(benchmark, clips_dir=None, profile=PROFILES["smoke"]))


@pytest.fixture(scope="module")
def cirr(tmp_path_factory):
    """Sets of four beside the query's, as its server wants three; and fifty pictures to rank."""
    folder = tmp_path_factory.mktemp("cirr")
    owners_files.cirr(folder, extra=20)
    for path in folder.glob("captions/*.json"):
        entries = json.loads(path.read_text())
        for entry in entries:
            other = entry["reference"].split("-")[0]
            entry["img_set"]["members"] += [f"{other}-5-0-img0", f"{other}-6-0-img0"]
        path.write_text(json.dumps(entries))
    return Benchmark(**COMPLETE["cirr"](folder))


@pytest.fixture(scope="module")
def circo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("circo")
    owners_files.circo(folder)
    return Benchmark(**COMPLETE["circo"](folder))


def scored(benchmark: Benchmark, *protocols: str) -> pd.DataFrame:
    return pd.concat([evaluate(at_random(benchmark), benchmark, protocol) for protocol in protocols])


def test_cirr_takes_what_is_written(cirr, tmp_path):
    results = scored(cirr, "full", "subset")
    recall, subset = (cirr_submission(results, metric) for metric in ("recall", "recall_subset"))
    assert (recall["version"], recall["metric"], subset["metric"]) == ("rc2", "recall", "recall_subset")
    assert (
        set(recall) == {"version", "metric", "100", "101", "7", "8"} == set(subset)
    )  # pair ids as text, unpadded
    assert (
        len(recall["7"]) == 50
        and len(subset["7"]) == 3
        and "test1-0-0-img1" not in [*recall["7"], *subset["7"]]
    )
    assert set(subset["7"]) <= {"test1-0-0-img0", "test1-0-0-img2", "test1-5-0-img0", "test1-6-0-img0"}
    assert check_submission(recall, cirr) == check_submission(subset, cirr) == []
    paths = write_submissions(results, cirr, "random", tmp_path)
    assert [json.loads(path.read_text()) for path in paths] == [recall, subset]


def test_circo_takes_what_is_written(circo, tmp_path):
    content = circo_submission(scored(circo, "full"))
    assert list(content) == ["0", "1", "2"] and all(
        len(images) == 50 and type(images[0]) is int for images in content.values()
    )
    assert 106 not in content["0"] and check_submission(content, circo) == []
    (path,) = write_submissions(scored(circo, "full"), circo, "random", tmp_path)
    assert json.loads(path.read_text()) == content


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.pop("version"), "version is None; expected 'rc2'"),
        (lambda c: c.update(metric="map"), "metric is 'map'; expected one of recall, recall_subset"),
        (lambda c: c.pop("7"), "1 of 4 queries are missing, such as 7"),
        (lambda c: c.update({"000007": c["7"]}), "1 keys are no query of test, such as '000007'"),
        (
            lambda c: c.update({"7": c["7"][:49]}),
            "query 7: expected a list of 50 pictures, best first, and got 49",
        ),
        (lambda c: c.update({"7": [*c["7"][:49], c["7"][0]]}), "query 7: a picture is listed twice"),
        (
            lambda c: c.update({"7": [*c["7"][:49], "dev-0-0-img0"]}),
            "query 7: dev-0-0-img0 is not among the pictures that this query searches",
        ),
        (lambda c: c.update({"7": [*c["7"][:49], 3]}), "query 7: 3 is no name of a picture"),
        (lambda c: c.update({"7": "test1"}), "query 7: expected a list of 50"),
        (lambda c: c.update({"7": [*c["7"][:49], "x" * 5_000_001]}), "more than 5,000,000 bytes"),
    ],
)
def test_what_cirrs_server_would_refuse_is_said(cirr, change, said):
    content = cirr_submission(scored(cirr, "full"), "recall")
    change(content)
    assert any(said in fault for fault in check_submission(content, cirr))


def test_a_listed_query_picture_is_no_reason_to_refuse(cirr):
    """CIRCO's own example lists it in 10 of 800 answers."""
    content = cirr_submission(scored(cirr, "full"), "recall")
    content["7"][-1] = "test1-0-0-img1"
    assert check_submission(content, cirr) == []


def test_cirrs_subset_may_only_hold_members(cirr):
    content = cirr_submission(scored(cirr, "subset"), "recall_subset")
    content["7"][2] = "test1-1-0-img0"
    assert check_submission(content, cirr) == [
        "query 7: test1-1-0-img0 is not among the pictures that this query searches."
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.pop("2"), "1 of 3 queries are missing, such as 2"),
        (lambda c: c.update({"0": [str(one) for one in c["0"]]}), "is no number of a picture"),
        (lambda c: c.update({"0": [*c["0"][:49], 9]}), "query 0: 9 is not among"),
        (lambda c: c.update({"0": [*c["0"], 159]}), "and got 51"),
    ],
)
def test_what_circos_server_would_refuse_is_said(circo, change, said):
    content = circo_submission(scored(circo, "full"))
    change(content)
    assert any(said in fault for fault in check_submission(content, circo))


def test_the_command_writes_and_checks(cirr, circo, tmp_path, capsys):
    cirr.save(tmp_path / "tables")
    for protocol in ("full", "subset"):
        save_result(evaluate(at_random(cirr), cirr, protocol), tmp_path / "results", "random", 0, RECORD)
    given = ["--benchmark", str(tmp_path / "tables")]
    command("export submission")(
        [*given, "--results", str(tmp_path / "results"), "--method", "random", "--out", str(tmp_path / "out")]
    )
    paths = capsys.readouterr().out.split()
    command("export submission")([*given, "--check", *paths])
    circo.save(tmp_path / "circo")
    with pytest.raises(SystemExit, match="keys are no query of test, such as '100'"):
        command("export submission")(["--benchmark", str(tmp_path / "circo"), "--check", *paths])
    with pytest.raises(SystemExit, match="no server that takes submissions"):
        small_benchmark().save(tmp_path / "small")
        command("export submission")(["--benchmark", str(tmp_path / "small"), "--check", *paths])
    with pytest.raises(SystemExit, match="hold nothing under 'full'"):
        command("export submission")(
            [
                *given,
                "--results",
                str(tmp_path / "results"),
                "--method",
                "clip-avg-zs",
                "--out",
                str(tmp_path / "out"),
            ]
        )


def test_a_split_without_answers_is_ranked_and_not_scored(cirr, tmp_path, capsys):
    cirr.save(tmp_path / "tables")
    given = ["--benchmark", str(tmp_path / "tables")]
    command("score")(
        [
            *given,
            "--out",
            str(tmp_path / "run"),
            "--method",
            "random",
            "--protocol",
            "full",
            "subset",
            "--recalls",
        ]
    )
    assert capsys.readouterr().out.count(" run") >= 2
    command("export submission")(
        [*given, "--results", str(tmp_path / "run" / "results"), "--method", "random", "--out", str(tmp_path)]
    )
    assert len(capsys.readouterr().out.split()) == 2


# BSE-CoVR's files


def test_recalls_json_by_hand():
    table = pd.DataFrame({"first_rank": [1, 1, 4, 9, 30, 51, np.inf, np.nan]})
    assert covr_recalls(table, "webvid8m-covr_test.csv") == {
        "R1": 28.57,
        "R5": 42.86,
        "R10": 57.14,
        "R50": 71.43,
        "meanR3": 42.86,
        "meanR4": 50.0,
        "annotation": "webvid8m-covr_test.csv",
    }
    assert covr_recalls(table.iloc[:0], "x") == dict.fromkeys(
        ["R1", "R5", "R10", "R50", "meanR3", "meanR4"]
    ) | {"annotation": "x"}


def test_features_and_recalls_are_of_one_order(cirr, tmp_path):
    fitted = at_random(cirr)
    alone = replace(fitted, embed_text_only=lambda queries: torch.ones(len(queries), 512))
    save_recalls(alone, cirr, "full", tmp_path, "val")
    task = make_task(cirr, "full", "val")
    np.testing.assert_array_equal(
        np.load(tmp_path / "query_feat.npy"), fitted.embed_queries(task.queries).numpy()
    )
    assert (np.load(tmp_path / "query_feat_txt_only.npy") == 1).all()
    assert json.loads((tmp_path / "recalls.json").read_text()) == covr_recalls(
        evaluate(fitted, cirr, "full", "val"), "cap.rc2.val.json"
    )
    both = [json.loads((tmp_path / f"recalls{suffix}.json").read_text()) for suffix in ("", "_txt_only")]
    assert both[0] != both[1]


# mteb


@pytest.mark.parametrize("protocol", ["capped", "full"])
def test_the_exported_files_give_our_targets_and_our_scores(protocol, tmp_path):
    """Loop over the files: rank by score without the query's own clip, AP@50 over min(50, targets)."""
    benchmark = small_benchmark()
    fitted = at_random(benchmark)
    export_task(benchmark, tmp_path / "clips", tmp_path / "task", protocol)
    task = make_task(benchmark, protocol)
    qrels, searched = read_qrels(tmp_path / "task"), candidates(tmp_path / "task")
    assert {query: set(clips) for query, clips in qrels.items()} == dict(
        zip(task.queries["query_id"], map(set, task.answers))
    )
    lines = {
        name: [json.loads(line) for line in (tmp_path / "task" / f"{name}.jsonl").read_text().splitlines()]
        for name in ("corpus", "queries")
    }
    path_of = benchmark.clips.set_index("clip_id")["path"]
    assert [line["id"] for line in lines["corpus"]] == task.gallery
    assert lines["corpus"][0]["video"] == f"../clips/{path_of[task.gallery[0]]}"
    clip_emb = dict(zip(task.gallery, fitted.embed_gallery(task.gallery)))
    scores = []
    for query in lines["queries"]:
        assert query["text"] == task.queries.set_index("query_id")["text"][query["id"]]
        assert (
            query["clip_id"] not in searched[query["id"]]
            and len(searched[query["id"]]) >= len(task.gallery) - 1
        )
        emb = fitted.embed_queries(pd.DataFrame([{"query_id": query["id"]}]))[0]
        ranked = sorted(searched[query["id"]], key=lambda clip: -float(emb @ clip_emb[clip]))[:50]
        hits = np.cumsum([clip in qrels[query["id"]] for clip in ranked])
        found = sum(hits[rank] / (rank + 1) for rank, clip in enumerate(ranked) if clip in qrels[query["id"]])
        scores.append(found / min(50, len(qrels[query["id"]])))
    assert scores == pytest.approx(evaluate(fitted, benchmark, protocol)["ap@50"].tolist())


def test_a_query_of_a_group_searches_its_group(cirr, tmp_path):
    cirr.save(tmp_path / "tables")
    command("export mteb")(
        [
            "--benchmark",
            str(tmp_path / "tables"),
            "--protocol",
            "subset",
            "--split",
            "val",
            "--out",
            str(tmp_path / "task"),
            "--name",
            "X",
        ]
    )
    searched, task = candidates(tmp_path / "task"), make_task(cirr, "subset", "val")
    for row, query in enumerate(task.queries.itertuples()):
        assert set(searched[query.query_id]) == task.members[task.group[row]] - {query.query_clip}
    about = json.loads((tmp_path / "task" / "task.json").read_text())
    assert (about["name"], about["modality"], about["split"]) == ("X", "image", "val")
    for arguments, said in (
        (["--split", "test"], "no query of test has a target"),
        (["--protocol", "official"], "repeats clips"),
    ):
        with pytest.raises(SystemExit, match=said):
            command("export mteb")(
                ["--benchmark", str(tmp_path / "tables"), "--out", str(tmp_path / "task"), *arguments]
            )


def test_without_mteb_one_sentence_says_how_to_get_it(tmp_path, monkeypatch):
    export_task(small_benchmark(), tmp_path, tmp_path / "task")
    monkeypatch.setitem(sys.modules, "mteb.abstasks.retrieval", None)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match=r"run `pip install 'tfcovr_utils\[mteb\]'`"):
        load_task(tmp_path / "task")


def test_mteb_scores_as_we_do(tmp_path):
    """The library's own evaluation of the task, asked with our vectors, against ours."""
    mteb = pytest.importorskip("mteb", reason="mteb is not installed: pip install 'tfcovr_utils[mteb]'")
    from mteb.models.model_meta import ModelMeta

    benchmark = small_benchmark(tmp_path / "clips")
    export_task(benchmark, tmp_path / "clips", tmp_path / "task", "capped")
    task, fitted = load_task(tmp_path / "task"), at_random(benchmark)
    asked = make_task(benchmark, "capped").queries

    class OurVectors:
        mteb_model_meta = ModelMeta.create_empty({"name": "ours/random"})

        def encode(self, inputs, *, task_metadata, hf_split, hf_subset, prompt_type=None, **kwargs):
            ids = list(inputs.dataset["id"])
            queries = set(ids) <= set(asked["query_id"])
            return (
                fitted.embed_queries(pd.DataFrame({"query_id": ids}))
                if queries
                else fitted.embed_gallery(ids)
            ).numpy()

        def similarity(self, a, b):
            return torch.as_tensor(a) @ torch.as_tensor(b).T

        def similarity_pairwise(self, a, b):
            return (torch.as_tensor(a) * torch.as_tensor(b)).sum(1)

    found = task.evaluate(OurVectors(), "test", encode_kwargs={"batch_size": 4})["default"]
    ours = evaluate(fitted, benchmark, "capped")
    assert found["map_at_50"] == pytest.approx(ours["ap@50"].mean(), abs=2e-5) and mteb.__version__
    assert found["hit_rate_at_1"] == pytest.approx(ours["hit@1"].mean(), abs=2e-5)


def test_a_benchmark_without_a_server_is_named(tmp_path):
    with pytest.raises(ValueError, match="has no server that takes submissions; choose cirr or circo"):
        write_submissions(pd.DataFrame(), small_benchmark(), "random", tmp_path)
