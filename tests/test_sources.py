"""Sources: the traps of the published files, and files that are missing, broken or hostile."""

import io
import json
import os
import pickle
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tfcovr_utils.sources import SOURCES, finediving, finegym, load_source
from tfcovr_utils.sources.pickles import load_plain
from tfcovr_utils.sources.source import CLIP_COLUMNS, LABEL_COLUMNS

ANNOTATIONS = os.environ.get("TFCOVR_ANNOTATIONS")
needs_annotations = pytest.mark.skipif(
    not ANNOTATIONS, reason="TFCOVR_ANNOTATIONS is not set to the folder of annotation files"
)
CATEGORIES = """Clabel:   0; set:  1; Glabel:   0; (VT) tsukahara piked
Clabel:   1; set: 25; Glabel: 178; (FX) salto backward piked
"""
ODD_VIDEO = "-_a_E_b-c_D"  # 11 characters, with the separators inside


@pytest.fixture
def gym_folder(tmp_path):
    (tmp_path / "gym288_categories.txt").write_text(CATEGORIES)
    (tmp_path / "gym288_train_element_v1.0.txt").write_text("")
    (tmp_path / "gym288_train_element_v1.1.txt").write_text(
        f"{ODD_VIDEO}_E_000100_000120_A_0003_0005 0\nabcdefghijk_E_000007_000009_A_0001_0001 1\n"
    )
    (tmp_path / "gym288_val_element.txt").write_text("abcdefghijk_E_000007_000009_A_0000_0002 1\n")
    return tmp_path


def spot_dive(video: str, code: str, *steps: str) -> dict:
    events = [{"comment": f"{a} -> {b}"} for a, b in pairwise(steps)]
    return {"video": video, "num_frames": 90, "events": events, "_source_info": {"action_type": code}}


def write_spot(folder: Path, *dives: dict) -> Path:
    (folder / "finediving_spot_train.json").write_text(json.dumps(dives))
    return folder


def test_finegym_reads_ids_with_separators_and_whole_seconds(gym_folder):
    source = finegym.load(gym_folder)
    clip = source.clips.iloc[0]
    assert list(source.clips) == CLIP_COLUMNS and list(source.labels) == LABEL_COLUMNS
    assert (clip["source_video"], clip["label_id"]) == (ODD_VIDEO, "0")
    assert (clip["start_s"], clip["end_s"]) == (103.0, 105.0)
    assert source.clips["label_id"].tolist() == ["0", "1", "1"]
    assert source.labels["set"].tolist() == ["1", "25"]
    assert source.notes["finegym_clips_of_zero_seconds"] == 1


def test_finegym_takes_exact_times_where_they_are_known(gym_folder):
    info = {
        ODD_VIDEO: {
            "E_000100_000120": {
                "timestamps": [[100.25, 120.5]],
                "segments": {"A_0003_0005": {"timestamps": [[3.5, 4.0], [4.0, 5.25]]}},
            }
        },
        "abcdefghijk": {"E_000007_000009": {"timestamps": [[7.5, 9.0]], "segments": None}},
    }
    (gym_folder / "finegym_annotation_info_v1.1.json").write_text(json.dumps(info))
    source = finegym.load(gym_folder)
    assert source.clips["start_s"].tolist() == [103.75, 8.0, 7.0]
    assert source.clips["end_s"].tolist() == [105.5, 8.0, 9.0]
    assert source.notes["finegym_clips_without_exact_times"] == 2


def test_finegym_counts_a_clip_listed_twice_once(gym_folder):
    path = gym_folder / "gym288_val_element.txt"
    path.write_text(path.read_text() * 2)
    source = finegym.load(gym_folder)
    assert (len(source.clips), source.notes["finegym_repeated_rows"]) == (3, 1)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("abc_E_1_2_A_3_4 0", "abc_E_1_2_A_3_4.*not a clip id"),
        ("abcdefghijk_E_000007_000009_A_0001_0001", "not a clip id and its label"),
        ("abcdefghijk_E_000007_000009_A_0001_0001 7", r"labels \['7'\].*same release"),
    ],
)
def test_finegym_refuses_a_broken_line_by_name(gym_folder, line, message):
    (gym_folder / "gym288_val_element.txt").write_text(line + "\n")
    with pytest.raises(ValueError, match=message):
        finegym.load(gym_folder)


@pytest.mark.parametrize("missing", ["gym288_categories.txt", "gym288_val_element.txt"])
def test_a_missing_file_is_named_with_where_it_comes_from(gym_folder, missing):
    (gym_folder / missing).unlink()
    with pytest.raises(FileNotFoundError, match=rf"{missing[:10]}.*sdolivia.*CC BY-NC"):
        finegym.load(gym_folder)


def test_finediving_names_sessions_and_codes(tmp_path):
    write_spot(
        tmp_path,
        spot_dive("Cup2021_Men3m_final_r2__11", "107b", "Forward", "3.5 Soms.Pike", "Entry"),
        spot_dive("01__10", "407c", "Inward", "3.5 Soms.Tuck", "Entry"),
    )
    source = finediving.load(tmp_path)
    assert source.clips["clip_id"].tolist() == ["Cup2021_Men3m_final_r2_11", "01_10"]
    assert source.clips["source_video"].tolist() == ["Cup2021_Men3m_final", "01"]
    assert source.clips["path"].tolist()[1] == "finediving/01/10"
    assert source.clips["end_s"].tolist() == [3.0, 3.0]
    assert source.labels["text"].tolist()[1] == "Inward, 3.5 Soms.Tuck, Entry"
    assert list(source.clips) == CLIP_COLUMNS and list(source.labels) == LABEL_COLUMNS


@pytest.mark.parametrize(
    ("code", "steps", "agrees"),
    [
        ("107b", ["Forward", "3.5 Soms.Pike", "Entry"], True),
        ("107b", ["Forward", "3.5 Soms.Tuck", "Entry"], False),
        ("107b", ["Back", "3.5 Soms.Pike", "Entry"], False),
        ("107b", ["Forward", "2.5 Soms.Pike", "Entry"], False),
        ("5253b", ["Back", "2.5 Twists", "2.5 Soms.Pike", "Entry"], False),
        ("5253b", ["Back", "2.5 Soms.Pike", "Entry"], False),
        ("6243d", ["Back", "1.5 Twists", "2 Soms.Pike", "Entry"], False),
        ("6243d", ["Arm.Back", "1.5 Twists", "2 Soms.Tuck", "Entry"], True),
        ("5152b", ["Forward", "2.5 Soms.Pike", "1 Twist", "2.5 Soms.Pike", "Entry"], True),
        ("612b", ["Arm.Forward", "1 Som.Pike", "3.5 Twists"], True),
        ("307c", ["3.5 Soms.Tuck", "Entry"], True),
        ("101b", ["Forward", "0.5 Som.Pike", "Entry"], True),
        ("101b", [], True),
    ],
)
def test_a_procedure_contradicts_its_code_or_not(code, steps, agrees):
    assert finediving.agree(code, steps) is agrees


def test_a_contradicting_dive_is_dropped_and_counted(tmp_path):
    write_spot(
        tmp_path,
        spot_dive("01__1", "107b", "Forward", "3.5 Soms.Tuck", "Entry"),
        spot_dive("01__2", "107b", "Forward", "3.5 Soms.Pike", "Entry"),
    )
    source = finediving.load(tmp_path)
    assert source.clips["clip_id"].tolist() == ["01_2"]
    assert source.notes == {"finediving_dives_contradicting_their_code": 1}


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_the_owners_pickles_give_the_same_dives(tmp_path, protocol):
    coarse = {("01", 10): {"action_type": "407c", "start_frame": 100, "end_frame": 189}}
    fine = {("01", 10): {"sub-action_types": {5: "Inward", 20: "3.5 Soms.Tuck", 1: "Entry"}}}
    (tmp_path / finediving.PICKLES[0]).write_bytes(pickle.dumps(coarse, protocol))
    (tmp_path / finediving.PICKLES[1]).write_bytes(pickle.dumps(fine, protocol))
    spot = tmp_path / "spot"
    spot.mkdir()
    write_spot(spot, spot_dive("01__10", "407c", "Inward", "3.5 Soms.Tuck", "Entry"))
    from_pickles = finediving.load(tmp_path)
    pd.testing.assert_frame_equal(from_pickles.clips, finediving.load(spot).clips)

    fine[("01", 10)]["sub-action_types"][5] = "Reverse"
    (tmp_path / finediving.PICKLES[1]).write_bytes(pickle.dumps(fine, protocol))
    assert len(finediving.load(tmp_path).clips) == 0


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_the_aqa_pickle_with_its_arrays_is_read(tmp_path, protocol):
    dive = ["5253b", np.float64(97.2), 3.4, [1, 2], np.arange(86.0)]
    (tmp_path / finediving.PICKLES[2]).write_bytes(pickle.dumps({("03", 67): dive}, protocol))
    clips = finediving.load(tmp_path).clips
    assert clips[["clip_id", "label_id"]].values.tolist() == [["03_67", "5253b"]]
    assert clips["end_s"].tolist() == [86 / 30]


class Hostile:
    """What a hostile pickle holds: a name and arguments, called on loading."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {("01", 1): [x]}])
@pytest.mark.parametrize("function", [os.system, eval, getattr, np.load, pickle.loads])
def test_a_hostile_pickle_is_refused_and_runs_nothing(tmp_path, function, wrap):
    canary = tmp_path / "canary"
    hostile = Hostile(function, f"open({str(canary)!r}, 'w') or 0", "x")
    if function is os.system:
        hostile = Hostile(function, f"touch {canary}")
    path = tmp_path / finediving.PICKLES[0]
    path.write_bytes(pickle.dumps(wrap(hostile)))
    with pytest.raises(ValueError, match=r"coarse_annotation.pkl was refused .*nothing of it was run"):
        finediving.load(tmp_path)
    assert not canary.exists()


def test_a_hostile_object_array_is_refused(tmp_path):
    array = np.array([Hostile(os.system, f"touch {tmp_path / 'canary'}")], dtype=object)
    with pytest.raises(ValueError, match="array.pkl was refused .it names posix.system"):
        load_plain(io.BytesIO(pickle.dumps(array)), Path("array.pkl"))
    assert not (tmp_path / "canary").exists()


def test_a_truncated_pickle_and_one_of_another_shape_are_refused(tmp_path):
    path = tmp_path / finediving.PICKLES[0]
    path.write_bytes(pickle.dumps({("01", 1): {"action_type": "407c"}})[:-9])
    with pytest.raises(ValueError, match="not a complete pickle|was refused"):
        finediving.load(tmp_path)
    path.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(ValueError, match="holds a list; expected a dict"):
        finediving.load(tmp_path)


def test_no_dives_at_all_says_where_they_come_from(tmp_path):
    with pytest.raises(FileNotFoundError, match="FineDiving_coarse.*github.com/xujinglin.*MIT"):
        finediving.load(tmp_path)


def test_an_unknown_source_lists_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match="'tfcvr' is not known.*tfcovr, finegym, finediving, mini"):
        load_source("tfcvr", tmp_path)


def test_a_rendered_benchmark_keeps_its_split(tmp_path):
    clips = pd.DataFrame([["a", "mini-gym", "v", "l", "val", 0.0, 1.0, "p"]], columns=CLIP_COLUMNS)
    labels = pd.DataFrame([["l", "t", "mini-gym", "FX", "{}"]], columns=LABEL_COLUMNS[:5])
    clips.to_parquet(tmp_path / "clips.parquet")
    labels.to_parquet(tmp_path / "labels.parquet")
    source = SOURCES["mini"](tmp_path)
    assert source.clips["split"].tolist() == ["val"]
    assert source.labels["set"].tolist() == [""]


@needs_annotations
def test_the_published_files_have_their_measured_counts():
    gym = load_source("finegym", Path(ANNOTATIONS))
    lasts = gym.clips["end_s"] - gym.clips["start_s"]
    assert (len(gym.clips), gym.clips["source_video"].nunique()) == (38_980, 181)
    assert round(lasts.mean(), 3) == 1.667
    assert gym.notes["finegym_clips_of_zero_seconds"] == 2_705
    dives = load_source("finediving", Path(ANNOTATIONS))
    assert dives.notes["finediving_dives_contradicting_their_code"] == 50
    both = load_source("tfcovr", Path(ANNOTATIONS))
    assert both.labels["dataset"].value_counts().to_dict() == {"finegym": 259, "finediving": 47}
    n_clips = both.clips["dataset"].value_counts().to_dict()
    assert n_clips == {"finegym": 35_395, "finediving": 2_713}
    videos = both.clips.groupby("dataset")["source_video"].nunique().to_dict()
    assert videos == {"finegym": 180, "finediving": 39}
    assert both.clips["clip_id"].is_unique
