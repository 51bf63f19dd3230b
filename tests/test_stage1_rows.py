"""Methods on stage 1: recipes with a small CLIP, kept encoders, given AIM weights, shuffled frames."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from command import command
from safetensors.torch import load_file
from small_benchmark import small_setting

from tfcovr_utils.encoders import load_encoder
from tfcovr_utils.encoders.aim import save_pretrained
from tfcovr_utils.encoders.aim_model import Aim
from tfcovr_utils.evaluation.scoring import evaluate
from tfcovr_utils.methods import METHODS, NotRun, features
from tfcovr_utils.profiles import PROFILES
from tfcovr_utils.sources.keypoint_files import write_poses
from tfcovr_utils.training import loop, teaching
from tfcovr_utils.training.recipes import RECIPES
from tfcovr_utils.training.settings import STAGE1, STAGE1_READERS, Stage1Settings
from tfcovr_utils.training.teaching import TrainingClips, learn

STAGE_1 = Stage1Settings(epochs=2, batch=16, lr=3e-3, augment="none", adapter_ratio=0.25, drop_path=0.0)
TAUGHT = [name for name in METHODS if name.startswith(("tfcovr-", "labels-"))]


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    setting, rng = small_setting(tmp_path_factory, stage1=STAGE_1), np.random.default_rng(0)
    file = setting.folder.parent / "keypoints.pkl"
    write_poses(
        {clip: rng.uniform(5, 60, (9, 17, 3)) for clip in setting.benchmark.clips["clip_id"]}, file, 64
    )
    return replace(setting, embeddings={"pose": file})


def teach(here, name, folder=None, settings=STAGE_1, clips_dir=None, benchmark=None, seed=0):
    clips = benchmark or here.benchmark, clips_dir or here.clips_dir
    given = TrainingClips(*clips, here.profile, here.weights["clip"], here.store_dir)
    return learn(name, given, seed, folder, settings)


@pytest.mark.slow
@pytest.mark.parametrize("name", TAUGHT)
def test_a_row_runs_and_its_encoder_is_kept(here, name, monkeypatch):
    first = evaluate(METHODS[name].fit(here), here.benchmark)
    assert first["ap@50"].notna().all() and (first["coverage"] == 1).all()
    monkeypatch.setattr(teaching, "fit_stage1", lambda *_, **__: pytest.fail("stage 1 was trained again"))
    again = evaluate(METHODS[name].fit(here), here.benchmark)["retrieved"].tolist()
    is_equal = again == first["retrieved"].tolist()  # pytest would compare these long lists for an hour
    assert is_equal


def test_other_settings_teach_anew(here, monkeypatch):
    taught = []
    monkeypatch.setattr(
        teaching, "fit_stage1", lambda *_, **__: taught.append(1) or pd.DataFrame({"seconds": [0.0]})
    )
    folder = here.folder.parent / "stage1" / "frozen-mlp"
    teach(here, "frozen-mlp", folder)
    before = len(taught)
    teach(here, "frozen-mlp", folder, replace(STAGE_1, lr=1e-4))
    assert len(taught) == before + 1


def test_other_clips_teach_anew_and_other_code_is_told(here, tmp_path, monkeypatch):
    clips = shutil.copytree(here.clips_dir, tmp_path / "clips")
    given = {"folder": tmp_path / "aim", "settings": replace(STAGE_1, epochs=1), "clips_dir": clips}
    first = teach(here, "aim", **given)
    with (
        monkeypatch.context() as patch,
        pytest.warns(UserWarning, match="before the code changed, and is used as it is"),
    ):
        patch.setattr(teaching, "hash_rooms", lambda *rooms: "changed")
        patch.setattr(teaching, "fit_stage1", lambda *_, **__: pytest.fail("stage 1 was trained again"))
        assert teach(here, "aim", **given).facts == first.facts
    one, other = here.benchmark.clips.loc[here.benchmark.clips["split"] != "test", "path"].iloc[[0, -1]]
    shutil.copyfile(clips / other, clips / one)
    with pytest.warns(UserWarning, match="other files; it is trained anew"):
        again = teach(here, "aim", **given)
    assert (
        again.facts["made_of"]["files"] != first.facts["made_of"]["files"]
        and again.curve["loss"].tolist() != first.curve["loss"].tolist()
    )


def test_a_checkpoint_of_other_clips_is_not_gone_on_from(here, tmp_path, monkeypatch):
    clips = shutil.copytree(here.clips_dir, tmp_path / "clips")
    given = {"folder": tmp_path / "aim", "settings": replace(STAGE_1, save_every_s=0.0), "clips_dir": clips}
    real = loop.save_checkpoint

    def save_and_stop(*state):
        real(*state)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "save_checkpoint", save_and_stop)
        teach(here, "aim", **given)
    one, other = here.benchmark.clips.loc[here.benchmark.clips["split"] != "test", "path"].iloc[[0, -1]]
    shutil.copyfile(clips / other, clips / one)
    with pytest.raises(
        ValueError, match="written by a run with other files; resume with what it began with, or remove it"
    ):
        teach(here, "aim", **given)


def test_a_broken_clip_is_counted_and_the_others_are_learned_from(here, tmp_path):
    clips = shutil.copytree(here.clips_dir, tmp_path / "clips")
    table = here.benchmark.clips
    lost = table[table["split"] == "train"].iloc[3]
    (clips / lost["path"]).write_bytes(b"no video")
    brief = replace(STAGE_1, epochs=1)
    rest = replace(here.benchmark, clips=table[table["clip_id"] != lost["clip_id"]])
    broken = teach(here, "aim", settings=brief, clips_dir=clips)
    without = teach(here, "aim", settings=brief, benchmark=rest)
    wanted = (table["split"] != "test").sum()
    assert broken.facts["coverage"] == (wanted - 1) / wanted and without.facts["coverage"] == 1
    assert broken.curve["loss"].tolist() == without.curve["loss"].tolist()


def test_a_checkpoint_is_read_with_the_encoder_beside_it(here, tmp_path, monkeypatch):
    trained = METHODS["tfcovr-base"].fit(here)
    ids = here.benchmark.clips["clip_id"].tolist()
    monkeypatch.setattr(features, "learn", lambda *_, **__: pytest.fail("stage 1 was trained"))
    elsewhere = replace(here, folder=tmp_path / "other" / "tfcovr-base", checkpoint=here.folder, seed=5)
    assert torch.equal(METHODS["tfcovr-base"].fit(elsewhere).embed_gallery(ids), trained.embed_gallery(ids))
    shutil.copytree(here.folder, tmp_path / "alone")
    with pytest.raises(NotRun, match="keep the two folders beside each other"):
        METHODS["tfcovr-base"].fit(replace(elsewhere, checkpoint=tmp_path / "alone"))
    record = here.folder.parent / "stage1" / "aim" / "recipe.json"
    facts = json.loads(record.read_text())
    shutil.copytree(record.parent, tmp_path / "stage1" / "aim")
    facts["made_of"]["clip"]["weights"] = "of another"
    (tmp_path / "stage1" / "aim" / "recipe.json").write_text(json.dumps(facts))
    with pytest.raises(ValueError, match="was taught on another CLIP"):
        METHODS["tfcovr-base"].fit(replace(elsewhere, checkpoint=tmp_path / "alone"))


def test_a_folder_that_held_adapters_gives_the_reader_that_was_trained_last(here, tmp_path):
    given = {"folder": tmp_path, "settings": replace(STAGE_1, epochs=1)}
    teach(here, "aim", **given)
    with pytest.warns(UserWarning, match="trained anew"):
        teach(here, "frozen-ordered", **given)
    assert teach(here, "frozen-ordered", **given).model.backbone is None


def test_adapters_begin_where_the_reader_ended(here, monkeypatch):
    monkeypatch.setitem(RECIPES, "aim-ordered", replace(RECIPES["aim-ordered"], changes=()))
    folder = here.folder.parent / "chained"
    still = replace(STAGE_1, epochs=1, lr=1e-12)
    one = teach(here, "aim-ordered", folder / "aim-ordered", still)
    below = teach(here, "frozen-ordered", folder / "aim-ordered" / "start", None)
    assert one.facts["made_of"]["start"] == "frozen-ordered"
    torch.testing.assert_close(
        one.model.reader.readout.enter.weight, below.model.reader.readout.enter.weight, atol=1e-5, rtol=0
    )


def test_stage_1_alone_does_not_see_test(here):
    """Other labels on test clips change nothing."""
    clips = here.benchmark.clips
    swapped = clips.assign(
        label_id=np.where(clips["split"] == "test", clips["label_id"].iloc[0], clips["label_id"])
    )
    one, other = (
        teach(here, "frozen-ordered", benchmark=replace(here.benchmark, clips=table), seed=3)
        for table in (clips, swapped)
    )
    assert all(
        torch.equal(a, b) for a, b in zip(one.model.reader.parameters(), other.model.reader.parameters())
    )


def test_given_aim_weights_take_the_place_of_training(here, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "learn", lambda *_, **__: pytest.fail("stage 1 was trained"))
    torch.manual_seed(1)
    clip = load_encoder("clip", here.weights["clip"])
    aim = Aim(clip.model.vision_model, num_frames=5, mean=clip.mean, std=clip.std)
    for block in aim.adapters:
        torch.nn.init.normal_(block.T_Adapter.D_fc2.weight, std=0.5)
    save_pretrained(aim, tmp_path)
    given = replace(here, weights=here.weights | {"aim": str(tmp_path)})
    for name in ("tfcovr-stage2-only", "tfcovr-base-shuffled-test", "tfcovr-base"):
        row = METHODS[name].fit(given)
        assert row.facts["encoder"]["encoder"] == ("shuffled" if "shuffled" in name else "aim")
    for name in (
        "tfcovr-ordered",
        "tfcovr-base-shuffled",
        "tfcovr-ordered-posteriors",
    ):  # of another stage 1, for which these weights do not stand
        with pytest.raises(NotRun, match="evaluate it without them"):
            METHODS[name].fit(given)
    frozen = METHODS["tfcovr-stage2-only"].fit(here)
    ids = here.benchmark.clips["clip_id"].tolist()
    assert not torch.allclose(row.embed_gallery(ids), frozen.embed_gallery(ids), atol=1e-3)


def test_order_matters_where_it_is_read_and_nowhere_else(here):
    ids = here.benchmark.clips["clip_id"].tolist()
    plain = features.AimFeatures(here)
    shuffled = features.AimFeatures(here)
    shuffled.encoder = features.ShuffledFrames(plain.encoder)
    assert not torch.equal(plain.frames(ids), shuffled.frames(ids))
    torch.testing.assert_close(plain.clips(ids), shuffled.clips(ids), atol=1e-5, rtol=0)
    moved = {}
    for recipe in ("frozen-mlp", "frozen-set", "frozen-ordered"):
        pair = [
            features.LearnedFeatures(here, recipe, shuffled=shuffle).clips(ids) for shuffle in (False, True)
        ]
        moved[recipe] = (pair[0] - pair[1]).abs().max().item()
    assert moved["frozen-mlp"] < 1e-4 and moved["frozen-set"] < 1e-4 < 1e-2 < moved["frozen-ordered"], moved


def test_a_kept_recipe_says_what_made_it(here):
    METHODS["tfcovr-base"].fit(here)
    facts = json.loads((here.folder.parent / "stage1" / "aim" / "recipe.json").read_text())
    assert (
        facts["made_of"]["seed"] == here.seed
        and facts["made_of"]["settings"]["lr"] == STAGE_1.lr
        and facts["seconds"] > 0
    )
    assert not (here.folder.parent / "stage1" / "aim" / "checkpoint.pt").exists()


@pytest.mark.slow
def test_stage_1_killed_goes_on_to_the_same_weights(here, tmp_path):
    """The command, killed by SIGKILL while AIM's adapters train, and given again with --resume."""
    here.benchmark.save(tmp_path / "tables")
    command = [
        sys.executable,
        "-m",
        "tfcovr_utils",
        "teach",
        "--benchmark",
        str(tmp_path / "tables"),
        "--clips",
        str(here.clips_dir),
        "--weights",
        here.weights["clip"],
        "--profile",
        "smoke",
        "--resume",
        "--set",
        "epochs=40",
        "batch=16",
        "save_every_s=0.0",
        "augment=crop",
        "drop_path=0.1",
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(
        [*command, "--out", str(tmp_path / "whole")], check=True, capture_output=True, env=environment
    )
    killed = subprocess.Popen(
        [*command, "--out", str(tmp_path / "killed")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    while not (tmp_path / "killed" / "checkpoint.pt").exists():
        assert killed.poll() is None
        time.sleep(0.01)
    time.sleep(0.3)
    killed.kill()
    assert killed.wait() == -signal.SIGKILL and not (tmp_path / "killed" / "recipe.json").exists()
    subprocess.run(
        [*command, "--out", str(tmp_path / "killed")], check=True, capture_output=True, env=environment
    )
    whole, resumed = (
        load_file(tmp_path / name / "aim" / "model.safetensors") for name in ("whole", "killed")
    )
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
    curve = pd.read_csv(tmp_path / "killed" / "curve.csv")
    assert curve["loss"].tolist() == pd.read_csv(tmp_path / "whole" / "curve.csv")["loss"].tolist()


def test_the_command_without_a_profile_takes_that_of_mini(here, tmp_path):
    here.benchmark.save(tmp_path / "tables")
    command("teach")(
        [
            "--benchmark",
            str(tmp_path / "tables"),
            "--clips",
            str(here.clips_dir),
            "--weights",
            here.weights["clip"],
            "--recipe",
            "frozen-mlp",
            "--out",
            str(tmp_path / "run"),
            "--set",
            "epochs=1",
            "batch=16",
        ]
    )
    told = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (
        told["profile"]["name"] == "mini" and told["made_of"]["settings"]["lr"] == STAGE1_READERS["mini"].lr
    )


def test_a_setting_that_the_recipe_decides_is_refused(here, tmp_path):
    here.benchmark.save(tmp_path / "tables")
    with pytest.raises(SystemExit, match="--set epochs=5 has no effect, since the recipe aim-long"):
        command("teach")(
            [
                "--benchmark",
                str(tmp_path / "tables"),
                "--recipe",
                "aim-long",
                "--out",
                str(tmp_path / "run"),
                "--set",
                "epochs=5",
            ]
        )


def test_every_recipe_is_a_row_s_and_is_known_to_every_profile():
    assert set(STAGE1) == set(PROFILES)
    with pytest.raises(ValueError, match="frozen-ordered"):
        learn("ordered", None)
    assert {recipe.start for recipe in RECIPES.values()} <= {"", *RECIPES}
