"""Both stages at once: what is learned from what, the text's part in the pooling, and the rows on a small
benchmark."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_benchmark import small_setting

from tfcovr_utils.evaluation.scoring import evaluate
from tfcovr_utils.methods import METHODS, features
from tfcovr_utils.profiles import PROFILES
from tfcovr_utils.training import recipes
from tfcovr_utils.training.losses import info_nce
from tfcovr_utils.training.recipes import RECIPES, embed_frames
from tfcovr_utils.training.settings import SINGLE_STAGE, SingleStageSettings, Stage1Settings
from tfcovr_utils.training.single_stage import SingleStage, fit_single_stage, loss_of
from tfcovr_utils.training.teaching import TrainingClips, learn

QUICK = SingleStageSettings(
    steps=60, batch=32, lr=3e-3, projection_dim=16, hidden_dim=32, select_every=20, label_smoothing=0.0
)
SINGLE_ROWS = ("tfcovr-single-stage", "tfcovr-text-pooling")
ROWS = (*SINGLE_ROWS, "tfcovr-ordered-posteriors", "tfcovr-ordered-16", "tfcovr-two-rates")
ORDERS = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (2, 1, 0)]


def ordered_triplets(n: int = 80) -> dict:
    """Clips whose label is the order of the same three frames; text k asks for label k, whatever the query
    clip."""
    rng = np.random.default_rng(0)
    label_idx = np.arange(n) % len(ORDERS)
    frames = np.stack(
        [3 * np.eye(3, 6)[list(ORDERS[label])] for label in label_idx]
    ) + 0.1 * rng.standard_normal((n, 3, 6))
    target = np.arange(n)
    triplets = np.stack([rng.permutation(n), label_idx[target], target], 1)
    return {
        "features": torch.from_numpy(frames.astype(np.float32)),
        "texts": torch.eye(len(ORDERS), 5),
        "triplets": torch.from_numpy(triplets),
        "label_idx": torch.from_numpy(label_idx),
        "labels": list("abcd"),
    }


def gradients(settings: SingleStageSettings, **losses) -> dict[str, float]:
    """How strongly one batch moves each part of a model; `losses` are settings that change the loss."""
    data = ordered_triplets()
    model, _ = fit_single_stage(**data, settings=replace(settings, steps=1))
    if model.pooling == "text":
        torch.nn.init.normal_(model.ask.weight)
    model.zero_grad()
    loss_of(
        model,
        data["features"],
        data["texts"],
        data["triplets"][:16],
        data["label_idx"],
        replace(settings, **losses),
    ).backward()
    parts = {"reader": model.reader.readout, "labels": model.reader.heads, "fusion": model.fusion}
    if model.pooling == "text":
        parts["ask"] = model.ask
    return {
        name: sum(float(p.grad.abs().sum()) for p in part.parameters() if p.grad is not None)
        for name, part in parts.items()
    }


@pytest.mark.parametrize("pooling", ["mean", "text"])
def test_one_loss_reaches_the_labels_the_fusion_and_the_reader_below(pooling):
    settings = replace(QUICK, pooling=pooling)
    assert min(gradients(settings).values()) > 0
    contrast_alone = gradients(settings, label_weight=0.0)
    assert contrast_alone.pop("labels") == 0 and min(contrast_alone.values()) > 0


@pytest.mark.slow
def test_both_parts_of_the_loss_fall_and_order_is_what_they_read():
    """Nothing but the order of the frames tells these labels apart."""
    data = ordered_triplets()
    model, curve = fit_single_stage(**data, settings=replace(QUICK, steps=150))
    assert curve["loss"].iloc[-1] < curve["loss"].iloc[0]
    with torch.no_grad():
        seen = model.reader(data["features"])[1]["label"].argmax(1)
        turned = model.reader(data["features"].flip(1))[1]["label"].argmax(1)
        ranked = model(data["features"][:4], data["texts"]) @ model.embed_target(data["features"]).T
    assert (seen == data["label_idx"]).float().mean() > 0.95 and (
        turned == data["label_idx"]
    ).float().mean() < 0.6
    assert data["label_idx"][ranked.argmax(1)].tolist() == [0, 1, 2, 3]


def test_the_text_says_which_frames_of_a_query_count():
    data = ordered_triplets()
    model, _ = fit_single_stage(**data, settings=replace(QUICK, pooling="text"))
    plain, _ = fit_single_stage(**data, settings=QUICK)
    begun, _ = fit_single_stage(**data, settings=replace(QUICK, pooling="text", steps=1, lr=1e-12))
    frames = model.reader.readout.read_frames(data["features"][:1]).expand(4, -1, -1)
    with torch.no_grad():
        pooled, mean = model.pool(frames, data["texts"]), plain.pool(frames, data["texts"])
        assert (pooled - pooled[0]).abs().amax(1)[1:].min() > 1e-3  # one clip, four texts
        assert torch.equal(mean, frames.mean(1))
        torch.testing.assert_close(begun.pool(frames, data["texts"]), frames.mean(1))


@pytest.mark.parametrize("pooling", ["mean", "text"])
def test_a_batch_that_reads_each_clip_once_loses_nothing(pooling):
    data = ordered_triplets(12)
    model, _ = fit_single_stage(**data, settings=replace(QUICK, pooling=pooling, steps=20))
    features, texts, rows = data["features"], data["texts"], data["triplets"]
    query_emb, target_emb = (
        model(features[rows[:, 0]], texts, rows[:, 1]),
        model.embed_target(features[rows[:, 2]]),
    )
    settings = replace(QUICK, label_weight=0.0, multi_positive=False)
    torch.testing.assert_close(
        loss_of(model, features, texts, rows, data["label_idx"], settings), info_nce(query_emb, target_emb)
    )


def test_equal_labels_are_spared_as_negatives_where_it_is_asked():
    data = ordered_triplets()
    model, _ = fit_single_stage(**data, settings=replace(QUICK, steps=1))
    rows = data["triplets"][:16]
    spared, all_others = (
        loss_of(
            model,
            data["features"],
            data["texts"],
            rows,
            data["label_idx"],
            replace(QUICK, multi_positive=choice),
        )
        for choice in (True, False)
    )
    assert spared < all_others


@pytest.mark.slow
def test_the_best_step_is_kept_and_the_same_seed_gives_the_same_curve():
    data, scores = ordered_triplets(), iter([0.2, 0.9, 0.9])
    states = []

    def validate(model):
        states.append({name: value.clone() for name, value in model.state_dict().items()})
        assert not model.training
        return next(scores)

    model, curve = fit_single_stage(**data, settings=QUICK, validate=validate)
    assert curve["step"].tolist() == [20, 40, 60] and all(
        torch.equal(value, states[1][name]) for name, value in model.state_dict().items()
    )
    again, other = (fit_single_stage(**data, settings=QUICK, seed=seed)[1] for seed in (0, 1))
    assert again["loss"].tolist() == curve["loss"].tolist() != other["loss"].tolist()


@pytest.mark.parametrize("pooling", ["mean", "text"])
def test_a_model_is_the_same_after_a_file(tmp_path, pooling):
    data = ordered_triplets()
    model, _ = fit_single_stage(**data, settings=replace(QUICK, steps=5, pooling=pooling))
    model.save_pretrained(tmp_path)
    read = SingleStage.load(tmp_path)
    with torch.no_grad():
        assert torch.equal(
            model(data["features"][:4], data["texts"]), read(data["features"][:4], data["texts"])
        )
        assert torch.equal(model.embed_target(data["features"]), read.embed_target(data["features"]))
    model.fusion.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"describes no single stage \(KeyError: 'readout'\)"):
        SingleStage.load(tmp_path)


def test_what_cannot_be_trained_is_refused():
    data = ordered_triplets()
    with pytest.raises(ValueError, match="pooling is 'last'; choose one of mean, text"):
        fit_single_stage(**data, settings=replace(QUICK, pooling="last"))
    data["label_idx"][3] = -1
    with pytest.raises(ValueError, match="1 of 80 clips have none of 4 labels"):
        fit_single_stage(**data, settings=QUICK)


# ---- rows


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    return small_setting(
        tmp_path_factory,
        stage1=Stage1Settings(epochs=2, batch=16, lr=3e-3),
        single_stage=replace(QUICK, steps=10),
    )


@pytest.fixture(scope="module")
def first(here):
    """The clips' embeddings and the table of each row, fitted once."""
    fitted = {name: METHODS[name].fit(replace(here, folder=here.folder.with_name(name))) for name in ROWS}
    ids = here.benchmark.clips["clip_id"].tolist()
    return {name: (row.embed_gallery(ids), evaluate(row, here.benchmark)) for name, row in fitted.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_a_row_runs_by_its_seed_and_does_not_see_test(here, first, name):
    embedded, table = first[name]
    assert (
        table["ap@50"].notna().all()
        and (table["coverage"] == 1).all()
        and METHODS[name].group == "beyond the paper"
    )
    clips, ids = here.benchmark.clips, here.benchmark.clips["clip_id"].tolist()
    swapped = clips.assign(
        label_id=np.where(clips["split"] == "test", clips["label_id"].iloc[0], clips["label_id"])
    )
    blind = replace(here, folder=None, benchmark=replace(here.benchmark, clips=swapped))
    again, other = (
        METHODS[name].fit(replace(blind, seed=seed)).embed_gallery(ids) for seed in (here.seed, 1)
    )
    assert torch.equal(again, embedded) and not torch.allclose(other, embedded, atol=1e-3)


@pytest.mark.parametrize("name", SINGLE_ROWS)
def test_a_row_s_model_is_kept_and_taken_again(here, first, name):
    kept = here.folder.with_name(name)
    assert json.loads((kept / "config.json").read_text())["pooling"] == (
        "text" if name == "tfcovr-text-pooling" else "mean"
    )
    taken = METHODS[name].fit(replace(here, checkpoint=kept, seed=9))
    assert torch.equal(taken.embed_gallery(here.benchmark.clips["clip_id"].tolist()), first[name][0])
    assert evaluate(taken, here.benchmark)["retrieved"].tolist() == first[name][1]["retrieved"].tolist()


def test_posteriors_stand_beside_the_clips(here, first):
    ids = here.benchmark.clips["clip_id"].tolist()
    plain, both = (
        features.LearnedFeatures(here, "frozen-ordered", posteriors=choice).clips(ids)
        for choice in (False, True)
    )
    width = plain.shape[1]
    torch.testing.assert_close(both[:, :width], torch.nn.functional.normalize(plain))
    torch.testing.assert_close(
        both[:, width:].norm(dim=1), torch.full((len(ids),), features.POSTERIOR_WEIGHT)
    )
    clips = here.benchmark, here.clips_dir, here.profile, here.weights["clip"], here.store_dir
    learned = learn("frozen-ordered", TrainingClips(*clips), here.seed, settings=here.stage1)
    guess = learned.logits(features.AimFeatures(here).frames(ids)).argmax(1)
    assert torch.equal(both[:, width:].argmax(1), guess) and both.shape[1] == width + len(
        here.benchmark.labels
    )


def test_recipes_take_more_frames_and_two_rates(here):
    ids = here.benchmark.clips["clip_id"].tolist()
    plain, more, two = (
        features.LearnedFeatures(here, recipe)
        for recipe in ("frozen-ordered", "frozen-ordered-16", "frozen-two-rates")
    )
    frames = two.frames(ids)
    assert more.frames(ids).shape[1] == 7 and frames.shape[1] == 10
    assert torch.equal(frames[:, :5], plain.frames(ids)) and not torch.equal(frames[:, 5:], frames[:, :5])
    assert [of.learned.model.reader.readout.positions.shape[1] for of in (plain, more, two)] == [5, 7, 10]


def test_a_clip_that_one_rate_cannot_read_is_missing(here, monkeypatch):
    def halting(encoder, clips, *given, policy, **options):
        embedded = recipes_embed(encoder, clips, *given, policy=policy, **options)
        if policy != "centre-half":
            return embedded
        lost = embedded.clip_ids[1]
        return replace(
            embedded,
            clip_ids=[i for i in embedded.clip_ids if i != lost],
            missing={lost: "no frame"},
            values=embedded.values[[i != lost for i in embedded.clip_ids]],
        )

    plain = features.LearnedFeatures(here, "frozen-two-rates")
    rows = here.benchmark.clips.iloc[:4]
    whole = plain.embed(rows)
    recipes_embed = recipes.embed_clips
    monkeypatch.setattr(recipes, "embed_clips", halting)
    left = embed_frames(
        RECIPES["frozen-two-rates"],
        plain.encoder,
        rows,
        here.clips_dir,
        here.profile,
        store_dir=here.store_dir,
        progress=False,
    )
    assert left.clip_ids == [whole.clip_ids[place] for place in (0, 2, 3)] and list(left.missing) == [
        whole.clip_ids[1]
    ]
    assert torch.equal(left.values, whole.values[[0, 2, 3]])


def test_every_profile_has_its_settings():
    assert set(SINGLE_STAGE) == set(PROFILES)
