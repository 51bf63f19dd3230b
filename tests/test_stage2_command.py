"""Stage 2 by its command: the released row from official files to its score, and a benchmark through an
encoder."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from command import command
from golden import golden, weights

from tfcovr_utils.benchmark.benchmark import Benchmark
from tfcovr_utils.embedding.embed import Embedded
from tfcovr_utils.encoders import Encoder
from tfcovr_utils.encoders.tokens import official_text
from tfcovr_utils.labels import parse_label
from tfcovr_utils.metrics.official import average_precision_official, rank_official
from tfcovr_utils.sources import Source
from tfcovr_utils.sources.release.csv_files import read_queries, read_train
from tfcovr_utils.sources.release.embedding_files import read_embeddings, write_embeddings
from tfcovr_utils.sources.release.released import export_official, read_release
from tfcovr_utils.sources.source import label_row
from tfcovr_utils.training.fusion import Fusion
from tfcovr_utils.training.official_checkpoint import load_stage2
from tfcovr_utils.training.stage2_inputs import Inputs, feature_reader, from_encoder, token_reader
from tfcovr_utils.training.towers import load_text_tower

STAGE2, STAGE2_JSON = golden("tfcovr_stage2")
AIM = "aim_embeddings_12f_all_files.pkl"


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A release in the official formats with embeddings of two frames a clip, and a BERT folder that knows
    its words."""
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("release")
    skills = [
        f"(BB) salto {way}{twist}"
        for way in ("forward tucked", "forward piked", "backward piked", "backward tucked")
        for twist in ("", " with 1.5 twist")
    ]
    labels = pd.DataFrame(
        [label_row(f"{k}", text, "made", parse_label(text), "1") for k, text in enumerate(skills)]
    )
    rows = [
        (f"{split}{n}_{label}", split, label, f"{split}{n}")
        for split, count in (("train", 8), ("val", 3), ("test", 3))
        for n in range(count)
        for label in labels["label_id"]
    ]
    clips = pd.DataFrame(rows, columns=["clip_id", "split", "label_id", "source_video"])
    clips = clips.assign(dataset="made", start_s=0.0, end_s=1.0, path=clips["clip_id"] + ".mp4")
    made = Benchmark.build(Source(clips, labels, {}), budget=1000)
    export_official(made, folder)
    for path in (folder / "own_tables").iterdir():
        path.unlink()
    (folder / "own_tables").rmdir()  # so that it is read as theirs
    rng = np.random.default_rng(0)
    centre = rng.normal(size=(len(labels), STAGE2_JSON["config"]["embed_dim"]))
    shape = 2, centre.shape[1]
    frames = {
        row.clip_id: (centre[int(row.label_id)] + 0.3 * rng.normal(size=shape)).astype(np.float32)
        for row in clips.itertuples()
    }
    write_embeddings(frames, folder / "files", AIM.removesuffix(".pkl"))
    texts = [official_text(text) for text in made.modifications["text"]]
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *sorted({word for text in texts for word in text.split()}),
    ]
    BertTokenizer(vocab={word: row for row, word in enumerate(words)}).save_pretrained(folder / "bert")
    torch.manual_seed(0)
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
    sizes = {name: STAGE2_JSON["config"][name] for name in names}
    assert len(words) <= sizes["vocab_size"]
    BertModel(BertConfig(**sizes)).save_pretrained(folder / "bert")
    return folder


CHANGES = [
    "batch=64",
    "steps=120",
    "select_every=40",
    "lr=0.003",
    "projection_dim=32",
    "hidden_dim=64",
    "schedule=cosine",
    "dropout=0.1",
]


def train(released, out, *more, changes=()):
    given = ["--release", str(released), "--out", str(out), "--text-weights", str(released / "bert")]
    command("train")([*given, *more, "--set", *CHANGES, *changes])
    return json.loads((out / "results.json").read_text())


def official_scores(released, fusion, read):
    """The released evaluation from the CSVs, apart from the package's tables: AP of each query at 50."""
    video = {
        clip: torch.from_numpy(frames).mean(0)
        for clip, frames in read_embeddings(released / "files" / AIM).items()
    }
    queries = read_queries(released, "test")
    with torch.no_grad():
        query_emb = fusion(
            torch.stack([video[clip] for clip in queries["query_clip"]]), read(queries["text"].tolist())
        )
        gallery = fusion.embed_target(torch.stack([video[clip] for clip in queries["target_clip"]]))
    ranked = rank_official(query_emb @ gallery.T, queries["target_clip"], queries["query_clip"])
    return average_precision_official(ranked, queries["targets"], [50])[:, 0]


def test_one_command_makes_the_row_from_a_release(released, tmp_path, capsys):
    results = train(released, tmp_path)
    printed = capsys.readouterr().out
    assert f"mAP@50 {results['official']['mAP@50']:.2f}" in printed and printed.startswith("official")
    untrained = train(released, tmp_path / "untrained", changes=["steps=1", "lr=1e-12"])
    assert results["capped"]["mAP@50"] > untrained["capped"]["mAP@50"] + 10
    table = pd.read_parquet(tmp_path / "queries.parquet")
    n_queries = len(read_queries(released, "test"))
    assert table["protocol"].value_counts().to_dict() == {"official": n_queries, "capped": n_queries}
    for protocol, part in table.groupby("protocol"):
        assert 100 * part["ap@50"].mean() == pytest.approx(results[protocol]["mAP@50"])
    assert (
        set(results["coverage"].values()) == {1.0}
        and results["settings"]["batch"] == 64
        and results["seed"] == 0
    )
    history = pd.read_parquet(tmp_path / "history.parquet")
    assert history["step"].tolist() == [40, 80, 120] and history["val"].notna().all()

    fusion = Fusion.load(tmp_path / "fusion")
    expected = official_scores(released, fusion, feature_reader(str(released / "bert"), torch.device("cpu")))
    assert results["official"]["mAP@50"] == pytest.approx(100 * expected.mean(), abs=1e-4)


def test_a_trained_tower_and_the_label_loss_go_the_same_way(released, tmp_path):
    results = train(released, tmp_path, changes=["text_tower=trained", "loss=multi_positive"])
    again = train(released, tmp_path, "--resume", changes=["text_tower=trained", "loss=multi_positive"])
    assert results["official"] == again["official"] and results["settings"]["text_tower"] == "trained"
    with pytest.raises(SystemExit, match="was written by a run with other seed"):
        train(
            released,
            tmp_path,
            "--resume",
            "--seed",
            "1",
            changes=["text_tower=trained", "loss=multi_positive"],
        )
    fusion = Fusion.load(tmp_path / "fusion")
    bert = load_text_tower(str(released / "bert"))
    words, layer = (
        (lambda tower: tower.embeddings.word_embeddings.weight),
        (lambda tower: tower.qformer.layernorm.weight),
    )
    assert torch.equal(words(fusion.tower), words(bert)) and not torch.equal(layer(fusion.tower), layer(bert))


def test_an_official_checkpoint_is_scored_without_training(released, tmp_path):
    torch.save({"epoch": 1, "model": weights(STAGE2)}, tmp_path / "best.ckpt")
    results = train(released, tmp_path / "out", "--checkpoint", str(tmp_path / "best.ckpt"))
    assert not (tmp_path / "out" / "fusion").exists() and results["checkpoint"] == "best.ckpt"

    expected = official_scores(
        released, load_stage2(tmp_path / "best.ckpt"), token_reader(str(released / "bert"))
    )
    assert results["official"]["mAP@50"] == pytest.approx(100 * expected.mean(), abs=1e-4)


def test_clips_without_embeddings_are_left_out_and_counted(released, tmp_path):
    whole = read_embeddings(released / "files" / AIM)
    lost = read_queries(released, "test")["target_clip"].iloc[0]
    dropped = read_train(released)["query_clip"].iloc[0]
    path, _ = write_embeddings(
        {clip: frames for clip, frames in whole.items() if clip not in (lost, dropped)}, tmp_path, "some"
    )
    results = train(released, tmp_path / "out", "--embeddings", str(path))
    assert 0 < results["coverage"]["triplets"] < 1 and 0 < results["coverage"]["targets"] < 1
    other, _ = write_embeddings({"x": whole[lost]}, tmp_path, "other")
    with pytest.raises(SystemExit, match=r"holds none of the \d+ clips that .* names, such as"):
        train(released, tmp_path / "none", "--embeddings", str(other))


def test_what_a_release_lacks_is_one_sentence(released, tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match=r"holds 0 files of AIM embeddings \(none\); name the one to read"):
        command("train")(["--release", str(tmp_path), "--profile", "released", "--out", str(tmp_path)])
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        SystemExit, match="text model bert-base-uncased could not be loaded .*hf download bert-base-uncased"
    ):
        command("train")(["--release", str(released), "--profile", "released", "--out", str(tmp_path)])


# A benchmark's clips through an encoder


class Stub(Encoder):
    """Stands where an encoder is loaded; what it would embed is given below."""

    name, identity = "stub", {"encoder": "stub"}

    def __init__(self):
        super().__init__()
        self.anything = torch.nn.Parameter(torch.zeros(1))


def test_a_benchmark_is_trained_on_through_an_encoder(released, tmp_path, monkeypatch):
    Benchmark(**read_release(released)).save(tmp_path / "benchmark")
    stored, asked = read_embeddings(released / "files" / AIM), {}

    def embed_clips(encoder, clips, clips_dir, *, frames: int, readout: str):
        asked.update(splits=set(clips["split"]), clips_dir=clips_dir, readout=readout)
        values = torch.stack([torch.from_numpy(stored[clip]) for clip in clips["clip_id"]])
        return Embedded(clips["clip_id"].tolist(), values, {})

    monkeypatch.setattr("tfcovr_utils.training.stage2_inputs.embed_clips", embed_clips)
    monkeypatch.setattr(
        "tfcovr_utils.training.stage2_inputs.embed_texts", lambda _, texts: torch.eye(64)[: len(texts)]
    )
    monkeypatch.setattr("tfcovr_utils.encoders.load_encoder", lambda name, weights: Stub().eval())
    given = [
        "--benchmark",
        str(tmp_path / "benchmark"),
        "--profile",
        "smoke",
        "--protocol",
        "capped",
        "--out",
        str(tmp_path / "out"),
    ]
    command("train")([*given, "--set", *CHANGES])
    inputs = from_encoder(Benchmark.load(tmp_path / "benchmark"), Stub().eval(), tmp_path / "benchmark", 2)
    torch.testing.assert_close(inputs.target[0], torch.from_numpy(stored[inputs.clip_ids[0]]).mean(0))
    assert asked == {"splits": {"train", "val"}, "clips_dir": tmp_path / "benchmark", "readout": "frames"}
    history = pd.read_parquet(tmp_path / "out" / "history.parquet")
    assert history["val"].iloc[-1] > 0.3
    assert Fusion.load(tmp_path / "out" / "fusion").config["video_dim"] == inputs.target.shape[1]
    told = json.loads((tmp_path / "out" / "run.json").read_text())
    assert told["encoder"] == {"encoder": "stub"} and told["profile"]["name"] == "smoke"


def test_clips_of_one_label_are_told_to_be_and_no_others(released):
    benchmark = Benchmark(**read_release(released))
    known = benchmark.clips["clip_id"].tolist()
    video = torch.zeros(len(known), 2)
    inputs = Inputs(benchmark, known, video, video, lambda texts: torch.zeros(len(texts), 2))
    told = pd.Series(inputs.training_data().target_labels.tolist(), index=known)
    label_of = read_train(released).drop_duplicates("target_clip").set_index("target_clip")["target_label"]
    assert (told.drop(label_of.index) == -1).all()
    pairs = pd.DataFrame({"label": label_of, "told": told[label_of.index]}).drop_duplicates()
    assert pairs["label"].is_unique and pairs["told"].is_unique and (pairs["told"] >= 0).all()


def test_texts_of_a_release_are_prepared_as_officially(released):
    read = token_reader(str(released / "bert"))
    plain, spelled = read(["Show with 1.5 Twists!"]), read(["show with one and a half twists"])
    assert torch.equal(plain.input_ids, spelled.input_ids) and (plain.attention_mask == 1).all()
