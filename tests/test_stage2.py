"""Stage 2: what the loop draws, chooses and resumes; the released row from its files to its score."""

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from test_fusion import FIXTURES, HEADS, STAGE2_JSON, tiny_tower
from test_fusion import STAGE2 as OFFICIAL
from test_fusion import weights as official_weights

from tfcovr_utils import losses
from tfcovr_utils.checkpoints import load_stage2
from tfcovr_utils.embedding import Embedded
from tfcovr_utils.encoders import Encoder
from tfcovr_utils.fusion import Fusion, unit
from tfcovr_utils.labels import parse_label
from tfcovr_utils.metrics import average_precision_at, average_precision_official, rank_official
from tfcovr_utils.sources import Source
from tfcovr_utils.sources.embedding_files import write_embeddings
from tfcovr_utils.sources.official_csv import read_queries, read_train
from tfcovr_utils.sources.released import export_official
from tfcovr_utils.sources.tables import label_row
from tfcovr_utils.text_tower import Tokens, official_text
from tfcovr_utils.training import __main__ as command
from tfcovr_utils.training import stage2
from tfcovr_utils.training.settings import STAGE2, Stage2Settings, change
from tfcovr_utils.training.stage2 import fit_fusion, learning_rate
from tfcovr_utils.triplets import Benchmark

SMALL = replace(STAGE2["smoke"], batch=16, steps=24, select_every=8, projection_dim=16, hidden_dim=32)
CLIPS, TEXTS, TRIPLETS, DIM = 40, 6, 96, 8


def problem():
    """Targets that are the query clip moved by the text: nothing that either input alone could tell."""
    generator = torch.Generator().manual_seed(0)
    video, texts = torch.randn(CLIPS, DIM, generator=generator), torch.randn(TEXTS, 5, generator=generator)
    move = texts @ torch.randn(5, DIM, generator=generator)
    drawn = torch.randperm(CLIPS * TEXTS, generator=generator)[:TRIPLETS]
    ends = [drawn // TEXTS, drawn % TEXTS]
    target = video[ends[0]] + move[ends[1]]
    return video, texts, target, torch.stack([*ends, torch.arange(TRIPLETS)], 1)


def fit(settings=SMALL, seed=0, validate=None, **options):
    return fit_fusion(*problem(), settings, seed, validate, **options)


def same(one: Fusion, other: Fusion) -> bool:
    return all(torch.equal(value, other.state_dict()[key]) for key, value in one.state_dict().items())


def agreement(fusion: Fusion) -> float:
    """Mean AP of each triplet's own target among all."""
    video, texts, target, rows = problem()
    scores = fusion(video[rows[:, 0]], texts, rows[:, 1]) @ fusion.embed_target(target).T
    return float(average_precision_at(scores, [[row] for row in range(len(rows))], [50]).mean())


# The loop


def test_it_learns_from_both_inputs():
    settings = replace(SMALL, steps=150, lr=3e-3)
    whole = agreement(fit(settings)[0])
    untrained = agreement(fit(replace(settings, lr=1e-12, steps=1))[0])
    assert whole > untrained + 0.2
    for control in ("use_video", "use_text"):
        assert agreement(fit(replace(settings, **{control: False}))[0]) < whole - 0.2


def test_a_seed_gives_the_same_run_and_leaves_the_callers_draws_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, curve = fit()
    assert torch.equal(torch.rand(3), expected)
    torch.rand(7)
    again, curve_again = fit()
    assert same(one, again) and curve["loss"].tolist() == curve_again["loss"].tolist()
    assert not same(one, fit(seed=1)[0])


def test_an_epoch_takes_each_triplet_once_in_a_new_order(monkeypatch):
    seen, plain = [], losses.info_nce

    def spy(query, target, temperature):
        seen.append(target.detach())
        return plain(query, target, temperature)

    monkeypatch.setattr(losses, "info_nce", spy)
    fusion, _ = fit(replace(SMALL, steps=0, epochs=2, batch=20, centre=False))
    all_targets = unit(problem()[2])
    rows = [(batch @ all_targets.T).argmax(1).tolist() for batch in seen]
    per_epoch = TRIPLETS // 20
    assert len(rows) == 2 * per_epoch and {len(batch) for batch in rows} == {20}
    epochs = [sum(rows[:per_epoch], []), sum(rows[per_epoch:], [])]
    assert [len(set(epoch)) for epoch in epochs] == [20 * per_epoch] * 2 and epochs[0] != epochs[1]


def test_a_batch_larger_than_the_triplets_is_all_of_them():
    _, curve = fit(replace(SMALL, batch=512, steps=0, epochs=3, select_every=0))
    assert curve["step"].tolist() == [1, 2, 3] and curve["epoch"].tolist() == [0, 1, 2]


def loss_of_step(fusion, settings, labels):
    """What the first step's loss must be: all triplets are in its batch, and the order of a batch bears on nothing."""
    video, texts, target, rows = problem()
    pair = fusion(video[rows[:, 0]], texts, rows[:, 1]), fusion.embed_target(target)
    return {
        "info_nce": losses.info_nce(*pair, settings.temperature),
        "hn_nce": losses.hn_nce(*pair, settings.temperature, settings.beta),
        "hn_nce_official": losses.hn_nce_official(*pair, settings.temperature, settings.beta),
        "multi_positive": losses.multi_positive_nce(*pair, labels[:, None] == labels, settings.temperature, settings.pull_all),
    }


@pytest.mark.parametrize(("loss", "pull_all"), [("info_nce", False), ("hn_nce", False), ("hn_nce_official", False),
                                                ("multi_positive", False), ("multi_positive", True)])  # fmt: skip
def test_the_loss_is_the_one_that_is_named(loss, pull_all):
    settings = replace(SMALL, loss=loss, pull_all=pull_all, beta=0.5, temperature=0.3, dropout=0.0, batch=TRIPLETS, steps=1, lr=1e-12)
    labels = torch.arange(TRIPLETS) % 7
    fusion, curve = fit(settings, target_labels=labels)
    expected = {name: value.item() for name, value in loss_of_step(fusion, settings, labels).items()}
    assert curve["loss"].item() == pytest.approx(expected[loss], rel=1e-4)
    assert all(abs(expected[loss] - value) > 1e-2 for name, value in expected.items() if name != loss)


def test_the_rate_follows_its_schedule():
    by_epoch = Stage2Settings(lr=1.0, epochs=4)
    rates = [learning_rate(by_epoch, step, 40, 10) for step in range(40)]
    official = [0.5 * (1 + math.cos(math.pi * epoch / 4)) for epoch in range(4)]
    assert rates == pytest.approx(np.repeat(official, 10).tolist())
    cosine = [learning_rate(replace(by_epoch, schedule="cosine", warmup=3), step, 40, 10) for step in range(41)]
    assert cosine[0] == pytest.approx(0.25) and cosine[20] == pytest.approx(0.5) and cosine[40] == pytest.approx(0)
    assert cosine.index(max(cosine)) == 3
    assert learning_rate(replace(by_epoch, schedule="constant"), 39, 40, 10) == 1.0
    _, curve = fit(replace(SMALL, steps=0, epochs=4, select_every=0, schedule="cosine_epoch", lr=0.01))
    assert curve["lr"].tolist() == pytest.approx([0.01 * rate for rate in official])


def test_the_best_step_on_val_is_kept_and_without_val_the_last():
    told = iter([0.3, 0.9, 0.9])
    states = []

    def validate(fusion):
        assert not fusion.training and not torch.is_grad_enabled()
        states.append({key: value.clone() for key, value in fusion.state_dict().items()})
        return next(told)

    best, curve = fit(validate=validate)
    assert curve["val"].tolist() == [0.3, 0.9, 0.9] and curve["step"].tolist() == [8, 16, 24]
    assert all(torch.equal(value, states[1][key]) for key, value in best.state_dict().items())
    last, curve = fit()
    assert curve["val"].isna().all() and not same(last, best)
    assert all(torch.equal(value, states[2][key]) for key, value in last.state_dict().items())


def test_a_killed_run_goes_on_to_the_same_curve(tmp_path):
    whole, curve = fit(validate=agreement, checkpoint=tmp_path / "whole.pt")
    calls = []

    def killed(fusion):
        calls.append(None)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return agreement(fusion)

    with pytest.raises(KeyboardInterrupt):
        fit(validate=killed, checkpoint=tmp_path / "cut.pt")
    begun_again = fit(validate=agreement, checkpoint=tmp_path / "other.pt", resume=True)[0]
    resumed, rest = fit(validate=agreement, checkpoint=tmp_path / "cut.pt", resume=True)
    columns = ["step", "epoch", "lr", "loss", "val"]
    pd.testing.assert_frame_equal(rest[columns], curve[columns])
    assert same(resumed, whole) and same(begun_again, whole)
    finished, again = fit(validate=pytest.fail, checkpoint=tmp_path / "cut.pt", resume=True)
    assert same(finished, whole) and len(again) == len(curve)


def test_a_checkpoint_of_another_run_is_not_gone_on_from(tmp_path):
    path = tmp_path / "checkpoint.pt"
    fit(checkpoint=path)
    with pytest.raises(ValueError, match="written by a run with other settings; resume with what it began with"):
        fit(replace(SMALL, lr=1.0), checkpoint=path, resume=True)
    with pytest.raises(ValueError, match="other seed"):
        fit(seed=1, checkpoint=path, resume=True)
    video, texts, target, triplets = problem()
    for data in ((video, texts, target, triplets.flip(0)), (video.flip(0), texts, target, triplets), (video, texts + 1, target, triplets),
                 (video, texts, -target, triplets)):  # fmt: skip
        with pytest.raises(ValueError, match="other data"):
            fit_fusion(*data, SMALL, checkpoint=path, resume=True)
    again = fit(replace(SMALL, lr=1e-4), checkpoint=path)[0]  # without resume it begins again
    assert not same(again, fit()[0])


def test_means_are_of_the_training_rows_alone():
    video, texts, target, triplets = problem()
    unused = torch.full((1, DIM), 1e6)
    fusion, _ = fit_fusion(torch.cat([video, unused]), torch.cat([texts, unused[:, :5]]), torch.cat([target, unused]), triplets, SMALL)
    for mean, rows in ((fusion.video_mean, video[triplets[:, 0].unique()]), (fusion.text_mean, texts), (fusion.target_mean, target)):
        torch.testing.assert_close(mean, rows.mean(0))
    assert not fit(replace(SMALL, centre=False))[0].video_mean.any()


def test_mixed_precision_trains_to_nearly_the_same():
    _, full = fit(replace(SMALL, dropout=0.0))
    _, mixed = fit(replace(SMALL, dropout=0.0, precision="bf16"))
    assert mixed["loss"].tolist() == pytest.approx(full["loss"].tolist(), rel=0.05)
    assert mixed["loss"].tolist() != full["loss"].tolist()


def test_a_loss_that_is_no_number_ends_the_run():
    video, texts, target, triplets = problem()
    video[0] = torch.inf
    with pytest.raises(ValueError, match="the loss is nan at step 8; lower lr, which is 0.001"):
        fit_fusion(video, texts, target, triplets, SMALL)


# A tower that is trained


def token_problem():
    video, _, target, triplets = problem()
    ids = torch.randint(4, 40, (TEXTS, 7), generator=torch.Generator().manual_seed(2))
    return video, Tokens(ids, torch.ones_like(ids)), target, triplets


def test_a_trained_tower_reads_the_distinct_texts_of_a_batch_only():
    read, tower = [], tiny_tower()
    tower.register_forward_hook(lambda _, given, __: read.append(given[0].tolist()))
    video, tokens, target, triplets = token_problem()
    triplets[:, 1] %= 3
    fit_fusion(video, tokens, target, triplets, replace(SMALL, text_tower="trained", steps=4, batch=64), tower=tower)
    assert len(read) == 1 + 4  # one more to learn its width
    for texts in read[1:]:
        assert sorted(texts) == sorted(tokens.input_ids[:3].tolist())


@pytest.mark.parametrize("train_words", [False, True])
def test_a_trained_tower_changes_but_for_its_words(train_words):
    before, settings = tiny_tower().state_dict(), replace(SMALL, text_tower="trained", train_words=train_words)
    fusion, _ = fit_fusion(*token_problem(), settings, tower=tiny_tower())
    changed = {key for key, value in fusion.tower.state_dict().items() if not torch.equal(value, before[key])}
    frozen = set() if train_words else {"embeddings.word_embeddings.weight"}
    never = {key for key in before if key.endswith("attention.key.bias")}  # which softmax cancels but for rounding
    assert changed - never == set(before) - frozen - never


@pytest.mark.parametrize(("change", "message"), [
    ({"target": torch.ones(3, 5)}, r"\(40, 8\) and target \(3, 5\); pass"),
    ({"triplets": torch.zeros(4, 2, dtype=torch.int64)}, "shape \\(4, 2\\); pass"),
    ({"triplets": torch.zeros(4, 3)}, "torch.float32 of shape"),
    ({"triplets": torch.tensor([[0, 0, 0], [0, 6, 0]])}, r"name rows from \[0, 0, 0\] to \[0, 6, 0\]; there are \(40, 6, 96\)"),
    ({"triplets": torch.tensor([[0, 0, 0], [0, 0, -1]])}, "counted from 0"),
    ({"settings": replace(SMALL, text_tower="trained")}, "'trained' with texts as Tensor and no tower"),
    ({"tower": tiny_tower()}, "'frozen' with texts as Tensor and a tower"),
    ({"settings": replace(SMALL, loss="multi_positive")}, "without target_labels"),
])  # fmt: skip
def test_wrong_tensors_say_what_to_pass(change, message):
    names = ("query_video", "texts", "target", "triplets")
    with pytest.raises(ValueError, match=message):
        fit_fusion(**{**dict(zip(names, problem())), "settings": SMALL} | change)


# Settings


def test_the_papers_settings():
    paper = STAGE2["paper"]
    assert (paper.lr, paper.weight_decay, paper.batch, paper.schedule, paper.temperature) == (1e-5, 0.05, 512, "cosine_epoch", 0.07)
    assert (paper.projection_dim, paper.hidden_dim, paper.dropout, paper.beta, paper.text_tower) == (3072, 6144, 0.5, 0, "frozen")
    assert not paper.centre and not paper.unit_video
    size = sum(parameter.numel() for parameter in Fusion(768, 768, paper.projection_dim, paper.hidden_dim).combiner.parameters())
    assert round(size / 1e6, 1) == 85.0


def test_settings_are_changed_by_name_and_kind():
    changed = change(SMALL, ["lr=1", "centre=False", "loss=hn_nce", "beta=0.5", "steps=7"])
    assert changed == replace(SMALL, lr=1.0, centre=False, loss="hn_nce", beta=0.5, steps=7) and type(changed.lr) is float
    for text, message in [
        ("learning_rate=1", "no setting of stage 2; choose one of loss"), ("temprature=1", "did you mean temperature"),
        ("steps=1.5", "'steps=1.5' is not a value of steps; it is of kind int"), ("centre=yes", "kind bool, such as centre=True"),
        ("batch", "'batch' is not a value"), ("loss=nce", "loss is 'nce'; choose one of info_nce"), ("lr=0", "lr is 0.0; give"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=message):
            change(SMALL, [text])


# The released row


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A release in the official formats with embeddings of two frames a clip, and a BERT folder that knows its words."""
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("release")
    skills = [f"(BB) salto {way}{twist}" for way in ("forward tucked", "forward piked", "backward piked", "backward tucked")
              for twist in ("", " with 1.5 twist")]  # fmt: skip
    labels = pd.DataFrame([label_row(f"{k}", text, "made", parse_label(text), "1") for k, text in enumerate(skills)])
    rows = [(f"{split}{n}_{label}", split, label, f"{split}{n}") for split, count in (("train", 8), ("val", 3), ("test", 3))
            for n in range(count) for label in labels["label_id"]]  # fmt: skip
    clips = pd.DataFrame(rows, columns=["clip_id", "split", "label_id", "source_video"])
    clips = clips.assign(dataset="made", start_s=0.0, end_s=1.0, path=clips["clip_id"] + ".mp4")
    made = Benchmark.build(Source(clips, labels, {}), budget=1000)
    export_official(made, folder)
    for path in (folder / "own_tables").iterdir():
        path.unlink()
    (folder / "own_tables").rmdir()  # so that it is read as theirs
    rng = np.random.default_rng(0)
    centre = rng.normal(size=(len(labels), 32))
    frames = {row.clip_id: (centre[int(row.label_id)] + 0.3 * rng.normal(size=(2, 32))).astype(np.float32) for row in clips.itertuples()}
    write_embeddings(frames, folder / "files", "aim_embeddings_12f_all_files")
    texts = [official_text(text) for text in made.modifications["text"]]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted({word for text in texts for word in text.split()})]
    BertTokenizer(vocab={word: row for row, word in enumerate(words)}).save_pretrained(folder / "bert")
    torch.manual_seed(0)
    sizes = {name: STAGE2_JSON["config"][name] for name in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")}
    assert len(words) <= sizes["vocab_size"]
    BertModel(BertConfig(**sizes)).save_pretrained(folder / "bert")
    return folder


CHANGES = ["batch=64", "steps=120", "select_every=40", "lr=0.003", "projection_dim=32", "hidden_dim=64", "schedule=cosine", "dropout=0.1"]


def train(released, out, *more, changes=()):
    given = ["--release", str(released), "--out", str(out), "--text-weights", str(released / "bert")]
    command.main(["stage2", *given, *more, "--set", *CHANGES, *changes])
    return json.loads((out / "results.json").read_text())


def official_scores(released, fusion, read):
    """The released evaluation from the CSVs, apart from the package's tables: AP of each query at 50."""
    from tfcovr_utils.sources.embedding_files import read_embeddings

    video = {clip: torch.from_numpy(frames).mean(0) for clip, frames in read_embeddings(released / "files" / "aim_embeddings_12f_all_files.pkl").items()}
    queries = read_queries(released, "test")
    with torch.no_grad():
        query_emb = fusion(torch.stack([video[clip] for clip in queries["query_clip"]]), read(queries["text"].tolist()))
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
    assert set(results["coverage"].values()) == {1.0} and results["settings"]["batch"] == 64 and results["seed"] == 0
    history = pd.read_parquet(tmp_path / "history.parquet")
    assert history["step"].tolist() == [40, 80, 120] and history["val"].notna().all()

    from tfcovr_utils.training.inputs import feature_reader

    fusion = Fusion.load(tmp_path / "fusion")
    expected = official_scores(released, fusion, feature_reader(str(released / "bert"), torch.device("cpu")))
    assert results["official"]["mAP@50"] == pytest.approx(100 * expected.mean(), abs=1e-4)


def test_a_trained_tower_and_the_label_loss_go_the_same_way(released, tmp_path):
    results = train(released, tmp_path, changes=["text_tower=trained", "loss=multi_positive"])
    again = train(released, tmp_path, "--resume", changes=["text_tower=trained", "loss=multi_positive"])
    assert results["official"] == again["official"] and results["settings"]["text_tower"] == "trained"
    fusion = Fusion.load(tmp_path / "fusion")
    assert isinstance(fusion.tower, torch.nn.Module)
    bert = load_stage2_words(released)
    assert torch.equal(fusion.tower.embeddings.word_embeddings.weight, bert)


def load_stage2_words(released):
    from tfcovr_utils.text_tower import load_text_tower

    return load_text_tower(str(released / "bert")).embeddings.word_embeddings.weight


def test_an_official_checkpoint_is_scored_without_training(released, tmp_path):
    torch.save({"epoch": 1, "model": official_weights(OFFICIAL)}, tmp_path / "best.ckpt")
    results = train(released, tmp_path / "out", "--checkpoint", str(tmp_path / "best.ckpt"))
    assert not (tmp_path / "out" / "fusion").exists() and results["checkpoint"] == "best.ckpt"

    from tfcovr_utils.training.inputs import token_reader

    expected = official_scores(released, load_stage2(tmp_path / "best.ckpt")[0], token_reader(str(released / "bert")))
    assert results["official"]["mAP@50"] == pytest.approx(100 * expected.mean(), abs=1e-4)


def test_clips_without_embeddings_are_left_out_and_counted(released, tmp_path):
    from tfcovr_utils.sources.embedding_files import read_embeddings

    whole = read_embeddings(released / "files" / "aim_embeddings_12f_all_files.pkl")
    lost = read_queries(released, "test")["target_clip"].iloc[0]
    dropped = read_train(released)["query_clip"].iloc[0]
    path, _ = write_embeddings({clip: frames for clip, frames in whole.items() if clip not in (lost, dropped)}, tmp_path, "some")
    results = train(released, tmp_path / "out", "--embeddings", str(path))
    assert 0 < results["coverage"]["triplets"] < 1 and 0 < results["coverage"]["targets"] < 1
    other, _ = write_embeddings({"x": whole[lost]}, tmp_path, "other")
    with pytest.raises(SystemExit, match=r"holds none of the \d+ clips that .* names, such as"):
        train(released, tmp_path / "none", "--embeddings", str(other))


def test_what_a_release_lacks_is_one_sentence(released, tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match=r"holds 0 files of AIM embeddings \(none\); name the one to read"):
        command.main(["stage2", "--release", str(tmp_path), "--profile", "released", "--out", str(tmp_path)])
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SystemExit, match="text model bert-base-uncased could not be loaded .*hf download bert-base-uncased"):
        command.main(["stage2", "--release", str(released), "--profile", "released", "--out", str(tmp_path)])


# A benchmark's clips through an encoder


class Colours(Encoder):
    """Reads the label off a clip's id and the words off a text."""

    name, identity = "colours", {"family": "colours"}

    def __init__(self):
        super().__init__()
        self.anything = torch.nn.Parameter(torch.zeros(1))


def test_a_benchmark_is_trained_on_through_an_encoder(released, tmp_path, monkeypatch):
    from tfcovr_utils.sources.embedding_files import read_embeddings
    from tfcovr_utils.sources.released import read_release

    Benchmark(**read_release(released)).save(tmp_path / "benchmark")
    frames = read_embeddings(released / "files" / "aim_embeddings_12f_all_files.pkl")
    asked = {}

    def embed_clips(encoder, clips, clips_dir, *, frames: int, per_frame: bool):
        asked.update(splits=set(clips["split"]), clips_dir=clips_dir, per_frame=per_frame)
        values = torch.stack([torch.from_numpy(stored[clip]) for clip in clips["clip_id"]])
        return Embedded(clips["clip_id"].tolist(), values, {})

    stored = frames
    monkeypatch.setattr("tfcovr_utils.training.inputs.embed_clips", embed_clips)
    monkeypatch.setattr("tfcovr_utils.training.inputs.embed_texts", lambda _, texts: torch.eye(64)[: len(texts)])
    monkeypatch.setattr(command, "load_encoder", lambda name, weights: Colours().eval())
    given = ["--benchmark", str(tmp_path / "benchmark"), "--profile", "smoke", "--protocol", "capped", "--out", str(tmp_path / "out")]
    command.main(["stage2", *given, "--set", *CHANGES])
    assert asked == {"splits": {"train", "val"}, "clips_dir": tmp_path / "benchmark", "per_frame": True}
    history = pd.read_parquet(tmp_path / "out" / "history.parquet")
    assert history["val"].iloc[-1] > 0.3 and Fusion.load(tmp_path / "out" / "fusion").config["video_dim"] == 32
    told = json.loads((tmp_path / "out" / "run.json").read_text())
    assert told["encoder"] == {"family": "colours"} and told["profile"]["name"] == "smoke"
