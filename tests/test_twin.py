"""The twin: a performance for each real label, real ids, splits and queries; keypoints fit the pixels."""

import numpy as np
import pandas as pd
import pytest

from tfcovr_utils.benchmark import Benchmark
from tfcovr_utils.labels import parse_label
from tfcovr_utils.labels.attributes import difference
from tfcovr_utils.profiles import PROFILES
from tfcovr_utils.rendering.build import check
from tfcovr_utils.rendering.elements import element_of, element_window, perform_element
from tfcovr_utils.rendering.opening import open_source
from tfcovr_utils.rendering.skeleton import Body
from tfcovr_utils.rendering.twin import KEYPOINTS, LEAST, build_twin, keypoints_of, paint_row, plan_twin
from tfcovr_utils.sources import Source, load_source
from tfcovr_utils.sources.keypoint_files import public_id, read_poses

# One label of each base skill, entry, landing and detail of the 306, as the owners write them.
TEXTS = """
(VT) round-off, flic-flac with 0.5 turn on, stretched salto forward with 1.5 turn off
(VT) round-off, flic-flac with 0.5 turn on, 0.5 turn to piked salto backward off
(VT) round-off, flic-flac with 1 turn on, piked salto backward off
(VT) round-off, flic-flac on, piked salto backward off
(VT) tsukahara stretched with 2 turn
(VT) tsukahara stretched salto
(VT) tsukahara stretched without salto
(VT) handspring forward on, tucked double salto forward off
(VT) handspring forward on, tucked salto forward off
(VT) handspring forward on, 1.5 turn off
(VT) handspring forward on, 1 turn off
(FX) switch leap with 1 turn
(FX) switch leap to ring position with 1 turn
(FX) split leap with 1.5 turn or more
(FX) split leap forward
(FX) split ring leap
(FX) split jump with 1 turn
(FX) split jump (leg separation 180 degree parallel to the floor)
(FX) johnson with additional 0.5 turn
(FX) johnson (switch leap with 0.25 turn to side split or to straddle pike position)
(FX) straddle pike jump or side split jump
(FX) stag ring jump
(FX) stag jump
(FX) ring jump (rear foot at head height, body arched and head dropped backward)
(FX) tuck hop or jump with 2 turn
(FX) tuck hop or jump with 1 turn
(FX) stretched hop or jump with 1 turn
(FX) pike jump with 1 turn
(FX) wolf hop or jump with 1 turn
(FX) sheep jump , jump with upper back arch and head release with feet almost touching head
(FX) cat leap (leap with alternate leg change)
(FX) hop with 0.5 turn free leg extended above horizontal throughout
(FX) hop with 1 turn free leg extended above horizontal throughout
(FX) 4 turn on one leg, free leg optional below horizontal
(FX) 3 turn on one leg, free leg optional below horizontal
(FX) 3 turn with free leg held upward in 180 split position throughout turn
(FX) 3 turn in tuck stand on one leg, free leg straight throughout turn
(FX) 2 turn in back attitude, knee of free leg at horizontal throughout turn
(FX) aerial walkover forward
(FX) aerial cartwheel
(FX) arabian double salto tucked
(FX) double salto forward tucked
(FX) salto forward stretched, feet land successively
(FX) salto forward stretched, feet land together
(FX) salto backward stretched with 3.5 twist
(FX) salto backward stretched with 2.5 twist
(BB) split jump with 0.5 turn in side position
(BB) split jump with 0.5 turn
(BB) 1 turn on one leg, thigh of free leg at horizontal, backward upward throughout turn
(BB) 1 turn on one leg, free leg optional below horizontal
(BB) jump forward with 0.5 twist and salto backward tucked
(BB) salto backward tucked
(BB) gainer salto backward stretched-step out (feet land successively)
(BB) salto backward stretched-step out (feet land successively)
(BB) salto backward stretched with legs together
(BB) salto sideward tucked with 0.5 turn, take off from one leg to side stand
(BB) salto sideward tucked, take off from one leg to side stand
(BB) free aerial cartwheel landing in side position
(BB) free aerial cartwheel landing in cross position
(BB) salto forward tucked to cross stand
(BB) salto forward tucked
(BB) flic-flac with 1 twist, swing down to cross straddle sit
(BB) flic-flac, swing down to cross straddle sit
(BB) gainer salto backward stretched with 1 twist to side of beam
(BB) gainer salto stretched with 1 twist at end of beam
(UB) giant circle backward with hop 1 turn to handstand
(UB) giant circle backward with 1 turn to handstand
(UB) giant circle backward
(UB) giant circle forward with 1 turn on one arm before handstand phase
(UB) giant circle forward with 1 turn to handstand
(UB) clear hip circle backward to handstand
(UB) clear pike circle backward to handstand
(UB) pike sole circle backward to handstand
(UB) stalder backward to handstand
(UB) counter straddle over high bar with 0.5 turn to hang
(UB) counter straddle over high bar to hang
(UB) counter piked over high bar to hang
(UB) (swing backward or front support) salto forward straddled to hang on high bar
(UB) (swing backward) salto forward piked to hang on high bar
(UB) (swing forward) salto backward stretched with 0.5 turn to hang on high bar
(UB) transition flight from high bar to low bar
(UB) transition flight from low bar to high bar
(UB) (swing forward) salto with 0.5 turn into salto forward tucked
(UB) (swing backward) double salto forward tucked with 0.5 turn
(UB) (swing backward) double salto forward tucked
(UB) (under-swing or clear under-swing) salto forward tucked with 0.5 turn
101b 401b 103b 109c 409c 207b 307c 612b 626b 636c 6142d 6245d 5156b 5172b 5237d 5337d
"""
LABELS = [text for line in TEXTS.strip().splitlines() for text in ([line] if "(" in line else line.split())]
VISIBLE = 0.1  # body heights: two pixels of a picture of 64


def outline(said):
    """Where joints and chest are seen from the side, (T, points, 2), with the same body and dice for all."""
    element, dice = element_of(said), np.random.default_rng
    window = element_window(element, dice(3))
    motion = perform_element(element, Body(), np.linspace(-0.2, 0.2, 40), window, dice(5))
    chest = motion.joints[:, :1] + 0.15 * motion.orientation[:, None, :, 0]
    return np.concatenate([motion.joints, chest], 1)[..., [0, 2]]


def test_labels_that_differ_in_one_attribute_are_seen_to_differ():
    """In a tenth of the frames or more, though only clips of one apparatus have no other sign."""
    said = {text: parse_label(text) for text in LABELS}
    seen = {text: outline(attributes) for text, attributes in said.items()}
    assert all(np.isfinite(points).all() for points in seen.values())
    compared = 0
    for one in LABELS:
        for other in LABELS[: LABELS.index(one)]:
            changes = difference(said[one], said[other])
            if said[one].apparatus == said[other].apparatus and len(changes) <= 2:
                apart = np.linalg.norm(seen[one] - seen[other], axis=-1).max(1)
                assert (apart > VISIBLE).mean() > 0.1, (one, other)
                compared += 1
    assert compared > 200


@pytest.mark.parametrize("turns", [0, 1])
def test_a_circle_keeps_its_hands_on_the_bar_unless_it_hops(turns):
    hop = "hop " * turns
    said = parse_label(f"(UB) giant circle backward with {hop}1 turn to handstand")
    motion = perform_element(element_of(said), Body(), np.zeros(40), (0.1, 0.9), np.random.default_rng(0))
    hands = motion.joints[:, [11, 14]].mean(1)
    assert np.allclose(hands[:20], hands[0]) and bool(hop) == (np.ptp(hands[:, 2]) > 0.3)
    assert np.isclose(np.ptp(motion.somersault), 360) and np.isclose(motion.twist[-1], 360)


def test_an_element_without_a_motion_is_named():
    with pytest.raises(ValueError, match="no motion for 'illusion'"):
        element_of(parse_label("(FX) 1 illusion turn through standing split, 180 legs separation"))


# ---- the folder


@pytest.fixture(scope="module")
def annotations(tmp_path_factory):
    """FineGym's and FineDiving's files with 12 labels, 10 videos and 10 sessions."""
    folder = tmp_path_factory.mktemp("annotations")
    texts = {118: "salto backward stretched with 1 twist", 117: "salto backward stretched with 2 twist"}
    texts |= {119: "salto backward stretched", 46: "split leap forward", 42: "split leap with 0.5 turn"}
    lines = [f"Clabel: {k}; set: 1; Glabel: {k}; (FX) {text}" for k, text in texts.items()]
    (folder / "gym288_categories.txt").write_text("\n".join(lines))
    rows = [f"video_-{v:04d}_E_000100_000160_A_{k:04d}_{k + v % 3:04d} {k}" for v in range(10) for k in texts]
    (folder / "gym288_train_element_v1.1.txt").write_text("\n".join(rows[::2]))
    (folder / "gym288_val_element.txt").write_text("\n".join(rows[1::2]))
    dives = [
        {"video": f"{v:02d}__{n}", "num_frames": 60 + v, "events": [], "_source_info": {"action_type": code}}
        for v in range(10)
        for n, code in enumerate(["407c", "405c", "107b", "105b"])
    ]
    pd.Series(dives).to_json(folder / "finediving_spot_train.json", orient="values")
    return folder


def test_the_twin_has_the_real_ids_and_questions(annotations, tmp_path, monkeypatch):
    monkeypatch.setenv("TFCOVR_DATA", str(tmp_path))
    profile = PROFILES["smoke"]
    with pytest.raises(FileNotFoundError, match="not rendered yet"):
        open_source("twin", profile)
    folder = build_twin(profile, annotations, progress=False)
    real, twin = Benchmark.build(load_source("tfcovr", annotations)), open_source("twin", profile)
    for name in ("labels", "pairs", "modifications", "triplets", "queries", "gallery", "targets"):
        pd.testing.assert_frame_equal(getattr(real, name), getattr(twin.benchmark, name))
    same = ["clip_id", "source_video", "label_id", "split"]
    pd.testing.assert_frame_equal(real.clips[same], twin.benchmark.clips[same])
    report = twin.benchmark.check(twin.clips_dir).set_index("problem")["count"]
    assert report.sum() == 0 or set(report[report > 0].index) <= {"queries without targets"}, report
    assert check(folder) == {"missing": [], "changed": []} and twin.embeddings["pose"].name == KEYPOINTS
    poses = read_poses(folder / KEYPOINTS)
    assert set(poses) == set(real.clips.clip_id[real.clips.dataset == "finegym"])
    assert all(
        (folder / path).stem == public_id(clip)
        for clip, path in twin.benchmark.clips[["clip_id", "path"]].values
    )


def test_lengths_follow_the_stamps_and_a_share_keeps_every_label(annotations):
    source = load_source("tfcovr", annotations)
    many = Source(
        pd.concat([source.clips.assign(clip_id=source.clips.clip_id + f"_{n}") for n in range(4)]),
        source.labels,
    )
    planned = plan_twin(many, 0.3).clips
    sizes = planned.label_id.value_counts()
    assert set(sizes) == {max(LEAST, 12)} and set(sizes.index) == set(source.labels.label_id)
    stamps = many.clips.set_index("clip_id").eval("end_s - start_s")[planned.clip_id].to_numpy()
    seconds = (planned.end_s - planned.start_s).to_numpy()
    assert np.abs(seconds - np.maximum(stamps, 0.43)).max() < 0.55 and seconds.min() > 0.35


def test_keypoints_lie_on_the_athlete(annotations):
    """Where a clip differs between two performances of one scene is the athlete; keypoints are there."""
    said = parse_label("(UB) giant circle backward")
    row = {"attributes": said.to_json(), "clip_id": "a", "source_video": "v", "n_frames": 24}
    frames, points = paint_row(0, 96, row)[0].astype(int), keypoints_of(0, 96, row)
    hall = np.median(frames, 0)
    differs = np.abs(frames - hall).max(-1) > 40
    body = [points[t][points[t, :, 2] > 0.6, :2].round().astype(int).clip(0, 95) for t in range(24)]
    on = np.concatenate([differs[t][p[:, 1], p[:, 0]] for t, p in enumerate(body)]).mean()
    assert on > 2.5 * differs.mean() and on > 0.5
