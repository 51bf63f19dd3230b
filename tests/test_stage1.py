"""Stage 1: the loop on features and on pixels, resumed to the same weights, its controls and its report."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from stage1_problem import QUICK, fit, ordered_clips, tiny_aim
from torchvision import tv_tensors

from tfcovr_utils.labels import parse_label
from tfcovr_utils.sources.source import label_row
from tfcovr_utils.training.label_accuracy import (
    accuracies,
    accuracy_by_attribute,
    attribute_classes,
    confusions,
    flatten,
    neighbours,
)
from tfcovr_utils.training.loop import Plan, Run, learning_rate
from tfcovr_utils.training.readers import ClipReader, Readout
from tfcovr_utils.training.stage1 import Stage1, Stage1Data, fit_stage1, parameter_groups, read_clips
from tfcovr_utils.training.stage1_clips import FeatureClips, PixelClips, make_augmentation, may_flip


def top1(model, features, label_idx) -> float:
    logits = read_clips(model, FeatureClips(features), np.arange(120, 160))[1]
    return accuracies(logits, label_idx[120:])["top-1"]


@pytest.mark.slow
def test_only_a_readout_that_knows_order_reads_order():
    features, label_idx = ordered_clips()
    score = {
        kind: top1(fit(kind, features, label_idx, replace(QUICK, epochs=60))[0], features, label_idx)
        for kind in ("mean", "mlp", "set", "ordered")
    }
    assert score["ordered"] > 95
    assert max(score[kind] for kind in ("mean", "mlp", "set")) < 60, score


def test_shuffled_frames_take_the_order_away():
    features, label_idx = ordered_clips()
    model, _ = fit("ordered", features, label_idx, replace(QUICK, epochs=20, shuffle_frames=True))
    assert top1(model, features, label_idx) < 60


def test_the_same_seed_gives_the_same_curve_and_another_another():
    features, label_idx = ordered_clips()
    (_, first), (_, again), (_, other) = (
        fit("ordered", features, label_idx, replace(QUICK, epochs=2), seed) for seed in (0, 0, 1)
    )
    assert first["loss"].tolist() == again["loss"].tolist() != other["loss"].tolist()


@pytest.mark.parametrize("epochs_before", [1, 3])
def test_a_run_goes_on_to_the_same_weights(tmp_path, epochs_before):
    features, label_idx = ordered_clips()
    settings = replace(QUICK, save_every_s=0.0)
    whole, curve = fit("ordered", features, label_idx, settings, factors=True)

    class Stop(Exception):
        pass

    class Dying(FeatureClips):
        looks = 0

        def batch(self, rows, rng=None):
            self.looks += rng is not None
            if self.looks > 7 * epochs_before + 3:  # in the middle of a later epoch
                raise Stop
            return super().batch(rows, rng)

    dying = Dying(features)
    with pytest.raises(Stop):
        torch.manual_seed(5)
        _fit_on(dying, features, label_idx, settings, tmp_path / "checkpoint.pt", resume=False)
    torch.manual_seed(77)
    model, resumed = _fit_on(
        FeatureClips(features), features, label_idx, settings, tmp_path / "checkpoint.pt", resume=True
    )
    assert resumed["loss"].tolist() == curve["loss"].tolist()
    clips = resumed["clips_per_s"] * resumed["seconds"]
    assert clips.tolist() == pytest.approx(
        [7 * settings.batch] * len(clips)
    )  # of an epoch that was cut off the first part counts too
    for name, value in whole.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name


def _fit_on(clips, features, label_idx, settings, checkpoint, resume):
    torch.manual_seed(5)
    reader = ClipReader(
        Readout("ordered", features.shape[2], num_frames=3, width=16, heads=2, layers=1, dropout=0.0),
        list("abcd"),
        {"parity": ["even", "odd"]},
        dropout=0.0,
    )
    reader.readout.set_statistics(features)
    model = Stage1(reader)
    data = Stage1Data(clips, label_idx, np.arange(120), np.arange(120, 160), {"parity": label_idx % 2})
    return model, fit_stage1(model, data, settings, run=Run(checkpoint, resume))


def test_another_run_s_checkpoint_is_refused(tmp_path):
    features, label_idx = ordered_clips()
    fit("mean", features, label_idx, replace(QUICK, epochs=1), checkpoint=tmp_path / "c.pt")
    with pytest.raises(ValueError, match="other settings"):
        fit(
            "mean",
            features,
            label_idx,
            replace(QUICK, epochs=1, lr=1.0),
            checkpoint=tmp_path / "c.pt",
            resume=True,
        )


def test_the_tower_stays_frozen_and_the_adapters_learn():
    rng = np.random.default_rng(0)
    label_idx = np.arange(48) % 2
    frames = rng.integers(0, 80, (48, 3, 16, 16, 3)).astype(np.uint8)
    frames[label_idx == 1, 1] += 120  # a bright frame in the middle
    model = Stage1(ClipReader(Readout("mean", 16, num_frames=3), ["dark", "bright"], dropout=0.0), tiny_aim())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    clips = PixelClips(frames, (0.5,) * 3, (0.25,) * 3, augment="crop")
    data = Stage1Data(clips, label_idx, np.arange(32), np.arange(32, 48))
    history = fit_stage1(model, data, replace(QUICK, epochs=8, batch=8, lr=1e-2))
    assert history["val_top1"].max() == 1.0
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved and all(("tower" not in name) or "post_layernorm" in name for name in moved), moved
    assert any("MLP_Adapter.D_fc2" in name for name in moved)


def test_groups_hold_each_trained_parameter_once():
    model = Stage1(
        ClipReader(Readout("ordered", 16, num_frames=3, width=16, heads=2), ["a", "b"]), tiny_aim()
    )
    decayed, spared = parameter_groups(model, 0.05)
    trained = {id(p) for p in model.parameters() if p.requires_grad}
    assert {id(p) for group in (decayed, spared) for p in group["params"]} == trained
    assert len(decayed["params"]) + len(spared["params"]) == len(trained)
    assert all(p.ndim > 1 for p in decayed["params"]) and id(model.backbone.temporal_embedding) in {
        id(p) for p in spared["params"]
    }


def test_the_rate_warms_up_and_ends_near_zero():
    plan = Plan(100, 1.0, None, None, schedule="cosine_after_warm_up", warm_up=10)
    rates = [learning_rate(plan, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == rates[10] == 1.0 and rates[-1] < 1e-3
    assert sorted(rates[:11]) == rates[:11] and sorted(rates[10:], reverse=True) == rates[10:]


def test_one_draw_augments_all_frames_of_a_clip_alike():
    frame = np.random.default_rng(0).integers(0, 255, (1, 1, 16, 16, 3)).astype(np.uint8)
    clips = PixelClips(np.repeat(np.repeat(frame, 3, 1), 4, 0), (0,) * 3, (1,) * 3, augment="crop", flip=True)
    seen = clips.batch(np.arange(4), np.random.default_rng(1))
    assert torch.equal(seen[:, 0], seen[:, 1]) and torch.equal(seen[:, 0], seen[:, 2])
    assert len({clip.numpy().tobytes() for clip in seen}) > 1
    assert torch.equal(seen, clips.batch(np.arange(4), np.random.default_rng(1)))
    assert torch.equal(
        clips.batch(np.arange(4))[0], clips.batch(np.arange(4))[3]
    )  # untouched when not training


def test_no_flip_where_a_label_names_a_side():
    assert may_flip(["(FX) salto backward tucked", "Forward, 2.5 Soms.Pike, Entry"])
    assert not may_flip(["turn to the left"])
    mirrored = make_augmentation("crop", 8, flip=True)
    plain = make_augmentation("crop", 8, flip=False)
    assert len(mirrored.transforms) == len(plain.transforms) + 1
    assert plain(tv_tensors.Video(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))).shape == (2, 3, 8, 8)


TEXTS = [
    "(FX) salto backward tucked",
    "(FX) salto backward piked",
    "(FX) double salto backward tucked",
    "(BB) salto backward tucked",
]
LABELS = pd.DataFrame(
    [label_row(str(i), text, "mini-gym", parse_label(text), "salto") for i, text in enumerate(TEXTS)]
)


def test_report_counts_what_is_right():
    label_idx = np.array([0, 0, 1, 2, 3, 3])
    guess = torch.tensor([0, 1, 1, 0, 3, 0])
    logits = torch.nn.functional.one_hot(guess, 4).float()
    scores = accuracies(logits, label_idx)
    assert scores["top-1"] == pytest.approx(50) and scores["top-5"] == 100 and scores["clips"] == 6
    assert scores["mean class"] == pytest.approx(100 * np.mean([0.5, 1, 0, 0.5]))
    by = accuracy_by_attribute(logits, label_idx, LABELS).set_index("attribute")
    assert by.loc["shape", "accuracy"] == pytest.approx(100 * 5 / 6)
    assert by.loc["saltos", "accuracy"] == pytest.approx(100 * 5 / 6)
    assert by.loc["apparatus", "accuracy"] == pytest.approx(100 * 5 / 6)
    assert set(by.index) == {"apparatus", "shape", "saltos"}
    table = confusions(logits, label_idx, LABELS)
    assert set(table["differs in"]) == {"shape", "saltos", "apparatus"} and table["clips"].sum() == 3
    assert table.set_index("true").loc[
        "(FX) salto backward piked".replace("piked", "tucked"), "share"
    ] == pytest.approx(50)
    values, classes = attribute_classes(LABELS)
    assert [values["shape"][i] for i in classes["shape"]] == ["tucked", "piked", "tucked", "tucked"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label_idx": np.array([9] * 160)}, "class 9"),
        ({"train": np.arange(1)}, "1 training and 40 validation clips"),
        ({"factor_idx": {"colour": np.zeros(160, int)}}, "colour"),
    ],
)
def test_what_cannot_be_trained_is_refused(change, message):
    features, label_idx = ordered_clips()
    given = {"label_idx": label_idx, "train": np.arange(120), "factor_idx": None} | change
    model = Stage1(ClipReader(Readout("mean", 6, num_frames=3), list("abcd")))
    with pytest.raises(ValueError, match=message):
        rows = given["train"], np.arange(120, 160)
        data = Stage1Data(FeatureClips(features), given["label_idx"], *rows, given["factor_idx"])
        fit_stage1(model, data, QUICK)


def test_a_small_folder_is_one_batch():
    features, label_idx = ordered_clips()
    model = Stage1(ClipReader(Readout("mean", 6, num_frames=3), list("abcd")))
    data = Stage1Data(FeatureClips(features), label_idx, np.arange(30), np.arange(120, 160))
    curve = fit_stage1(model, data, replace(QUICK, batch=500))
    assert curve["step"].iloc[-1] == QUICK.epochs  # one step an epoch


def test_a_reader_is_the_same_after_a_file(tmp_path):
    features, label_idx = ordered_clips()
    model, _ = fit("ordered", features, label_idx, replace(QUICK, epochs=1))
    model.reader.save(tmp_path)
    read = ClipReader.load(tmp_path)
    with torch.no_grad():
        assert torch.equal(model.reader(features)[0], read(features)[0])
    longer = torch.cat([features, features], 1)  # another number of frames: positions are interpolated
    assert read(longer)[0].shape == (160, 16)
    with pytest.raises(FileNotFoundError, match="no reader.json of a reader; give the folder"):
        ClipReader.load(tmp_path / "nothing")


def test_the_nearest_clip_is_found_among_others_and_its_attributes_compared():
    features = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0.9, 0.1], [0, 0.8], [-0.2, -1]])
    label_idx = np.array([0, 1, 2, 0, 3, 2])  # the last one's nearest is row 2 or 1 by angle
    shared = neighbours(features, np.array([3, 4]), np.array([0, 1, 2]), label_idx, LABELS)
    assert shared["label"] == 50  # row 3 finds row 0, row 4 finds row 1, a pike on the floor
    assert shared["apparatus"] == 50 and shared["shape"] == 50 and shared["saltos"] == 100


def test_the_plane_keeps_the_widest_spread():
    rng = np.random.default_rng(0)
    wide = torch.from_numpy(rng.standard_normal((200, 5)) * [9, 0.1, 4, 0.1, 0.1])
    plane = flatten(wide)
    assert (
        abs(np.corrcoef(plane["x"], wide[:, 0])[0, 1]) > 0.99
        and abs(np.corrcoef(plane["y"], wide[:, 2])[0, 1]) > 0.99
    )
