"""The first rows: what each reads, what it never sees, and what it says when it cannot run."""

import hashlib
from dataclasses import asdict, replace
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from small_benchmark import small_benchmark

from tfcovr_utils.encoders import Encoder
from tfcovr_utils.evaluation.results import summarise
from tfcovr_utils.evaluation.rows import run
from tfcovr_utils.evaluation.scoring import evaluate
from tfcovr_utils.methods import GROUPS, METHODS, NotRun, Setting, features, fits
from tfcovr_utils.profiles import PROFILES
from tfcovr_utils.training.fusion import Fusion
from tfcovr_utils.training.settings import STAGE2
from tfcovr_utils.video import read_clip

FIRST_ROWS = (
    "random",
    "video-only",
    "text-only-zs",
    "text-only",
    "source-label-only",
    "label-oracle",
    "clip-avg-1-zs",
    "clip-avg-zs",
    "clip-mlp-1",
    "clip-mlp-15",
)
READS = {
    "video-only": {"query_clip"},
    "text-only-zs": {"text"},
    "text-only": {"text"},
    "clip-avg-1-zs": {"query_clip", "text"},
    "clip-avg-zs": {"query_clip", "text"},
    "clip-mlp-1": {"query_clip", "text"},
    "clip-mlp-15": {"query_clip", "text"},
}
TRAINED = ("text-only", "clip-mlp-1", "clip-mlp-15")
DIM = 24
STAGE_2 = replace(STAGE2["smoke"], lr=3e-3, projection_dim=64, hidden_dim=128)  # trains in a second


class Small(Encoder):
    """Colours near fixed ones, and which of the words are said."""

    name = "small"
    image_size = 8
    mean = std = (0.5, 0.5, 0.5)
    identity: ClassVar = {"encoder": "small"}

    def __init__(self):
        super().__init__()
        self.colours = torch.nn.Parameter(torch.linspace(-1, 1, DIM))

    def encode_frames(self, frames):
        red = self.prepare(frames)[:, 0].mean((1, 2))
        return torch.exp(-20 * (red[:, None] - self.colours) ** 2).unflatten(0, frames.shape[:2])

    def encode_texts(self, texts):
        features = torch.zeros(len(texts), DIM)
        for row, text in enumerate(texts):
            for word in text.split():
                features[row, hashlib.sha256(word.encode()).digest()[0] % DIM] += 1
        return features


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A benchmark with its clips, and a profile that reads five frames."""
    folder = tmp_path_factory.mktemp("clips")
    store_dir = tmp_path_factory.mktemp("store")
    return Setting(
        small_benchmark(folder),
        folder,
        replace(PROFILES["smoke"], frames=5),
        stage2=STAGE_2,
        store_dir=store_dir,
    )


@pytest.fixture(autouse=True)
def small_encoder(monkeypatch):
    monkeypatch.setattr(
        features, "load_encoder", lambda name, weights, **options: Small().eval().requires_grad_(False)
    )


@pytest.fixture(scope="module")
def fitted(here):
    """Each row fitted once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            features, "load_encoder", lambda name, weights, **options: Small().eval().requires_grad_(False)
        )
        return {name: METHODS[name].fit(here) for name in FIRST_ROWS}


def asked(setting):
    queries = setting.benchmark.queries.query("split == 'test'").reset_index(drop=True)
    return queries.assign(
        text=queries["modification_id"].map(
            setting.benchmark.modifications.set_index("modification_id")["text"]
        )
    )


def test_the_registry_says_what_each_row_is():
    assert set(FIRST_ROWS) <= set(METHODS)
    for name, method in METHODS.items():
        assert method.name == name and method.group in GROUPS
        assert method.about.endswith(".") and method.about.count(". ") == 0 and len(method.about.split()) > 5


def test_each_row_answers_in_unit_vectors(here, fitted):
    for name, row in fitted.items():
        query_emb, gallery_emb = (
            row.embed_queries(asked(here)),
            row.embed_gallery(here.benchmark.clips["clip_id"].tolist()),
        )
        assert query_emb.shape[1] == gallery_emb.shape[1], name
        for vectors in (query_emb, gallery_emb):
            assert vectors.norm(dim=1) == pytest.approx(1, abs=1e-5), name


def test_a_row_reads_what_it_says_and_nothing_else(here, fitted):
    queries = asked(here)
    # Another clip, another text, and other values of what no system may look at.
    turned = {column: queries[column].to_numpy()[::-1] for column in ("query_clip", "text")}
    hidden = queries[["query_clip", "text"]]
    for name, reads in READS.items():
        before = fitted[name].embed_queries(queries)
        torch.testing.assert_close(fitted[name].embed_queries(hidden), before)
        for column, values in turned.items():
            after = fitted[name].embed_queries(queries.assign(**{column: values}))
            is_same = torch.allclose(after, before, atol=1e-6)
            assert is_same == (column not in reads), (name, column)


def frames_of(setting, clip_ids):
    """Features of the frames that a row reads, from the files: (N, T, D)."""
    return torch.stack(
        [
            Small().encode_frames(read_clip(setting.clips_dir / f"{clip_id}.mp4", "centre", 5)[None])[0]
            for clip_id in clip_ids
        ]
    ).detach()


def test_zero_shot_rows_are_unit_averages_of_the_frames_they_name(here, fitted):
    queries = asked(here)
    frames, text = frames_of(here, queries["query_clip"]), Small().encode_texts(queries["text"].tolist())

    def unit(vectors):
        return vectors / vectors.norm(dim=1, keepdim=True)

    mean, middle = frames.mean(1), frames[:, 2]
    expected = {
        "video-only": mean,
        "text-only-zs": text,
        "clip-avg-zs": unit(mean) + unit(text),
        "clip-avg-1-zs": unit(middle) + unit(text),
    }
    for name, vectors in expected.items():
        torch.testing.assert_close(fitted[name].embed_queries(queries), unit(vectors))
        torch.testing.assert_close(fitted[name].embed_gallery(queries["query_clip"].tolist()), unit(mean))


def test_training_uses_both_inputs(here, fitted):
    """The label is a colour, so the answer takes clip and text: either alone must stay behind."""
    score = {name: evaluate(row, here.benchmark)["ap@50"].mean() for name, row in fitted.items()}
    assert score["label-oracle"] == 1
    assert score["clip-mlp-15"] > 0.9 and score["clip-mlp-1"] > 0.9
    for control in ("random", "text-only", "text-only-zs", "video-only", "source-label-only"):
        assert score[control] < score["clip-mlp-15"] - 0.2, (control, score)
    assert score["text-only"] > score["random"] and score["source-label-only"] > score["random"]


def test_nothing_of_test_bears_on_what_is_learned(here, fitted):
    """Labels, answers and galleries of test in disorder: the same embeddings."""
    whole, rng = here.benchmark, np.random.default_rng(0)

    def shuffled(table, columns, rows):
        table = table.copy()
        table.loc[rows, columns] = table.loc[rows, columns].sample(frac=1, random_state=0).to_numpy()
        return table

    test_queries = whole.queries["split"] == "test"
    other = replace(
        whole,
        clips=shuffled(whole.clips, ["label_id"], whole.clips["split"] == "test"),
        queries=shuffled(whole.queries, ["target_labels"], test_queries),
        targets=shuffled(
            whole.targets,
            ["clip_id"],
            whole.targets["query_id"].isin(whole.queries.loc[test_queries, "query_id"]),
        ),
        gallery=whole.gallery.drop(
            whole.gallery.index[whole.gallery["split"] == "test"][rng.permutation(20)]
        ),
    )
    assert not other.clips.equals(whole.clips) and not other.targets.equals(whole.targets)
    for name in READS:
        again = METHODS[name].fit(replace(here, benchmark=other))
        torch.testing.assert_close(
            again.embed_queries(asked(here)), fitted[name].embed_queries(asked(here)), rtol=0, atol=0
        )


@pytest.mark.parametrize("name", FIRST_ROWS)
def test_a_seed_changes_seeded_rows_only_and_the_same_one_repeats(here, fitted, name):
    queries = asked(here)
    other, again = (
        METHODS[name].fit(replace(here, seed=seed)).embed_queries(queries) for seed in (1, here.seed)
    )
    before = fitted[name].embed_queries(queries)
    assert torch.equal(again, before) and torch.equal(other, before) == (not METHODS[name].seeded)


def test_source_label_only_ranks_labels_by_their_share_of_training_triplets(here, fitted):
    triplets, label_of = here.benchmark.triplets, here.benchmark.clips.set_index("clip_id")["label_id"]
    table = evaluate(fitted["source-label-only"], here.benchmark)
    own = here.benchmark.queries.set_index("query_id")["query_clip"]
    for row in table.itertuples():
        share = triplets.loc[
            triplets["source_label"] == label_of[own[row.query_id]], "target_label"
        ].value_counts()
        shares = [share.get(label_of[clip_id], 0) for clip_id in row.retrieved]
        assert shares == sorted(shares, reverse=True) and shares[0] > 0 == shares[-1]


def test_random_rankings_favour_nothing(here):
    queries, clips = (
        pd.DataFrame({"query_id": [str(number) for number in range(2000)]}),
        [f"clip {number}" for number in range(21)],
    )
    row = METHODS["random"].fit(here)
    place = (
        (-(row.embed_queries(queries) @ row.embed_gallery(clips).T)).argsort(1).argsort(1).float()
    )  # (Q, G)
    # Ranks 0 to 20 have mean 10 and standard deviation 6.06; each clip's mean is within 4.5 standard errors.
    assert (place.mean(0) - 10).abs().max() < 4.5 * 6.06 / 2000**0.5
    assert place.std(0) == pytest.approx(6.06, rel=0.1)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("clip-mlp-1", lambda frames: frames[:, 2]), ("clip-mlp-15", lambda frames: frames.mean(1))],
)
def test_a_trained_row_is_kept_and_taken_up_again(here, fitted, tmp_path, monkeypatch, name, shown):
    METHODS[name].fit(replace(here, folder=tmp_path / "kept"))
    queries, fusion = asked(here), Fusion.load(tmp_path / "kept")
    frames, text = frames_of(here, queries["query_clip"]), Small().encode_texts(queries["text"].tolist())
    torch.testing.assert_close(fusion(shown(frames), text).detach(), fitted[name].embed_queries(queries))
    torch.testing.assert_close(
        fusion.embed_target(frames.mean(1)), fitted[name].embed_gallery(queries["query_clip"].tolist())
    )
    monkeypatch.setattr(fits, "fit_fusion", lambda *_, **__: pytest.fail("trained again"))
    taken = METHODS[name].fit(replace(here, checkpoint=tmp_path / "kept", seed=9))
    torch.testing.assert_close(taken.embed_queries(queries), fitted[name].embed_queries(queries))
    assert taken.facts["checkpoint"] == str(tmp_path / "kept")


def test_settings_of_stage_2_are_the_profiles_unless_given(here, fitted, monkeypatch):
    few = replace(STAGE_2, steps=3, select_every=1)
    row = METHODS["text-only"].fit(replace(here, stage2=few))
    assert [entry["step"] for entry in row.facts["history"]] == [1, 2, 3] and row.facts["stage2"][
        "use_video"
    ] is False
    assert fitted["clip-mlp-15"].facts["stage2"] == asdict(STAGE_2)
    monkeypatch.setitem(fits.STAGE2, here.profile.name, few)
    assert METHODS["clip-mlp-15"].fit(replace(here, stage2=None)).facts["stage2"] == asdict(few)


@pytest.mark.parametrize("name", ["clip-avg-zs", "clip-mlp-1"])
def test_clips_that_cannot_be_read_are_left_out_and_told(here, tmp_path, name):
    labels = here.benchmark.clips.set_index("clip_id")
    lost = [labels.index[labels["split"] == split][4] for split in ("train", "val", "test")]
    for path in here.clips_dir.glob("*.mp4"):
        (tmp_path / path.name).write_bytes(b"no video" if path.stem in lost else path.read_bytes())
    row = METHODS[name].fit(replace(here, clips_dir=tmp_path))
    table = evaluate(row, here.benchmark)
    own = here.benchmark.queries.set_index("query_id")["query_clip"][table["query_id"]].to_numpy()
    assert table["ap@50"].isna().tolist() == (own == lost[2]).tolist() and (own == lost[2]).any()
    assert not any(lost[2] in clips for clips in table["retrieved"])
    n_test = (labels["split"] == "test").sum()
    assert set(table["coverage"]) == {0, 1 - 1 / n_test}
    if name in TRAINED:
        used = ~here.benchmark.triplets[["query_clip", "target_clip"]].isin(lost).any(axis=1)
        assert row.facts["triplets_used"] == round(used.mean(), 4) < 1


def test_a_row_without_weights_or_clips_stands_in_the_table(here, tmp_path, monkeypatch):
    def not_to_be_had(name, weights, **options):
        raise FileNotFoundError(f"{weights} is not to be had; run `hf download {weights}`.")

    run(METHODS["random"], here, ["full"], tmp_path)
    assert run(METHODS["clip-avg-zs"], replace(here, clips_dir=tmp_path), ["full"], tmp_path) is None
    monkeypatch.setattr(features, "load_encoder", not_to_be_had)
    assert (
        run(METHODS["clip-mlp-15"], replace(here, weights={"clip": "some/clip"}), ["full"], tmp_path) is None
    )
    status = summarise(tmp_path).set_index("method")["status"]
    assert status["clip-mlp-15"] == "not run: some/clip is not to be had; run `hf download some/clip`."
    assert status["clip-avg-zs"].startswith(
        f"not run: {tmp_path} holds none of {len(here.benchmark.clips)} clips, such as "
    )


def test_weights_are_named_by_encoder_for_every_row(here, monkeypatch):
    """CLIP's too; a name that no encoder has is refused."""
    loaded = []

    def load(name, weights, **options):
        loaded.append((name, weights))
        return Small().eval().requires_grad_(False)

    monkeypatch.setattr(features, "load_encoder", load)
    METHODS["clip-avg-zs"].fit(here)
    METHODS["clip-avg-zs"].fit(replace(here, weights={"clip": "some/clip"}))
    METHODS["tfcovr-stage2-only"].fit(replace(here, weights={"clip": "some/clip", "aim": "some/aim"}))
    assert loaded == [
        ("clip", here.profile.clip_weights),
        ("clip", "some/clip"),
        ("clip", "some/clip"),
        ("aim", "some/aim"),
    ]
    with pytest.raises(ValueError, match="weights name 'clpi'; choose one of clip, aim"):
        replace(here, weights={"clpi": "some/clip"})


def test_a_tokenizer_that_is_fetched_late_is_wanted_by_rows_with_texts_only(here, tmp_path, monkeypatch):
    def no_tokenizer(self, texts):
        raise FileNotFoundError("the tokenizer is not to be had.")

    monkeypatch.setattr(Small, "encode_texts", no_tokenizer)
    elsewhere = replace(here, store_dir=tmp_path / "store")
    for name in READS:
        ran = run(METHODS[name], elsewhere, ["full"], tmp_path / "results") is not None
        assert ran == ("text" not in READS[name]), name
    status = summarise(tmp_path / "results").set_index("method")["status"]
    assert status["clip-avg-zs"] == "not run: the tokenizer is not to be had."


def test_label_controls_need_labels(here):
    clips = here.benchmark.clips.assign(
        label_id=here.benchmark.clips["label_id"].where(here.benchmark.clips["split"] == "train", "")
    )
    for name in ("label-oracle", "source-label-only"):
        with pytest.raises(
            NotRun, match="clips of val and test have no label, such as .*; put the annotation files beside"
        ):
            METHODS[name].fit(replace(here, benchmark=replace(here.benchmark, clips=clips)))
