"""Keypoints in the public layout: read, described, trained on; and those of rendered clips."""

import os
import pickle

import cv2
import numpy as np
import pandas as pd
import pytest

from tfcovr_utils.embedding.pose_frames import POSE_FRAMES, POSE_WIDTH, embed_poses, pose_features
from tfcovr_utils.profiles import PROFILES
from tfcovr_utils.rendering.dataset import perform_clip, plan, random_stream, render_clip
from tfcovr_utils.rendering.keypoints import clip_keypoints
from tfcovr_utils.rendering.paint import render
from tfcovr_utils.rendering.skills import Skill
from tfcovr_utils.sources import load_source
from tfcovr_utils.sources.keypoint_files import own_id, public_id, read_poses, write_poses

CLIP = "A0xAXXysHUo_E_002184_002237_A_0035_0036"
POSE = np.random.default_rng(0).uniform(10, 50, (30, 17, 3)).astype(np.float32)


def test_a_file_in_the_public_layout_is_read_by_our_ids(tmp_path):
    write_poses({CLIP: POSE, "other": POSE[:5]}, tmp_path / "poses.pkl", size=100)
    content = pickle.loads((tmp_path / "poses.pkl").read_bytes())
    assert content["annotations"][0]["frame_dir"] == "A0xAXXysHUo_002184_002237_0035_0036"
    read = read_poses(tmp_path / "poses.pkl")
    assert list(read) == [CLIP, "other"] and read[CLIP].shape == (30, 17, 3)
    np.testing.assert_allclose(read[CLIP][..., :2], POSE[..., :2] / 100, atol=1e-3)
    clips = pd.DataFrame({"clip_id": ["other", "absent", CLIP]})
    found = embed_poses(tmp_path / "poses.pkl", clips)
    assert found.clip_ids == ["other", CLIP] and list(found.missing) == ["absent"]
    assert found.values.shape == (2, POSE_FRAMES, POSE_WIDTH)


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("made-by-a-pickle",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "no list of samples"),
        ({"annotations": [{"frame_dir": "a"}]}, "lacks 'keypoint'"),
        ({"annotations": [3]}, "lacks 'int'"),
        ({"annotations": [{"frame_dir": "a", "keypoint": np.zeros(3), "keypoint_score": 1}]}, "expected"),
        ({"annotations": [Hostile()]}, "refused"),
    ],
)
def test_other_pickles_are_refused(content, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "poses.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=message):
        read_poses(tmp_path / "poses.pkl")
    assert not (tmp_path / "made-by-a-pickle").exists()


def test_features_know_neither_place_nor_size_and_fill_gaps():
    base = pose_features(POSE)
    moved = POSE * [3, 3, 1] + [7, -2, 0]
    np.testing.assert_allclose(pose_features(moved), base, atol=1e-3)
    line = np.tile(np.arange(30, dtype=np.float32)[:, None, None], (1, 17, 3)) / 30 + POSE[:1]
    gap = line.copy()
    gap[10:14, 9] = 0  # a wrist that is not seen for four frames
    scores = POSE_WIDTH - 17
    np.testing.assert_allclose(pose_features(gap)[:, :scores], pose_features(line)[:, :scores], atol=1e-3)


def test_keypoints_lie_on_the_rendered_athlete():
    """The athlete is where a clip differs from the same clip of the hall alone."""
    clips, factors = plan(PROFILES["smoke"])
    shares = []
    for row in clips.merge(factors, on="clip_id").sample(12, random_state=0).to_dict("records"):
        what = Skill.from_row(row), row["clip_id"], row["source_video"]
        scene, path, _ = perform_clip(*what)
        stream = random_stream(0, row["clip_id"], "picture")
        hall = render(scene, row["apparatus"], None, path, 64, stream).astype(int)
        differs = (np.abs(render_clip(*what, size=64) - hall).max(-1) > 8).astype(np.uint8)
        athlete = np.stack([cv2.dilate(mask, np.ones((7, 7), np.uint8)) for mask in differs])
        pose = clip_keypoints(*what, 0, 64)
        frame, joint = np.nonzero(
            (pose[..., 2] > 0) & (pose[..., :2] > 2).all(-1) & (pose[..., :2] < 61).all(-1)
        )
        x, y = pose[frame, joint, :2].astype(int).T
        shares.append(athlete[frame, y, x].mean())
        assert len(pose) == len(hall)
    assert np.mean(shares) > 0.85, shares


@pytest.mark.skipif(not os.environ.get("TFCOVR_ANNOTATIONS"), reason="TFCOVR_ANNOTATIONS is not set")
def test_ids_of_all_real_clips_map_both_ways():
    clips = load_source("tfcovr", os.environ["TFCOVR_ANNOTATIONS"]).clips
    gym = clips.loc[clips["dataset"] == "finegym", "clip_id"]
    public = gym.map(public_id)
    assert len(gym) == 35_395 and public.is_unique and (public.map(own_id) == gym).all()
    dives = clips.loc[clips["dataset"] != "finegym", "clip_id"]
    assert (dives.map(public_id) == dives).all()
