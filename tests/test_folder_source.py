"""A person's own clips, with the names and the breakage that people's folders have."""

import shutil

import numpy as np
import pytest
from drawn_videos import drawn_clip, encode
from PIL import Image

from tfcovr_utils.benchmark.benchmark import Benchmark
from tfcovr_utils.labels import Attributes, parse_label
from tfcovr_utils.sources import load_source
from tfcovr_utils.sources.source import CLIP_COLUMNS, LABEL_COLUMNS
from tfcovr_utils.video import read_clip
from tfcovr_utils.video.listing import list_videos

CODECS = {
    ".mp4": ("libx264", "yuv420p"),
    ".MOV": ("libx264", "yuv420p"),
    ".avi": ("mpeg4", "yuv420p"),
    ".mkv": ("libx264", "yuv420p"),
    ".webm": ("libvpx-vp9", "yuv420p"),
}


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A file of one second for each kind of file."""
    folder = tmp_path_factory.mktemp("videos")
    made = {}
    for suffix, (codec, pix_fmt) in CODECS.items():
        options = {"cpu-used": "8"} if suffix == ".webm" else {}
        made[suffix] = encode(folder / f"a{suffix}", drawn_clip(25), 25, codec, pix_fmt, options)
    made[".gif"] = folder / "a.gif"
    first, *others = map(Image.fromarray, drawn_clip(8))
    first.save(made[".gif"], save_all=True, append_images=others, duration=125)
    return made


def place(video, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(video, path)
    return path


def test_a_mixed_folder_is_read_whole(tmp_path, videos):
    for k, (suffix, video) in enumerate(videos.items()):
        place(video, tmp_path / ["pouring tea", "Ärmel hochkrempeln"][k % 2] / f"clip n° {k}{suffix}")
    place(videos[".mp4"], tmp_path / "deep" / "er" / "walk" / "w.mp4")
    place(videos[".mp4"], tmp_path / "bare.mp4")
    (tmp_path / "walk.txt").write_text("no video")
    source = load_source("folder", tmp_path)
    clips = source.clips.set_index("clip_id")
    assert list(source.clips) == CLIP_COLUMNS and list(source.labels) == LABEL_COLUMNS
    assert len(clips) == 8 and not source.notes and clips.index.is_unique
    assert clips.loc["deep__er__walk__w", ["label_id", "source_video"]].tolist() == ["walk", "w"]
    assert clips.loc["bare", "label_id"] == ""
    assert clips.loc["pouring tea__clip n° 0", "path"] == "pouring tea/clip n° 0.mp4"
    assert source.labels["label_id"].tolist() == ["pouring tea", "walk", "Ärmel hochkrempeln"]
    assert (clips["split"] == "").all() and (clips["start_s"] == 0).all()
    np.testing.assert_allclose(clips["end_s"], 1.0, atol=0.05)
    for path in clips["path"]:
        assert len(read_clip(tmp_path / path, frames=4)) == 4


def test_broken_files_are_counted_named_and_left_out(tmp_path, videos):
    place(videos[".mp4"], tmp_path / "ok.mp4")
    whole = videos[".mp4"].read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    whole = videos[".mkv"].read_bytes()  # which still opens, and plays to where it ends
    (tmp_path / "short.mkv").write_bytes(whole[: len(whole) * 2 // 3])
    (tmp_path / "empty.mkv").touch()
    (tmp_path / "text.avi").write_text("hello " * 100)
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    (tmp_path / "._ok.mp4").write_bytes(b"resource fork")
    (tmp_path / "folder.mp4").mkdir()
    source = load_source("folder", tmp_path)
    assert source.clips["clip_id"].tolist() == ["ok"]
    named = " ".join(source.notes)
    assert sum(source.notes.values()) == 5 and str(tmp_path) not in named
    for name in ("cut.mp4", "short.mkv", "empty.mkv", "text.avi", "gone.mp4"):
        assert f"'{name}'" in named


def test_a_name_that_is_no_text_is_left_out(tmp_path, videos):
    place(videos[".mp4"], tmp_path / "ok.mp4")
    try:
        place(videos[".mp4"], tmp_path / "bad\udcff.mp4")
    except (OSError, UnicodeError):
        pytest.skip("this file system takes names in UTF-8 only")
    source = load_source("folder", tmp_path)
    assert len(source.clips) == 1 and "rename it" in next(iter(source.notes))


def test_nothing_that_can_be_read_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="names 0 videos and none can be read .no such file"):
        load_source("folder", tmp_path)
    (tmp_path / "a.mp4").touch()
    with pytest.raises(ValueError, match="names 1 videos and none can be read .*a.mp4' is empty"):
        load_source("folder", tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere does not exist; give a folder"):
        load_source("folder", tmp_path / "nowhere")


def test_one_stem_in_two_folders_is_one_source_and_two_clips(tmp_path, videos):
    place(videos[".mp4"], tmp_path / "walk" / "person1.mp4")
    place(videos[".mp4"], tmp_path / "run" / "person1.mp4")
    place(videos[".gif"], tmp_path / "run" / "person1.gif")
    place(videos[".mp4"], tmp_path / "run" / "person1~2.mp4")
    clips = load_source("folder", tmp_path).clips
    assert sorted(clips["clip_id"]) == ["run__person1", "run__person1~2", "run__person1~2~2", "walk__person1"]
    assert sorted(clips["source_video"]) == ["person1"] * 3 + ["person1~2"]


def test_accents_written_in_two_ways_are_one_label(tmp_path, videos):
    place(videos[".mp4"], tmp_path / "caf\u00e9" / "a.mp4")
    place(videos[".mp4"], tmp_path / "cafe\u0301" / "b.mp4")
    source = load_source("folder", tmp_path)
    assert source.labels["label_id"].tolist() == ["caf\u00e9"]
    assert all((tmp_path / path).exists() for path in source.clips["path"])


def write_csv(folder, text, encoding="utf-8"):
    path = folder / "clips.csv"
    path.write_text(text, encoding=encoding)
    return path


def test_a_csv_says_where_each_clip_is(tmp_path, videos):
    place(videos[".mp4"], tmp_path / "long video" / "mätch.mp4")
    place(videos[".gif"], tmp_path / "b.gif")
    path = write_csv(
        tmp_path,
        "path,start,end,label,comment\n"
        "long video/mätch.mp4, 0.2 ,0.6,(FX) salto backward tucked,x\n"
        "long video/mätch.mp4,0.2,0.6,  pouring   tea ,\n"
        "long video/mätch.mp4,0.5,,107b,\n"
        "b.gif,,,,\n"
        'b.gif,,,"a, b",\n',
        "utf-8-sig",
    )
    source = load_source("folder", path)
    clips = source.clips
    assert clips["clip_id"].tolist() == [
        "long video__mätch_0000200_0000600",
        "long video__mätch_0000200_0000600~2",
        "long video__mätch_0000500_0001000",
        "b",
        "b~2",
    ]
    assert clips["path"].tolist()[2:4] == ["cut/long video__mätch_0000500_0001000.mp4", "b.gif"]
    assert clips["source_video"].tolist() == ["mätch"] * 3 + ["b"] * 2
    assert clips[["start_s", "end_s"]].to_numpy()[:3].tolist() == [[0.2, 0.6], [0.2, 0.6], [0.5, 1.0]]
    labels = source.labels.set_index("label_id")
    assert labels.index.tolist() == ["(FX) salto backward tucked", "107b", "a, b", "pouring tea"]
    read = labels["attributes"].map(Attributes.from_json)
    assert read["107b"] == parse_label("107b")
    assert read["(FX) salto backward tucked"].shape == "tucked"
    assert read["pouring tea"] == Attributes("", "", "pouring tea")
    assert labels["event"].tolist() == ["FX", "DV", "", ""]


def test_rows_that_no_video_can_fill_are_named(tmp_path, videos):
    place(videos[".mp4"], tmp_path / "a.mp4")
    rows = ["a.mp4,0,0.5,x", "a.mp4,0.5,3,x", "a.mp4,0.7,0.2,x", "b.mp4,0,1,x", "b.mp4,1,2,x"]
    source = load_source("folder", write_csv(tmp_path, "path,start,end,label\n" + "\n".join(rows)))
    assert len(source.clips) == 1
    assert sorted(source.notes.values()) == [1, 1, 2]
    assert any("'b.mp4' does not exist" in note for note in source.notes)
    assert any("lasts 1.000 s, so [0.5, 3) is not in it" in note for note in source.notes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "file,start\na.mp4,1\n",
            "no column 'path', only file, start; .* its first line must be path,start,end,label",
        ),
        ("", "is not a CSV"),
        ("path,start\na.mp4,1:30\n", "row 1: start '1:30' is not a time; write seconds"),
        ("path,end\na.mp4,-1\n", "row 1: end '-1' is not a time"),
        ("path,split\na.mp4,train\na.mp4,tset\n", "row 2: split 'tset' is not one of train, val, test"),
        ("path,split\na.mp4,\na.mp4,test\n", "row 1: split '' is not one of"),
    ],
)
def test_a_csv_that_is_wrong_says_where(tmp_path, videos, text, message):
    place(videos[".mp4"], tmp_path / "a.mp4")
    with pytest.raises(ValueError, match=message):
        load_source("folder", write_csv(tmp_path, text))


def test_a_split_that_is_given_is_kept(tmp_path, videos):
    for name in "abc":
        place(videos[".mp4"], tmp_path / f"{name}.mp4")
    path = write_csv(tmp_path, "path,split\na.mp4,train\nb.mp4,val\nc.mp4,test\n")
    assert load_source("folder", path).clips["split"].tolist() == ["train", "val", "test"]


def test_hidden_files_are_no_videos(tmp_path):
    for name in (".hidden.mp4", ".trash/a.mp4", "b.MP4", "c/.d.mp4.part", "c/e.webm"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in list_videos(tmp_path)] == ["b.MP4", "e.webm"]


def test_plain_labels_make_a_benchmark_with_honest_splits(tmp_path, videos):
    labels = ["opening a drawer", "closing a drawer", "opening a jar"]
    for v in range(20):
        place(videos[".mp4"], tmp_path / f"v{v}.mp4")
    rows = [f"v{v}.mp4,{label}\n" for v in range(20) for label in labels]
    path = write_csv(tmp_path, "path,label\n" + "".join(rows))
    benchmark = Benchmark.build(load_source("folder", path))
    assert set(benchmark.pairs["source_label"]) == set(labels)
    assert len(benchmark.triplets) and len(benchmark.queries)
    assert (benchmark.clips.groupby("source_video")["split"].nunique() == 1).all()
