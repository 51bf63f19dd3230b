"""The rendered benchmark: labels, splits, determinism, resuming; the middle frame reveals no count."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tfcovr_utils import rendering
from tfcovr_utils.labels import parse_label
from tfcovr_utils.profiles import PROFILES, ROOT
from tfcovr_utils.rendering import shortcuts
from tfcovr_utils.rendering.dataset import label_table, scene_of
from tfcovr_utils.rendering.motion import MIDDLE_TILT, draw_window, perform
from tfcovr_utils.rendering.skeleton import Body, forward_kinematics, pose, rotation
from tfcovr_utils.rendering.skills import SKILLS, Skill
from tfcovr_utils.video import read_clip

TINY = replace(PROFILES["smoke"], clips_per_label=(3, 2, 2), sources_per_split=(4, 2, 2))
ALL_SKILLS = sorted({skill for skills in SKILLS.values() for skill in skills}, key=lambda skill: skill.text)


# ---- labels


@pytest.mark.parametrize(("name", "count"), [("smoke", 20), ("mini", 59), ("sim", 306)])
def test_labels_are_distinct_to_the_eye_of_the_grammar(name, count):
    skills = SKILLS[name]
    assert (
        len(skills)
        == len({skill.text for skill in skills})
        == len({parse_label(skill.text) for skill in skills})
        == count
    )
    assert label_table(skills).label_id.is_unique


@pytest.mark.parametrize("skill", ALL_SKILLS, ids=lambda skill: skill.text)
def test_a_label_says_what_the_skill_is(skill):
    said = parse_label(skill.text)
    assert said.residue == ""
    assert (said.apparatus, said.direction, said.saltos or 0, said.rotation, said.armstand) == (
        skill.apparatus,
        skill.direction,
        skill.saltos,
        skill.twists,
        skill.armstand,
    )
    assert (
        said.shape == skill.shape or skill.family == "leap"
    )  # the grammar reads a pike jump as a jump, piked


def test_sim_has_the_papers_shape():
    clips, factors = rendering.plan(PROFILES["sim"])
    kinds = factors.drop_duplicates(
        ["apparatus", "base", "direction", "shape", "saltos", "twists", "armstand"]
    ).apparatus
    assert (kinds == "DV").sum() == 47 and (kinds != "DV").sum() == 259
    assert 33_000 < len(clips) < 37_000
    per_label = clips.label_id.value_counts()
    assert per_label.max() > 10 * per_label.median() > 50 * per_label.min()


# ---- the plan


@pytest.mark.parametrize("name", ["smoke", "mini", "sim"])
def test_no_source_stands_in_two_splits(name):
    clips, _ = rendering.plan(PROFILES[name])
    assert clips.clip_id.is_unique and clips.path.is_unique
    assert (clips.groupby("source_video").split.nunique() == 1).all()
    assert (clips.groupby("label_id").split.nunique() == 3).all()


def test_a_label_never_has_a_single_source_in_a_split():
    """A query's answers must come from other sources than the query."""
    clips, _ = rendering.plan(PROFILES["mini"])
    assert clips.groupby(["label_id", "split"]).source_video.nunique().min() >= 2


# ---- motion


def middle_poses(skill, n=40):
    """Somersault and twist angles at the middle frame over n performances."""
    angles = []
    for seed in range(n):
        rng = np.random.default_rng(seed)
        n_frames = int(rng.integers(22, 27))
        motion = perform(skill, Body(), np.zeros(n_frames), draw_window(skill.apparatus, rng), rng)
        angles.append((motion.somersault[n_frames // 2], motion.twist[n_frames // 2]))
    return np.array(angles).T


@pytest.mark.parametrize("skill", ALL_SKILLS, ids=lambda skill: skill.text)
def test_middle_frame_tells_no_count(skill):
    somersault, twist = middle_poses(skill)
    assert np.allclose(np.minimum(twist % 180, 180 - twist % 180), 0, atol=1e-6)
    if skill.saltos and skill.family != "vault":
        off = ((somersault + 180 * skill.armstand) % 360) - 180
        assert np.abs(off).max() <= MIDDLE_TILT and abs(off.mean()) < 15 and off.std() > 20


def test_no_two_labels_look_alike():
    """The same body, camera path and dice give visibly other poses for every other label of the apparatus."""
    by_apparatus = {}
    for skill in SKILLS["sim"] + SKILLS["mini"]:
        motion = perform(skill, Body(), np.zeros(26), (0.12, 0.88), np.random.default_rng(5))
        by_apparatus.setdefault(skill.apparatus, {})[skill] = (
            motion.joints + motion.orientation[:, 0, None]
        ).reshape(-1)
    for performed in by_apparatus.values():
        poses = np.stack(list(performed.values()))
        apart = np.array([np.abs(poses - one).max(1) for one in poses])
        np.fill_diagonal(apart, np.inf)
        closest = np.unravel_index(apart.argmin(), apart.shape)
        assert apart.min() > 0.1, [list(performed)[i].text for i in closest]


def test_the_count_is_performed_in_full():
    for skill in ALL_SKILLS:
        rng = np.random.default_rng(1)
        motion = perform(skill, Body(), np.zeros(26), (0.1, 0.9), rng)
        assert np.isclose(motion.twist[-1] - motion.twist[0], 360 * skill.twists)
        if skill.family in ("salto", "dive"):
            assert np.isclose(motion.somersault[-1] - motion.somersault[0], 360 * skill.saltos)
        assert (np.diff(motion.twist) >= -1e-9).all() and (np.diff(motion.somersault) >= -1e-9).all()


def test_bones_keep_their_length_and_rotations_are_rotations():
    body = Body()
    joints = forward_kinematics(
        np.stack([pose(hip=120, knee=130, spine=40), pose(abduct=60, hip=80), pose()]), body
    )
    assert np.allclose(np.linalg.norm(joints[:, 4] - joints[:, 3], axis=1), body.thigh)
    assert np.allclose(np.linalg.norm(joints[:, 5] - joints[:, 4], axis=1), body.shin)
    turned = rotation("y", np.array([90.0])) @ np.array([0.0, 0.0, 1.0])
    assert np.allclose(turned, [[1, 0, 0]])  # forward: the head goes where the chest faces
    assert joints[2, 2, 2] > joints[2, 0, 2] > joints[2, 5, 2]  # standing: head over pelvis over foot


# ---- pixels and files


def one(skill_text="(FX) salto backward stretched with 1 twist", source="gym-train-000"):
    skill = next(skill for skill in ALL_SKILLS if skill.text == skill_text)
    return skill, "a_clip", source


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_in_another_process():
    script = (
        "import hashlib, sys; sys.path.insert(0, 'tests'); "
        "from test_mini import one; from tfcovr_utils.rendering import render_clip; "
        "print(hashlib.sha256(render_clip(*one()).tobytes()).hexdigest())"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1
    assert not np.array_equal(
        rendering.render_clip(*one(), seed=1)[:20], rendering.render_clip(*one(), seed=0)[:20]
    )


def test_painting_the_athlete_out_leaves_what_does_not_know_the_skill():
    """The hall of a clip depends on no skill, and differs from the clip by the athlete."""
    skill, clip_id, source = one()
    hall = rendering.render_hall(skill.apparatus, clip_id, source, frames=12)
    clip = rendering.render_clip(skill, clip_id, source)
    clip = clip[((np.arange(12) + 0.5) * len(clip) / 12).astype(int)]
    changed = (np.abs(hall.astype(int) - clip).max(-1) > 40).mean((1, 2))
    assert (changed > 0.02).all() and (changed < 0.45).all()


def folder_state(folder):
    lines = [
        json.loads(line)
        for line in (folder / "manifest.jsonl").read_text().splitlines()
        if line.endswith("}")
    ]
    return {line["clip_id"]: line["sha256"] for line in lines}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    return rendering.build(TINY, tmp_path_factory.mktemp("tiny") / "mini", progress=False)


@pytest.mark.slow
def test_what_is_written_is_what_was_planned(rendered):
    clips, factors, labels = (
        pd.read_parquet(rendered / f"{name}.parquet") for name in ("clips", "factors", "labels")
    )
    assert rendering.check(rendered) == {"missing": [], "changed": []}
    assert len(clips) == 20 * 7 and set(clips.label_id) == set(labels.label_id)
    for row in clips.merge(factors, on="clip_id").sample(8, random_state=0).itertuples():
        decoded = read_clip(rendered / row.path, list(range(row.n_frames)))
        skill = Skill.from_row(row._asdict())
        exact = rendering.render_clip(skill, row.clip_id, row.source_video)
        error = np.mean((decoded.astype(float) - exact) ** 2)
        assert decoded.shape == exact.shape and 10 * np.log10(255**2 / error) > 26
        assert row.fps == scene_of(0, row.source_video).fps and np.isclose(row.end_s, row.n_frames / row.fps)


def test_damage_is_named_and_mended_alone(rendered):
    before = folder_state(rendered)
    broken, gone, *_ = sorted(before)
    (rendered / "clips" / f"{broken}.mp4").write_bytes(b"not what it was")
    (rendered / "clips" / f"{gone}.mp4").unlink()
    whole = {
        path.name: path.stat().st_mtime_ns
        for path in (rendered / "clips").iterdir()
        if path.stem not in (broken, gone)
    }
    assert rendering.check(rendered) == {"missing": [], "changed": [broken, gone]}
    rendering.build(TINY, rendered, progress=False)
    assert rendering.check(rendered) == {"missing": [], "changed": []} and folder_state(rendered) == before
    assert whole == {
        path.name: path.stat().st_mtime_ns
        for path in (rendered / "clips").iterdir()
        if path.stem not in (broken, gone)
    }


@pytest.mark.slow
def test_killed_in_the_middle_and_resumed(rendered, tmp_path):
    out = tmp_path / "mini"
    script = (
        "import sys\n"
        "from pathlib import Path; from test_mini import TINY; from tfcovr_utils import rendering\n"
        "if __name__ == '__main__': rendering.build(TINY, Path(sys.argv[1]), progress=False)"
    )
    (tmp_path / "killed.py").write_text(script)
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "killed.py"), str(out)],
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
    )
    deadline = time.monotonic() + 60
    while (time.monotonic() < deadline and not (out / "manifest.jsonl").exists()) or not (
        out / "manifest.jsonl"
    ).read_text():
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with open(out / "manifest.jsonl", "a") as manifest:
        manifest.write('{"clip_id": "cut sho')  # a line that the kill cut off
    done = len(folder_state(out))
    assert 0 < done < 140
    rendering.build(TINY, out, progress=False)
    assert rendering.check(out) == {"missing": [], "changed": []}
    assert folder_state(out) == folder_state(rendered)


def test_two_renderings_do_not_mix(rendered):
    with pytest.raises(ValueError, match="holds another rendering"):
        rendering.build(replace(TINY, render_seed=1), rendered, progress=False)


@pytest.mark.slow
def test_command_line_says_what_is_wrong():
    run = subprocess.run(
        [sys.executable, "-m", "tfcovr_utils", "render", "--profile", "paper"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert (
        run.returncode == 2
        and run.stderr.strip() == "profile 'paper' has no clips to render; choose smoke, mini or sim."
    )


# ---- the networks that look for shortcuts


def test_a_network_finds_a_shortcut_that_is_there_and_none_that_is_not():
    """In the groups of one count a bright corner reveals the label; in those of the other nothing does."""
    rng = np.random.default_rng(0)
    label_idx = np.repeat(np.arange(4), 60)
    frames = rng.integers(90, 140, (240, 2, 32, 32, 3)).astype(np.uint8)
    frames[label_idx == 1, :, :16, :16] += 90
    group = np.where(label_idx < 2, 0, 1)
    held_out = np.arange(240) % 3 == 0
    found = [
        shortcuts.find_count_shortcuts(
            "x", frames, label_idx, {"count": np.where(group == g, 0, -1)}, held_out, epochs=40
        )[0]
        for g in (0, 1)
    ]
    assert found[0]["accuracy"] > 0.95 and abs(found[1]["accuracy"] - 0.5) < 0.2
    assert [row["chance"] for row in found] == [0.5, 0.5] and [row["clips"] for row in found] == [40, 40]


def test_count_groups_differ_in_one_count_alone():
    _, factors = rendering.plan(PROFILES["mini"])
    group = shortcuts.count_groups(factors, "twists")
    for number in np.unique(group[group >= 0]):
        part = factors[group == number]
        assert part.twists.nunique() > 1 and len(part.drop_duplicates([*shortcuts.FACTORS, "saltos"])) == 1
