"""Methods of CoVR's kind with small models of the real classes: run, trained, kept, described, refused."""

import json
import math
import warnings
from dataclasses import replace

import pandas as pd
import pytest
import torch
from small_benchmark import small_benchmark

from tfcovr_utils.embedding.descriptions import describe_clips
from tfcovr_utils.encoders import load_encoder
from tfcovr_utils.evaluation.rows import run
from tfcovr_utils.evaluation.scoring import evaluate
from tfcovr_utils.methods import METHODS, NotRun, Setting
from tfcovr_utils.methods.composed import Composed, Way
from tfcovr_utils.methods.covr_rows import COVR_ROWS, fit_composed
from tfcovr_utils.methods.encoder_features import OWNERS, EncoderFeatures, describe
from tfcovr_utils.methods.peers import PEERS, check_peer, pool_by_scores
from tfcovr_utils.profiles import PROFILES
from tfcovr_utils.texts import make_jobs, write_by_rule
from tfcovr_utils.training.pretraining.blip_models import (
    BlipPretraining,
    build_blip,
    build_blip2,
    build_word_tokenizer,
)
from tfcovr_utils.training.pretraining.mini_blip import save
from tfcovr_utils.training.settings import COMPOSED, STAGE2

HERE = [method.name for method in COVR_ROWS if "languagebind" not in method.name]
TRAINED = [name for name in HERE if METHODS[name].seeded and "mlp" not in name]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Folders of a small BLIP, its captioner and a Q-Former, untaught."""
    folder, settings = (
        tmp_path_factory.mktemp("weights"),
        BlipPretraining(width=32, layers=2, heads=2, text_layers=1, query_tokens=4),
    )
    torch.manual_seed(0)
    tokenizer = build_word_tokenizer(["show with two and a half twists on the beam", "an athlete tucked"])
    retrieval, captioner = build_blip(tokenizer, settings)
    report = {"parameters": 0, "frames": 0}
    for name, model in (
        ("blip", retrieval),
        ("captioner", captioner),
        ("blip2", build_blip2(tokenizer, settings, retrieval.vision_model)),
    ):
        save(f"mini-{name}", model, tokenizer, report, folder / name)
    return {name: str(folder / name) for name in ("blip", "captioner", "blip2")}


@pytest.fixture(scope="module")
def here(weights, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    return Setting(
        small_benchmark(folder),
        folder,
        replace(PROFILES["smoke"], frames=3),
        folder=tmp_path_factory.mktemp("run") / "row",
        weights=weights,
        store_dir=tmp_path_factory.mktemp("store"),
        stage2=replace(COMPOSED["smoke"], steps=4, select_every=2, batch=8, projection_dim=16, hidden_dim=32),
    )


@pytest.mark.parametrize("name", HERE)
def test_a_row_runs(here, name):
    fitted = METHODS[name].fit(replace(here, folder=here.folder / name))
    table = evaluate(fitted, here.benchmark)
    assert table["ap@50"].notna().all() and (table["coverage"] == 1).all()
    queries = here.benchmark.queries.merge(
        here.benchmark.modifications[["modification_id", "text"]], on="modification_id"
    )
    query_emb = fitted.embed_queries(queries)
    torch.testing.assert_close(query_emb.norm(dim=1), torch.ones(len(query_emb)))
    torch.testing.assert_close(
        fitted.embed_queries(queries.iloc[::-1]).flip(0), query_emb, atol=1e-5, rtol=0
    )  # whatever is asked beside


@pytest.mark.parametrize("name", TRAINED)
def test_a_taught_row_is_kept_and_differs_from_the_untaught(here, name):
    setting = replace(here, folder=here.folder / name, seed=1)
    taught = METHODS[name].fit(setting)
    queries = here.benchmark.queries.merge(
        here.benchmark.modifications[["modification_id", "text"]], on="modification_id"
    )
    again = METHODS[name].fit(replace(setting, checkpoint=setting.folder))
    torch.testing.assert_close(again.embed_queries(queries), taught.embed_queries(queries), atol=1e-5, rtol=0)
    still = METHODS[name].fit(replace(setting, folder=None, stage2=replace(here.stage2, lr=1e-12)))
    assert (still.embed_queries(queries) - taught.embed_queries(queries)).abs().max() > 1e-3
    assert len(taught.facts["history"]) == 2


def test_only_what_the_official_code_trains_changes(here):
    features = EncoderFeatures(here, "blip2")
    for part, trained in (
        ("text", "text_projection"),
        ("vision", "vision_projection"),
        ("composed", "text_projection"),
    ):
        model = Composed(EncoderFeatures(here, "blip2").encoder, Way(part))
        model.train_part()
        names = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        assert any(trained in name for name in names) and not any(
            parameter.requires_grad for parameter in features.encoder.parameters()
        )
        assert any("vision_model" in name for name in names) == (part == "vision")


def test_a_description_is_written_once_and_belongs_to_the_file(here, weights, tmp_path, monkeypatch):
    captioner = load_encoder("captioner", weights["captioner"])
    clips = here.benchmark.clips.iloc[:5]
    first = describe_clips(captioner, clips, here.clips_dir, tmp_path)
    assert first["clip_id"].tolist() == clips["clip_id"].tolist() and set(first["writer"]) == {
        weights["captioner"]
    }
    monkeypatch.setattr(captioner, "describe", lambda frames: pytest.fail("described again"))
    pd.testing.assert_frame_equal(describe_clips(captioner, clips, here.clips_dir, tmp_path), first)


def test_a_broken_clip_has_no_description_and_stops_nothing(here, weights, tmp_path):
    clips = here.benchmark.clips.iloc[:3].copy()
    clips["path"] = [str(here.clips_dir / path) for path in clips["path"]]
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    clips.loc[clips.index[1], "path"] = str(broken)
    written = describe_clips(load_encoder("captioner", weights["captioner"]), clips, tmp_path, tmp_path)
    assert written["clip_id"].tolist() == clips["clip_id"].iloc[[0, 2]].tolist()


def test_the_oracle_says_the_label_and_is_named(here):
    ids = here.benchmark.clips["clip_id"].iloc[:4].tolist()
    texts = describe(here, ids, "attributes")
    of_label = here.benchmark.descriptions.set_index("label_id")["text"]
    assert texts == of_label[here.benchmark.clips["label_id"].iloc[:4]].tolist()


def test_descriptions_ground_every_image_token(here):
    """BSE's zero layer changes nothing; another one changes the query."""
    features = EncoderFeatures(here, "blip")
    model = Composed(features.encoder, Way("composed", "grounded"))
    seen, texts = (
        features.tokens(here.benchmark.clips["clip_id"].iloc[:2]),
        features.tokenise(["show tucked", "show on beam"]),
    )
    described = features.tokenise(["an athlete", "an athlete tucked"])
    plain = Composed(features.encoder, Way("composed")).embed(seen, texts)
    torch.testing.assert_close(model.embed(seen, texts, described), plain)
    torch.nn.init.normal_(features.encoder.prompt_proj.weight)
    assert (model.embed(seen, texts, described) - plain).abs().max() > 1e-3


def test_a_dense_modification_is_used_whole(here):
    """120 words to the last; the official 30 words would drop it."""
    text = " ".join(["twists"] * 119)
    for options, apart in (({"max_words": None, "max_tokens": 512}, True), ({}, False)):
        features = EncoderFeatures(here, "blip", **options)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tokens = features.tokenise([f"{text} tucked", f"{text} beam"])
        seen = features.tokens(here.benchmark.clips["clip_id"].iloc[:1]).expand(2, -1, -1)
        one, other = Composed(features.encoder, Way("composed")).embed(seen, tokens)
        assert ((one - other).abs().max() > 1e-6) == apart


def test_dense_texts_make_a_benchmark_of_their_own(here):
    benchmark = here.benchmark
    dense = write_by_rule(make_jobs(benchmark.pairs, benchmark.labels, "dense"))
    assert dense["text"].str.split().map(len).min() >= 30


@pytest.mark.parametrize(
    ("name", "encoder_name", "what"),
    [
        ("blip-covr-zs", "blip", "no such folder"),
        ("blip2-text-zs", "blip2", "no such folder"),
        ("languagebind-zs", "languagebind", "no such folder"),
        ("blip-covr-zs", "blip", "another architecture"),
        ("blip2-text-zs", "blip2", "another architecture"),
        ("blip-covr-zs", "blip", "half a file"),
    ],
)
def test_weights_that_will_not_do_leave_a_row_that_is_not_run(
    here, weights, name, encoder_name, what, tmp_path
):
    bad = {
        "no such folder": "data/weights/none",
        "another architecture": weights["captioner"],
        "half a file": str(tmp_path / "half.pth"),
    }[what]
    (tmp_path / "half.pth").write_bytes(b"PK\x03\x04 half of it")
    setting = replace(here, weights=weights | {encoder_name: bad}, folder=None)
    with pytest.raises(NotRun) as error:
        METHODS[name].fit(setting)
    assert "\n" not in str(error.value) and bad.split("/")[-1] in str(error.value)
    assert run(METHODS[name], setting, ["full"], tmp_path / "results") is None


def test_settings_of_the_two_losses_differ_by_profile_alone():
    assert COMPOSED.keys() == STAGE2.keys()
    assert COMPOSED["paper"] == replace(STAGE2["paper"], loss="hn_nce_official", beta=0.5)


def test_ecde_is_trained_towards_both_targets():
    """The plain target has .8 of the loss, the one read with its description the rest."""

    class Plain(torch.nn.Module):
        dim = 3

    model = Composed(Plain(), Way("composed", "averaged"))
    target = torch.randn(4, 6)
    (first, plain), (second, together) = model.target_views(target)
    assert (first, second) == (0.8, pytest.approx(0.2))
    torch.testing.assert_close(plain, torch.nn.functional.normalize(target[:, :3], dim=1))
    torch.testing.assert_close(together, torch.nn.functional.normalize(target[:, 3:], dim=1))
    torch.testing.assert_close(model.embed_target(target[:, :3]), plain)


def test_rows_without_descriptions_need_no_captioner(here):
    fitted = METHODS["blip-covr-zs"].fit(
        replace(here, weights=here.weights | {"captioner": "data/weights/none"})
    )
    assert evaluate(fitted, here.benchmark)["ap@50"].notna().all()


def test_captions_add_the_likeness_of_a_clips_description(here):
    """By hand: the query against the clip's feature, and against its description's."""
    fitted, plain = (
        METHODS[name].fit(replace(here, folder=None)) for name in ("blip-covr-captions-zs", "blip-covr-zs")
    )
    queries = here.benchmark.queries.merge(
        here.benchmark.modifications[["modification_id", "text"]], on="modification_id"
    ).head(5)
    clip_ids = here.benchmark.clips["clip_id"].tolist()[:7]
    features = EncoderFeatures(here, "blip")
    told = torch.nn.functional.normalize(
        features.encoder.encode_texts(describe(here, clip_ids, "captioner")).cpu(), dim=1
    )
    query_emb = plain.embed_queries(queries)
    expected = (query_emb @ plain.embed_gallery(clip_ids).T + query_emb @ told.T) / 2
    torch.testing.assert_close(
        fitted.embed_queries(queries) @ fitted.embed_gallery(clip_ids).T, expected, atol=1e-5, rtol=0
    )


def test_a_clip_that_nobody_described_has_no_such_term(here):
    texts = pd.DataFrame(
        {"clip_id": ["test0_1"], "label_id": "", "style": "given", "text": ["a beam"], "writer": "them"}
    )
    setting = replace(here, folder=None, benchmark=replace(here.benchmark, descriptions=texts))
    fitted = fit_composed(setting, "blip", Way("composed", writer=OWNERS), captions=True)
    gallery = fitted.embed_gallery(["test0_0", "test0_1"])
    half = gallery.shape[1] // 2
    assert (gallery[0, half:] == 0).all() and gallery[1, half:].norm() == pytest.approx(0.5**0.5)
    with pytest.raises(NotRun, match="no description of a label"):
        describe(setting, ["test0_0"], "attributes")


@pytest.mark.parametrize("name", ["blip-covr-zs", "bse-covr", "blip2-text-ft", "blip2-covr-ft"])
def test_the_text_only_query_is_the_same_models_text(here, name):
    """Its clip bears on nothing, and what was taught to the text encoder does."""
    queries = here.benchmark.queries.merge(
        here.benchmark.modifications[["modification_id", "text"]], on="modification_id"
    ).head(6)
    fitted = METHODS[name].fit(replace(here, folder=here.folder / f"alone-{name}", seed=2))
    alone = fitted.embed_text_only(queries)
    torch.testing.assert_close(alone.norm(dim=1), torch.ones(6))
    elsewhere = queries.assign(query_clip=queries["query_clip"].iloc[::-1].to_numpy())
    torch.testing.assert_close(fitted.embed_text_only(elsewhere), alone)
    if name == "blip2-text-ft":
        torch.testing.assert_close(alone, fitted.embed_queries(queries), atol=1e-5, rtol=0)
    elif METHODS[name].seeded:
        encoder_name = "blip2" if name.startswith("blip2") else "blip"
        untaught = load_encoder(encoder_name, here.weights[encoder_name])
        assert (untaught.encode_texts(queries["text"].tolist()) - alone).abs().max() > 1e-3
    assert METHODS["blip2-vision-zs"].fit(replace(here, folder=None)).embed_text_only is None


@pytest.fixture
def scored(here):
    """Every query with scores of its answers' three frames, as CoVR's annotations have."""
    queries = here.benchmark.queries
    texts = [str([0.1 + row % 5 / 10, 0.3, 0.2]) for row in range(len(queries))]
    return replace(here, benchmark=replace(here.benchmark, queries=queries.assign(frame_scores=texts)))


def test_as_covr_frames_weigh_by_their_scores(scored):
    clip_ids = scored.benchmark.targets["clip_id"].unique()[:6].tolist()
    fitted = METHODS["blip-covr-zs"].fit(replace(scored, peer="covr"))
    frames = EncoderFeatures(scored, "blip").frames(clip_ids)
    answered = scored.benchmark.targets.drop_duplicates("clip_id").set_index("clip_id")["query_id"]
    texts = scored.benchmark.queries.set_index("query_id")["frame_scores"]
    expected = []
    for clip_id, frame in zip(clip_ids, frames):
        weights = [math.exp(score / 0.1) for score in json.loads(texts[answered[clip_id]])]
        mean = sum(weight * row for weight, row in zip(weights, frame))
        expected.append(mean / mean.norm())
    torch.testing.assert_close(fitted.embed_gallery(clip_ids), torch.stack(expected), atol=1e-5, rtol=0)


def test_scores_must_be_there_and_fit_the_frames(here, scored):
    with pytest.raises(NotRun, match="no scores of frames"):
        METHODS["blip-covr-zs"].fit(replace(here, peer="covr")).embed_gallery(["x"])
    with pytest.raises(NotRun, match="c has 2 scores for 3 frames; score it with --frames 2"):
        pool_by_scores(torch.ones(1, 3, 4), [[0.1, 0.2]], ["c"])
    torch.testing.assert_close(pool_by_scores(torch.ones(1, 3, 4), [[]], ["c"]), torch.ones(1, 4))
    with pytest.raises(NotRun, match="give --checkpoint"):
        METHODS["blip-covr-ft"].fit(replace(scored, peer="covr"))
    with pytest.raises(ValueError, match="covr does not test clip-avg-zs; choose one of blip-covr-zs"):
        check_peer("covr", "clip-avg-zs")


def test_as_tf_covr_pooled_targets_are_not_unit_again(here):
    clip_ids = here.benchmark.clips["clip_id"].head(6).tolist()
    as_peer = fit_composed(replace(here, peer="tf-covr"), "blip2", Way("composed")).embed_gallery(clip_ids)
    torch.testing.assert_close(as_peer, EncoderFeatures(here, "blip2").clips(clip_ids))
    assert (as_peer.norm(dim=1) < 0.9999).any()


def test_as_ecde_a_query_is_its_modification_alone(scored):
    queries = pd.DataFrame({"query_clip": scored.benchmark.clips["clip_id"].head(3)})
    queries["text"] = "show with 2.5 twists"
    as_ecde = METHODS["blip-covr-ecde-zs"].fit(replace(scored, peer="ecde")).embed_queries(queries)
    as_covr = METHODS["blip-covr-zs"].fit(replace(scored, peer="covr")).embed_queries(queries)
    torch.testing.assert_close(as_ecde, as_covr)
    spelled = METHODS["blip-covr-zs"].fit(scored).embed_queries(queries)  # two and a half
    assert (spelled - as_covr).abs().max() > 1e-5


def test_every_peer_tests_registered_rows():
    assert {row for peer in PEERS.values() for row in peer.rows} <= METHODS.keys()
