"""Stage 2: what the loop draws, chooses and resumes, and its settings."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from stage2_problem import DIM, SMALL, TEXTS, TRIPLETS, agreement, fit, problem, same, tiny_tower

from tfcovr_utils.encoders.tokens import Tokens
from tfcovr_utils.training import losses
from tfcovr_utils.training.fusion import Fusion, unit
from tfcovr_utils.training.kinds import change
from tfcovr_utils.training.loop import Plan, Run, learning_rate
from tfcovr_utils.training.settings import STAGE2
from tfcovr_utils.training.stage2 import Stage2Data, contrast, fit_fusion

# The loop


def test_it_learns_from_both_inputs():
    settings = replace(SMALL, steps=150, lr=3e-3)
    whole = agreement(fit(settings)[0])
    untrained = agreement(fit(replace(settings, lr=1e-12, steps=1))[0])
    assert whole > untrained + 0.2
    assert agreement(fit(replace(settings, use_video=False))[0]) < whole - 0.2


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
    still = replace(SMALL, steps=1, lr=1e-12)
    assert (
        fit(still)[0].combiner.output_layer.weight - fit(still, seed=1)[0].combiner.output_layer.weight
    ).abs().max() > 0.01


def test_a_row_of_the_curve_is_the_mean_of_its_steps():
    each, every = (fit(replace(SMALL, select_every=n))[1] for n in (1, 8))
    assert every["loss"].tolist() == pytest.approx(
        each["loss"].to_numpy().reshape(3, 8).mean(1).tolist(), rel=1e-5
    )
    assert each["loss"].nunique() == SMALL.steps


def test_an_epoch_takes_each_triplet_once_in_a_new_order(monkeypatch):
    seen, plain = [], losses.info_nce

    def spy(query, target, temperature):
        seen.append(target.detach())
        return plain(query, target, temperature)

    monkeypatch.setattr(losses, "info_nce", spy)
    fit(replace(SMALL, steps=0, epochs=2, batch=20, centre=False))
    all_targets = unit(problem()[2])
    rows = [(batch @ all_targets.T).argmax(1).tolist() for batch in seen]
    per_epoch = TRIPLETS // 20
    assert len(rows) == 2 * per_epoch and {len(batch) for batch in rows} == {20}
    epochs = [[row for batch in part for row in batch] for part in (rows[:per_epoch], rows[per_epoch:])]
    assert [len(set(epoch)) for epoch in epochs] == [20 * per_epoch] * 2 and epochs[0] != epochs[1]


def test_a_batch_larger_than_the_triplets_is_all_of_them():
    _, curve = fit(replace(SMALL, batch=512, steps=0, epochs=3, select_every=0))
    assert curve["step"].tolist() == [1, 2, 3] and curve["epoch"].tolist() == [0, 1, 2]


def loss_of_step(fusion, settings, labels):
    """What the first step's loss must be: all triplets are in its batch, and the order of a batch bears on
    nothing."""
    video, texts, target, rows = problem()
    pair = fusion(video[rows[:, 0]], texts, rows[:, 1]), fusion.embed_target(target)
    return {
        "info_nce": losses.info_nce(*pair, settings.temperature),
        "hn_nce": losses.hn_nce(*pair, settings.temperature, settings.beta),
        "hn_nce_official": losses.hn_nce_official(*pair, settings.temperature, settings.beta),
        "multi_positive": losses.multi_positive_nce(
            *pair, labels[:, None] == labels, settings.temperature, settings.pull_all
        ),
    }


@pytest.mark.parametrize(
    ("loss", "pull_all"),
    [
        ("info_nce", False),
        ("hn_nce", False),
        ("hn_nce_official", False),
        ("multi_positive", False),
        ("multi_positive", True),
    ],
)
def test_the_loss_is_the_one_that_is_named(loss, pull_all):
    settings = replace(
        SMALL,
        loss=loss,
        pull_all=pull_all,
        beta=0.5,
        temperature=0.3,
        dropout=0.0,
        batch=TRIPLETS,
        steps=1,
        lr=1e-12,
    )
    labels = torch.arange(TRIPLETS) % 7
    fusion, curve = fit(settings, target_labels=labels)
    expected = {name: value.item() for name, value in loss_of_step(fusion, settings, labels).items()}
    assert curve["loss"].item() == pytest.approx(expected[loss], rel=1e-4)
    assert all(abs(expected[loss] - value) > 1e-2 for name, value in expected.items() if name != loss)


@pytest.mark.parametrize("loss", ["hn_nce_official", "info_nce"])
def test_captions_take_their_share_of_the_loss(loss):
    """CoVR's si_ti+si_tc is a share of a half; without captions the settings are refused."""
    settings = replace(SMALL, loss=loss, beta=0.5, dropout=0.0, batch=TRIPLETS, steps=1, lr=1e-12)
    captions = unit(torch.randn(TRIPLETS, DIM, generator=torch.Generator().manual_seed(3)))
    video, texts, target, rows = problem()
    for share in (0.5, 0.2):
        given = replace(settings, caption_weight=share)
        fusion, curve = fit_fusion(Stage2Data(*problem(), target_captions=captions), given)
        query_emb = fusion(video[rows[:, 0]], texts, rows[:, 1])
        si_ti = contrast(query_emb, fusion.embed_target(target), settings).item()
        si_tc = contrast(query_emb, captions, settings).item()
        assert curve["loss"].item() == pytest.approx((1 - share) * si_ti + share * si_tc, rel=1e-4)
        assert abs(si_ti - si_tc) > 0.1
        with pytest.raises(ValueError, match=f"caption_weight is {share} without target_captions"):
            fit(given)


def test_the_rate_follows_its_schedule():
    plan = Plan(40, 1.0, None, None, per_epoch=10, schedule="cosine_epoch")
    rates = [learning_rate(plan, step) for step in range(40)]
    official = [0.5 * (1 + math.cos(math.pi * epoch / 4)) for epoch in range(4)]
    assert rates == pytest.approx(np.repeat(official, 10).tolist())
    cosine = [learning_rate(replace(plan, schedule="cosine", warm_up=4), step) for step in range(41)]
    assert (
        cosine[0] == pytest.approx(0.25)
        and cosine[20] == pytest.approx(0.5)
        and cosine[40] == pytest.approx(0)
    )
    assert cosine.index(max(cosine)) == 3
    assert learning_rate(replace(plan, schedule="constant"), 39) == 1.0
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
    with pytest.raises(
        ValueError, match="written by a run with other settings; resume with what it began with"
    ):
        fit(replace(SMALL, lr=1.0), checkpoint=path, resume=True)
    with pytest.raises(ValueError, match="other seed"):
        fit(seed=1, checkpoint=path, resume=True)
    video, texts, target, triplets = problem()
    for data in (
        (video, texts, target, triplets.flip(0)),
        (video.flip(0), texts, target, triplets),
        (video, texts + 1, target, triplets),
        (video, texts, -target, triplets),
    ):
        with pytest.raises(ValueError, match="other data"):
            fit_fusion(Stage2Data(*data), SMALL, run=Run(path, resume=True))
    again = fit(replace(SMALL, lr=1e-4), checkpoint=path)[0]  # without resume it begins again
    assert not same(again, fit()[0])


def test_means_are_of_the_training_rows_alone():
    video, texts, target, triplets = problem()
    unused = torch.full((1, DIM), 1e6)
    more = torch.cat([video, unused]), torch.cat([texts, unused[:, :5]]), torch.cat([target, unused])
    fusion, _ = fit_fusion(Stage2Data(*more, triplets), SMALL)
    for mean, rows in (
        (fusion.video_mean, video[triplets[:, 0].unique()]),
        (fusion.text_mean, texts),
        (fusion.target_mean, target),
    ):
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
        fit_fusion(Stage2Data(video, texts, target, triplets), SMALL)


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
    settings = replace(SMALL, text_tower="trained", steps=4, batch=64)
    fit_fusion(Stage2Data(video, tokens, target, triplets, tower=tower), settings)
    assert len(read) == 1 + 4  # one more to learn its width
    for texts in read[1:]:
        assert sorted(texts) == sorted(tokens.input_ids[:3].tolist())


@pytest.mark.parametrize("train_words", [False, True])
def test_a_trained_tower_changes_but_for_its_words(train_words):
    before, settings = (
        tiny_tower().state_dict(),
        replace(SMALL, text_tower="trained", train_words=train_words),
    )
    fusion, _ = fit_fusion(Stage2Data(*token_problem(), tower=tiny_tower()), settings)
    changed = {key for key, value in fusion.tower.state_dict().items() if not torch.equal(value, before[key])}
    frozen = set() if train_words else {"embeddings.word_embeddings.weight"}
    never = {
        key for key in before if key.endswith("attention.key.bias")
    }  # which softmax cancels but for rounding
    assert changed - never == set(before) - frozen - never


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": torch.ones(3, 5)}, r"\(40, 8\) and target \(3, 5\); pass"),
        ({"triplets": torch.zeros(4, 2, dtype=torch.int64)}, "shape \\(4, 2\\); pass"),
        ({"triplets": torch.zeros(4, 3)}, "torch.float32 of shape"),
        (
            {"triplets": torch.tensor([[0, 0, 0], [0, 6, 0]])},
            r"name rows from \[0, 0, 0\] to \[0, 6, 0\]; there are \(40, 6, 96\)",
        ),
        ({"triplets": torch.tensor([[0, 0, 0], [0, 0, -1]])}, "counted from 0"),
        ({"settings": replace(SMALL, text_tower="trained")}, "'trained' with texts as Tensor and no tower"),
        ({"tower": tiny_tower()}, "'frozen' with texts as Tensor and a tower"),
        ({"settings": replace(SMALL, loss="multi_positive")}, "without target_labels"),
    ],
)
def test_wrong_tensors_say_what_to_pass(change, message):
    names = ("query_video", "texts", "target", "triplets")
    with pytest.raises(ValueError, match=message):
        given = dict(zip(names, problem())) | change
        settings = given.pop("settings", SMALL)
        fit_fusion(Stage2Data(**given), settings)


# Settings


def test_the_papers_settings():
    paper = STAGE2["paper"]
    assert (paper.lr, paper.weight_decay, paper.batch, paper.schedule, paper.temperature) == (
        1e-5,
        0.05,
        512,
        "cosine_epoch",
        0.07,
    )
    assert (paper.projection_dim, paper.hidden_dim, paper.dropout, paper.beta, paper.text_tower) == (
        3072,
        6144,
        0.5,
        0,
        "frozen",
    )
    assert not paper.centre and not paper.unit_video
    size = sum(
        parameter.numel()
        for parameter in Fusion(768, 768, paper.projection_dim, paper.hidden_dim).combiner.parameters()
    )
    assert round(size / 1e6, 1) == 85.0


def test_settings_are_changed_by_name_and_kind():
    changed = change(SMALL, ["lr=1", "centre=False", "loss=hn_nce", "beta=0.5", "steps=7"])
    assert (
        changed == replace(SMALL, lr=1.0, centre=False, loss="hn_nce", beta=0.5, steps=7)
        and type(changed.lr) is float
    )
    for text, message in [
        ("learning_rate=1", "no setting of this stage; choose one of loss"),
        ("temprature=1", "did you mean temperature"),
        ("steps=1.5", "'steps=1.5' is not a value of steps; give a whole number from 0"),
        ("centre=yes", "give True or False, such as centre=False"),
        ("batch", "'batch' is not a value"),
        ("loss=nce", "loss is 'nce'; choose one of info_nce"),
        ("lr=0", "lr is 0.0; give"),
    ]:
        with pytest.raises(ValueError, match=message):
            change(SMALL, [text])


def test_the_same_seed_gives_the_same_weights_on_several_threads():
    """At a size where PyTorch shares the work among threads: sums that they race for would differ in the
    last bits."""
    random = torch.Generator().manual_seed(0)
    video, texts = torch.randn(2000, 128, generator=random), torch.randn(200, 128, generator=random)
    triplets = torch.stack([torch.randint(0, n, (20_000,), generator=random) for n in (2000, 200, 2000)], 1)
    settings = replace(STAGE2["mini"], steps=40, select_every=20)
    data = Stage2Data(video, texts, video, triplets)
    first, again = (fit_fusion(data, settings)[0].state_dict() for _ in range(2))
    assert all(torch.equal(value, again[name]) for name, value in first.items())
