"""The official files: read as they are, written back without loss, and hostile ones refused."""

import contextlib
import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from command import command

from tfcovr_utils.benchmark import make_task
from tfcovr_utils.benchmark.benchmark import TABLES, Benchmark
from tfcovr_utils.labels import parse_label
from tfcovr_utils.metrics.official import average_precision_official
from tfcovr_utils.profiles import PROFILES
from tfcovr_utils.rendering.opening import place_public_files
from tfcovr_utils.sources import Source, load_source
from tfcovr_utils.sources.fetching import describe, fetch
from tfcovr_utils.sources.published_files import MAX_CELL
from tfcovr_utils.sources.release import released
from tfcovr_utils.sources.release.csv_files import QUERY_COLUMNS, TRAIN_COLUMNS
from tfcovr_utils.sources.release.embedding_files import read_embeddings, stream_embeddings, write_embeddings
from tfcovr_utils.sources.release.released import export_official, read_release, target_column
from tfcovr_utils.sources.source import label_row

ANNOTATIONS = os.environ.get("TFCOVR_ANNOTATIONS")
GYM = "-_a_E_b-c_D_E_000100_000120_A_0003_0005"
TRAIN = f"""query_video,target_video,modification,label1,label2
{GYM},01_10,"{{'107b': {{'modification': 'show with 3.5 somersaults'}}, '12': {{}}}}",12,107b
01_10,{GYM},"{{'12': {{'modification': 'say ""it"", or not'}}}}",107b,12
01_11,{GYM},{{'12': {{'modification': 'another way to say it'}}}},107b,12
"""
QUERIES = {
    "val": "3,05_2,05_3,['05_3'],show with 1.5 twists\n",
    "test": "0,Cup_r2_1,07_4,\"['07_5', '07_4', 'Cup_r2_1']\",show with 1.5 twists\n"
    "1,Cup_r2_1,07_5,['07_5'],show in pike\n",
}


@pytest.fixture
def release(tmp_path):
    folder = tmp_path / "release"
    folder.mkdir()
    (folder / "train_finegd.csv").write_text(TRAIN)
    for split, rows in QUERIES.items():
        (folder / f"{split}_finegd.csv").write_text(",".join(QUERY_COLUMNS) + "\n" + rows)
    return folder


def made_benchmark() -> Benchmark:
    """A small one with what the official files have no place for: dots, times, a second gallery."""
    labels = pd.DataFrame(
        [
            label_row(f"l{k}.5", f"(BB) salto {way}", "made", parse_label(f"(BB) salto {way}"), "1")
            for k, way in enumerate(["forward tucked", "forward piked", "backward piked", "sideward"])
        ]
    )
    rows = [
        (f"{split} video/{n}é_{label}_2.5%", split, label, f"{split}{n}")
        for split, n_videos in (("train", 6), ("val", 4), ("test", 9))
        for n in range(n_videos)
        for label in labels["label_id"]
    ]
    clips = pd.DataFrame(rows, columns=["clip_id", "split", "label_id", "source_video"])
    clips = clips.assign(dataset="made", start_s=0.25, end_s=1.5, path=clips["clip_id"] + ".mp4")
    return Benchmark.build(Source(clips, labels, {"made": 1}), budget=100)


def import_release(folder: Path) -> Benchmark:
    return Benchmark(**read_release(folder))


def assert_same(one: Benchmark, other: Benchmark, names=TABLES) -> None:
    for name in names:
        pd.testing.assert_frame_equal(getattr(one, name), getattr(other, name), obj=name)


def test_ids_stay_strings_and_cells_give_their_text(release):
    benchmark = import_release(release)
    texts = benchmark.modifications.set_index("modification_id")["text"]
    triplets = benchmark.triplets.assign(text=benchmark.triplets["modification_id"].map(texts))
    assert triplets.drop(columns="modification_id").to_numpy().tolist() == [
        [GYM, "01_10", "12", "107b", "show with 3.5 somersaults"],
        ["01_10", GYM, "107b", "12", 'say "it", or not'],
        ["01_11", GYM, "107b", "12", "another way to say it"],
    ]
    assert triplets["modification_id"].tolist() == ["short:12>107b", "short:107b>12#2", "short:107b>12"]
    assert benchmark.labels["label_id"].tolist() == ["107b", "12"]
    assert benchmark.labels["text"].tolist() == ["Forward, 3.5 Soms.Pike, Entry", "12"]
    assert benchmark.pairs[["source_label", "target_label"]].to_numpy().tolist() == [
        ["107b", "12"],
        ["12", "107b"],
    ]


def test_labels_that_all_are_numbers_stay_as_they_are_written(release):
    (release / "train_finegd.csv").write_text(
        ",".join(TRAIN_COLUMNS) + "\n1_1,1_2,{'07': {'modification': 'x'}},12,07\n"
    )
    triplet = import_release(release).triplets.iloc[0]
    assert triplet.tolist() == ["1_1", "1_2", "short:12>07", "12", "07"]


@pytest.mark.parametrize("target", ["07_4", "07_5"])
def test_the_official_target_of_a_query_is_kept(release, tmp_path, target):
    path = release / "test_finegd.csv"
    path.write_text(path.read_text().replace("0,Cup_r2_1,07_4,", f"0,Cup_r2_1,{target},"))
    export_official(import_release(release), tmp_path / "again")
    again = import_release(tmp_path / "again").queries
    assert again["target_clip"].tolist() == ["05_3", target, "07_5"]


def test_queries_keep_all_their_targets_and_the_official_one(release):
    benchmark = import_release(release)
    queries = benchmark.queries
    assert queries["query_id"].tolist() == ["val-0003", "test-0000", "test-0001"]
    assert queries["target_clip"].tolist() == ["05_3", "07_4", "07_5"]
    texts = benchmark.modifications.set_index("modification_id")["text"]
    assert queries["modification_id"].map(texts).tolist() == [
        "show with 1.5 twists",
        "show with 1.5 twists",
        "show in pike",
    ]
    # The query clip stands among its own targets in the file, and is no answer.
    assert benchmark.targets[["query_id", "clip_id"]].to_numpy().tolist() == [
        ["val-0003", "05_3"],
        ["test-0000", "07_4"],
        ["test-0000", "07_5"],
        ["test-0001", "07_5"],
    ]
    gallery = benchmark.gallery.groupby("split")["clip_id"].agg(list)
    assert gallery["val"] == ["05_3"] and gallery["test"] == ["07_4", "07_5", "Cup_r2_1"]


def test_clips_have_their_split_and_source(release):
    clips = import_release(release).clips.set_index("clip_id")
    assert clips.loc[[GYM, "Cup_r2_1", "05_2"], "source_video"].tolist() == ["-_a_E_b-c_D", "Cup", "05"]
    assert clips["split"].to_dict() == {
        "01_10": "train",
        "01_11": "train",
        GYM: "train",
        "05_2": "val",
        "05_3": "val",
        "07_4": "test",
        "07_5": "test",
        "Cup_r2_1": "test",
    }
    assert clips.loc["07_4", "label_id"] == "" and clips.loc["01_11", "label_id"] == "107b"
    source = load_source("released", release)
    assert source.notes["released_clips_without_label"] == 5
    assert source.clips["clip_id"].tolist() == sorted(clips.index)


def test_the_release_by_itself_gives_a_sound_benchmark(release, tmp_path, capsys):
    out = tmp_path / "built"
    command("build")(["--source", "released", "--annotations", str(release), "--out", str(out), "--json"])
    told = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert (told["triplets"], told["queries"], told["clip_seconds"]) == (3, {"test": 2, "val": 1}, {})
    found = {name: count for name, count in told["problems"].items() if count}
    assert found == {}, found


def test_a_clip_of_two_splits_is_kept_from_training_and_counted(release):
    path = release / "test_finegd.csv"
    path.write_text(path.read_text() + "2,01_10,07_5,['07_5'],show in pike\n")
    benchmark = import_release(release)
    assert benchmark.choices["notes"]["released_clips_in_two_splits"] == 1
    assert benchmark.clips.set_index("clip_id").loc["01_10", "split"] == "test"


def test_annotation_files_beside_the_csvs_fill_in_what_they_leave_out(release):
    (release / "gym288_categories.txt").write_text("Clabel: 12; set: 25; Glabel: 7; (FX) salto piked\n")
    (release / "gym288_train_element_v1.1.txt").write_text(f"{GYM} 12\n")
    (release / "gym288_val_element.txt").write_text("")
    benchmark = import_release(release)
    clip = benchmark.clips.set_index("clip_id").loc[GYM]
    assert (clip["start_s"], clip["end_s"], clip["path"]) == (103.0, 105.0, f"finegym/{GYM}.mp4")
    assert benchmark.labels.set_index("label_id").loc["12", "text"] == "(FX) salto piked"


def test_export_and_import_give_the_same_benchmark(tmp_path):
    made = made_benchmark()
    made.save(tmp_path / "made")
    command("export release")(["--benchmark", str(tmp_path / "made"), "--out", str(tmp_path / "official")])
    given = ["--annotations", str(tmp_path / "official"), "--out", str(tmp_path / "back")]
    command("build")(["--source", "released", *given, "--json"])
    back = Benchmark.load(tmp_path / "back")
    assert_same(Benchmark.load(tmp_path / "made"), back)
    assert back.choices == made.choices
    assert len(made.triplets) == 100 and {*made.queries["split"]} == {"val", "test"}


def test_the_csvs_alone_carry_triplets_queries_and_targets(tmp_path, monkeypatch):
    made = made_benchmark()
    monkeypatch.setattr(released, "read_annotations", lambda folder: Source(made.clips, made.labels))
    for path in export_official(vars(made), tmp_path):
        (tmp_path / "csvs").mkdir(exist_ok=True)
        path.rename(tmp_path / "csvs" / path.name)
    back = Benchmark(**read_release(tmp_path / "csvs"))
    made.save(tmp_path / "made")
    made = Benchmark.load(tmp_path / "made")
    assert_same(made, back, ["triplets", "labels"])
    columns = ["query_id", "split", "query_clip", "modification_id"]
    pd.testing.assert_frame_equal(made.queries[columns], back.queries[columns])
    capped = made.targets[made.targets["gallery"] == "capped"].reset_index(drop=True)
    pd.testing.assert_frame_equal(capped, back.targets)
    again = tmp_path / "again"
    export_official(back, again)
    assert_same(back, import_release(again))


def test_the_export_is_what_the_official_code_reads(tmp_path):
    made = made_benchmark()
    export_official(made, tmp_path)
    train = pd.read_csv(tmp_path / "train_finegd.csv")
    assert list(train) == TRAIN_COLUMNS
    test = pd.read_csv(tmp_path / "test_finegd.csv")
    assert list(test) == QUERY_COLUMNS and test["query_id"].dtype == int
    # It cuts clip names at the first dot.
    assert not test["query_video"].str.contains(".", regex=False).any()
    assert train["modification"].str.startswith("{'l").all()
    assert all(one in many for one, many in zip(test["target_video"], test["target_videos_ids"]))
    assert test["target_video"].nunique() > 5


def test_a_rendered_benchmark_survives_the_official_formats(tmp_path):
    from tfcovr_utils.rendering.dataset import label_table, plan
    from tfcovr_utils.rendering.skills import SKILLS

    clips, _ = plan(PROFILES["smoke"])
    labels = label_table(SKILLS["smoke"]).assign(set="")
    Benchmark.build(Source(clips, labels), budget=3000).save(tmp_path / "mini")
    mini = Benchmark.load(tmp_path / "mini")
    export_official(mini, tmp_path / "official")
    assert_same(mini, import_release(tmp_path / "official"))


@pytest.mark.slow
@pytest.mark.skipif(not ANNOTATIONS, reason="TFCOVR_ANNOTATIONS is not set to the annotation files")
def test_the_real_benchmark_survives_the_official_formats(tmp_path):
    source = load_source("tfcovr", ANNOTATIONS)
    Benchmark.build(source).save(tmp_path / "real")
    real = Benchmark.load(tmp_path / "real")
    export_official(real, tmp_path / "official")
    assert_same(real, import_release(tmp_path / "official"))


def test_own_tables_of_other_csvs_are_refused(tmp_path):
    export_official(made_benchmark(), tmp_path)
    path = tmp_path / "test_finegd.csv"
    path.write_text(path.read_text().replace("show", "do", 1))
    with pytest.raises(ValueError, match="own_tables belongs to other CSVs.*remove it"):
        read_release(tmp_path)


def test_export_names_what_the_official_code_could_not_score(tmp_path):
    made = vars(made_benchmark())
    with pytest.raises(ValueError, match="'half' has no targets; choose one of capped, full"):
        export_official(made, tmp_path, "half")
    lost = made["queries"]["query_id"].iloc[0]
    targets = made["targets"][made["targets"]["query_id"] != lost]
    with pytest.raises(ValueError, match=f"1 queries, such as '{lost}', have no target"):
        export_official(made | {"targets": targets}, tmp_path)


def test_the_target_column_is_drawn_evenly_and_always_alike():
    queries = pd.DataFrame({"query_id": [f"test-{k:04d}" for k in range(300)]})
    answers = pd.Series([["a", "b", "c"]] * 300, index=queries["query_id"])
    drawn = target_column(queries, answers)
    assert drawn.value_counts().min() > 75
    assert drawn.iloc[::-1].equals(target_column(queries.iloc[::-1], answers))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "val_finegd.csv").unlink(), "val_finegd.csv.*Hugging Face"),
        (lambda f: (f / "val_finegd.csv").write_text("a,b\n1,2\n"), "no column 'query_id'"),
        (lambda f: (f / "val_finegd.csv").write_text(""), "is not a CSV"),
        (lambda f: (f / "val_finegd.csv").write_bytes(b"\xff\xfe,\n\x80,"), "is not a CSV"),
        (
            lambda f: (f / "test_finegd.csv").write_text(
                (f / "test_finegd.csv").read_text().replace("\n1,", "\n0,")
            ),
            "query_id 'test-0000' twice",
        ),
    ],
)
def test_a_broken_csv_is_named(release, change, message):
    change(release)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read_release(release)


# What is hostile


def hostile_cells(canary: Path) -> dict[str, str]:
    call = f"__import__('os').system('touch {canary}')"
    return {
        "call": call,
        "call in a list": f"[{call}]",
        "call in a dict": f"{{'12': {{'modification': {call}}}}}",
        "comprehension": f"[x for x in [{call}]]",
        "lambda": f"(lambda: {call})()",
        "format": f"f'{{{call}}}'",
        "deep": "[" * 40_000 + "]" * 5_000,
        "deep minus": "-" * 40_000 + "1",
        "deep sum": "1" + "+1" * 20_000,
        "huge": "['" + "x" * MAX_CELL + "']",
        "huge number": "9" * 40_000,
        "another type": "{'a', 'b'}",
        "names that are none": "[1, 2]",
        "no text": "{'12': {'modification': 5}}",
        "text of another label": "{'99': {'modification': 'show'}}",
        "nothing": "",
        "broken": "['05_3'",
    }


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("name", hostile_cells(Path()))
def test_a_hostile_cell_is_refused_and_nothing_runs(release, tmp_path, split, name):
    canary = tmp_path / "canary"
    cell = hostile_cells(canary)[name]
    path = release / f"{split}_finegd.csv"
    rows = pd.read_csv(path, dtype=str)
    column = "modification" if split == "train" else "target_videos_ids"
    rows.loc[rows.index[-1], column] = cell
    rows.to_csv(path, index=False)
    with pytest.raises(
        ValueError, match=rf"{split}_finegd.csv, row {len(rows)}: the cell.*nothing of it was run"
    ):
        read_release(release)
    assert not canary.exists()


@pytest.mark.filterwarnings("ignore")
def test_the_canary_sings_where_cells_and_pickles_are_trusted(tmp_path):
    subprocess.run([sys.executable, "-c", hostile_cells(tmp_path / "cell")["call in a list"]])
    pickle.loads(pickle.dumps(Touch(tmp_path / "pickle")))
    for name in ("storage", "storage after a header", "zip storage"):
        with contextlib.suppress(RuntimeError, EOFError):  # torch misses the rest, once it ran
            pickle.loads(hostile_pickles(tmp_path / name)[name])
        assert (tmp_path / name).exists(), name
    assert (tmp_path / "cell").exists() and (tmp_path / "pickle").exists()


class Touch:
    def __init__(self, canary: Path):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch '{self.canary}'",)


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def hostile_pickles(canary: Path) -> dict[str, bytes]:
    evil = pickle.dumps(Touch(canary), 2)
    load_storage = torch.storage._load_from_bytes
    header = b"".join(
        pickle.dumps(part, 2)
        for part in (torch.serialization.MAGIC_NUMBER, torch.serialization.PROTOCOL_VERSION, {})
    )
    zipped = io.BytesIO()
    torch.save(Touch(canary), zipped)
    tarred = io.BytesIO()
    with tarfile.open(fileobj=tarred, mode="w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            member = tarfile.TarInfo(name)
            member.size = len(evil)
            archive.addfile(member, io.BytesIO(evil))
    rebuild = torch._utils._rebuild_tensor_v2
    good = torch.arange(4.0).untyped_storage()
    typed = torch.storage.TypedStorage(wrap_storage=good, dtype=torch.float32, _internal=True)
    return {
        "system": evil,
        "eval": pickle.dumps({"a": Call(eval, f"__import__('os').system('touch {canary}')")}),
        "nested": pickle.dumps({"a": [torch.ones(2), {"b": (Touch(canary),)}]}),
        "second dict": pickle.dumps({"a": torch.ones(2)}) + pickle.dumps({"b": Touch(canary)}),
        "getattr": pickle.dumps({"a": Call(getattr, "", "format")}),
        "path of names": b"\x80\x04\x8c\x05numpy\x8c\x0bdtype.mro.x\x93.",
        "storage": pickle.dumps({"a": Call(load_storage, evil)}),
        "storage after a header": pickle.dumps({"a": Call(load_storage, header + evil)}),
        "zip storage": pickle.dumps({"a": Call(load_storage, zipped.getvalue())}),
        "tar storage": pickle.dumps({"a": Call(load_storage, tarred.getvalue())}),
        "persistent id": b"\x80\x02(X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
        b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04NtQ.",
        "bare persistent id": b"\x80\x02X\x01\x00\x00\x00aQ.",
        "its own loader": pickle.dumps({"a": Call(torch.load, io.BytesIO(evil))}),
        "storage that is a tensor": pickle.dumps(
            {"a": Call(rebuild, torch.ones(2), 0, (2,), (1,), False, None)}
        ),
        "larger than its storage": pickle.dumps({"a": Call(rebuild, typed, 0, (2**40,), (0,), False, None)}),
        "beyond its storage": pickle.dumps({"a": Call(rebuild, typed, 3, (2,), (1,), False, None)}),
        "parameter": pickle.dumps({"a": torch.nn.Parameter(torch.ones(2))}),
        "no dict": pickle.dumps([torch.ones(2)]),
        "no tensor": pickle.dumps({"a": "b"}),
        "no name": pickle.dumps({1: torch.ones(2)}),
        "words": pickle.dumps({"a": np.array(["x", "y"])}),
        "objects": pickle.dumps({"a": np.array([{}, 1], dtype=object)}),
        "complex": pickle.dumps({"a": torch.ones(2, dtype=torch.complex64)}),
        "empty tensor": pickle.dumps({"a": torch.ones(0)}),
        "too many axes": pickle.dumps({"a": torch.ones(2, 2, 2, 2)}),
        "two encoders": pickle.dumps({"a": torch.ones(2), "b": torch.ones(3)}),
        "cut short": pickle.dumps({"a": torch.ones(500)})[:-40],
        "a byte too many": pickle.dumps({"a": torch.ones(2)}) + b"\0",
        "no pickle": b"version https://git-lfs.github.com/spec/v1\n",
        "nothing": b"",
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", hostile_pickles(Path("canary")))
def test_a_hostile_pickle_is_refused_and_nothing_runs(tmp_path, name):
    canary, path = tmp_path / "canary", tmp_path / "aim.pkl"
    path.write_bytes(hostile_pickles(canary)[name])
    with pytest.raises(ValueError, match="aim.pkl") as refused:
        read_embeddings(path)
    sentence = str(refused.value)
    assert sentence.endswith(".") and "\n" not in sentence and len(sentence) < 330, sentence
    assert not canary.exists()


@pytest.mark.parametrize("suffix", [".pth", ".npy"])
def test_a_hostile_file_of_one_clip_is_refused(tmp_path, suffix):
    canary, folder = tmp_path / "canary", tmp_path / "AIM"
    folder.mkdir()
    path = folder / f"01_10{suffix}"
    if suffix == ".pth":
        torch.save({"a": Touch(canary)}, path)
    else:
        np.save(path, np.array([Touch(canary)], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=f"01_10{suffix} does not hold one tensor"):
        read_embeddings(folder)
    torch.save({"state_dict": torch.ones(2)}, path.with_suffix(".pth"))
    path.with_suffix(".npy").unlink(missing_ok=True)
    with pytest.raises(ValueError, match="'01_10' -> dict is not a clip's embedding"):
        read_embeddings(folder)
    assert not canary.exists()


# Embeddings


@pytest.mark.parametrize("shape", [(6,), (12, 6), (15, 32, 6)])
def test_embeddings_come_back_from_both_layouts(tmp_path, shape, monkeypatch):
    monkeypatch.setattr("tfcovr_utils.sources.release.embedding_files.CLIPS_PER_DICT", 3)
    rng = np.random.default_rng(0)
    names = [GYM, "01_10", "a/b.c é%", "w_2.5", "w_2"]
    written = {name: rng.normal(size=shape).astype(np.float32) for name in names}
    for path in write_embeddings(written, tmp_path, "AIM"):
        read = read_embeddings(path)
        assert set(read) == set(written)
        for name in names:
            np.testing.assert_array_equal(read[name], written[name])
    with open(tmp_path / "AIM.pkl", "rb") as file:  # as the official code reads it
        assert [len(pickle.load(file)) for _ in range(2)] == [3, 2] and not file.read()


def test_embeddings_of_other_kinds_become_floats(tmp_path):
    rows = torch.arange(24.0).reshape(4, 6)
    parts = [
        {"half": rows[1].half(), "brain": rows[2].bfloat16(), "grad": rows[1].clone().requires_grad_()},
        {"column": rows[:, 2:].T[0], "numpy": np.arange(4), "half": rows[3, :4]},
    ]
    parts[0] = {name: value[:4] for name, value in parts[0].items()}
    (tmp_path / "aim.pkl").write_bytes(b"".join(map(pickle.dumps, parts)))
    read = read_embeddings(tmp_path / "aim.pkl")
    assert {array.dtype for array in read.values()} == {np.dtype(np.float32)}
    assert read["half"].tolist() == [18, 19, 20, 21]  # the last one of a name counts
    assert read["brain"].tolist() == [12, 13, 14, 15] and read["grad"].tolist() == [6, 7, 8, 9]
    assert read["column"].tolist() == [2, 8, 14, 20] and read["numpy"].tolist() == [0, 1, 2, 3]
    (tmp_path / "npy").mkdir()
    np.save(tmp_path / "npy" / "01_10.npy", np.ones((2, 4)))
    assert dict(stream_embeddings(tmp_path / "npy"))["01_10"].shape == (2, 4)


def test_missing_and_empty_embeddings_say_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere does not exist; expected a .pkl"):
        read_embeddings(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ValueError, match="holds no embedding"):
        read_embeddings(tmp_path)


def test_an_export_with_embeddings_has_all_that_the_official_code_opens(tmp_path):
    made = made_benchmark()
    made.save(tmp_path / "made")
    written = {clip_id: np.full(4, k, np.float32) for k, clip_id in enumerate(made.clips["clip_id"])}
    write_embeddings(written, tmp_path, "AIM")
    given = ["--benchmark", str(tmp_path / "made"), "--embeddings", str(tmp_path / "AIM.pkl")]
    command("export release")([*given, "--out", str(tmp_path / "out")])
    test = pd.read_csv(tmp_path / "out" / "test_finegd.csv")
    for name in [*test["query_video"], *test["target_video"]]:
        assert (tmp_path / "out" / "FineGD_videos" / f"{name}.mp4").exists()
        assert torch.load(tmp_path / "out" / "AIM" / f"{name}.pth").shape == (4,)
    with open(tmp_path / "out" / "AIM.pkl", "rb") as file:
        assert set(test["query_video"]) <= set(pickle.load(file))


# The hub


def test_an_unreachable_hub_is_one_clear_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConnectionError, match=r"ucf-crcv/TF-CoVR could not be fetched.*hf download"):
        fetch("release", tmp_path)
    with pytest.raises(SystemExit, match="could not be fetched"):
        command("fetch release")(["--out", str(tmp_path), "--yes"])


def test_the_hub_is_asked_for_the_part(tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda *a, **k: asked.append((a, k)) or str(tmp_path)
    )
    for name in ("release", "poses", "clips"):
        command(f"fetch {name}")(["--out", str(tmp_path), "--yes"])
        assert describe(name, tmp_path) in capsys.readouterr().out
    common = {"repo_type": "dataset", "local_dir": tmp_path}
    skeletons = ("Lozumi/FineGym-skeleton",)
    assert asked == [
        (("ucf-crcv/TF-CoVR",), common | {"allow_patterns": ["*"]}),
        (skeletons, common | {"allow_patterns": ["*.pkl"]}),
        (skeletons, common | {"allow_patterns": ["FineGym-RGB-subactions/*"]}),
    ]
    with pytest.raises(SystemExit, match="give --yes"):
        command("fetch clips")(["--out", str(tmp_path)])


@pytest.mark.parametrize("status", [401, 403])
def test_a_hub_that_wants_a_login_says_what_to_do(status, tmp_path, monkeypatch):
    class Refused(Exception):
        response = type("Response", (), {"status_code": status})

    def refuse(*_, **__):
        raise Refused

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(PermissionError, match=f"answers {status}: log in with `hf auth login`"):
        fetch("clips", tmp_path)


def test_public_files_are_found_by_their_names(tmp_path):
    clip = "A0xAXXysHUo_E_002184_002237_A_0035_0036"
    (tmp_path / "part2").mkdir()
    (tmp_path / "part2" / "A0xAXXysHUo_002184_002237_0035_0036.mp4").touch()
    clips = pd.DataFrame({"clip_id": [clip, "other"], "path": ["finegym/a.mp4", "finegym/b.mp4"]})
    placed = place_public_files(clips, tmp_path)["path"].tolist()
    assert placed == ["part2/A0xAXXysHUo_002184_002237_0035_0036.mp4", "finegym/b.mp4"]


def test_official_divides_by_all_that_the_csv_lists(tmp_path, release):
    """The query among its targets, and a target twice, count as targets that are never found."""
    path = release / "test_finegd.csv"
    path.write_text(
        path.read_text().replace("['07_5', '07_4', 'Cup_r2_1']", "['07_5', '07_4', '07_4', 'Cup_r2_1']")
    )
    benchmark = import_release(release)
    assert make_task(benchmark, "official").answers[0] == ["07_5", "07_4", "07_4", "Cup_r2_1"]
    assert make_task(benchmark, "capped").answers[0] == ["07_4", "07_5"]
    task = make_task(benchmark, "official")
    precision = average_precision_official([["07_5", "07_4"]], [task.answers[0]], ks=[5])
    assert precision.item() == pytest.approx(2 / 4)
    export_official(benchmark, tmp_path / "again")
    assert make_task(import_release(tmp_path / "again"), "official").answers == task.answers
