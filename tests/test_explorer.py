"""The explorer without a browser: searches, folders, the widget's callbacks, previews, exports, the reel."""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from command import status_of
from drawn_videos import drawn_clip, encode
from ipywidgets.widgets.widget import _instances
from PIL import Image
from small_benchmark import TEXTS, small_benchmark

from tfcovr_utils.evaluation.asking import filter_clips, search
from tfcovr_utils.evaluation.scoring import evaluate
from tfcovr_utils.explorer import Explorer, PairReviewer, Session, index, index_folder
from tfcovr_utils.explorer import downloads as export
from tfcovr_utils.explorer.cards import BLANK
from tfcovr_utils.explorer.paths import typed_path
from tfcovr_utils.explorer.previews import MAX_BYTES, Previews
from tfcovr_utils.explorer.reel import FPS, HEIGHT, WIDTH, write_reel
from tfcovr_utils.labels.pairing import KINDS
from tfcovr_utils.methods import METHODS
from tfcovr_utils.plots.tables import as_text, show_table, to_markdown
from tfcovr_utils.profiles import PROFILES, ROOT
from tfcovr_utils.training.settings import STAGE2
from tfcovr_utils.video import probe, read_clip, write_clip

PAIR = ["source_label", "target_label", "tier", "kind", "changed"]
PROFILE = replace(PROFILES["smoke"], frames=4)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    return small_benchmark(folder), folder, tmp_path_factory.mktemp("store")


@pytest.fixture
def session(made, tmp_path, monkeypatch):
    benchmark, folder, store = made
    monkeypatch.setenv("TFCOVR_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("TFCOVR_RUNS", str(tmp_path / "runs"))
    return Session(benchmark, folder, PROFILE, run_dir=tmp_path / "runs", store_dir=store)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A person's folder: every container, one frame, damage, text named as a video, spaces and accents."""
    folder = tmp_path_factory.mktemp("own") / "mes vidéos"
    kinds = {
        "a.mp4": "libx264",
        "déjà vu.mov": "libx264",
        "two words.avi": "mpeg4",
        "k.mkv": "libx264",
        "Ärger/w.webm": "libvpx-vp9",
    }
    for number, (name, codec) in enumerate(kinds.items()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        encode(
            folder / name,
            drawn_clip(12 + number),
            25,
            codec,
            "yuv420p",
            {"cpu-used": "8"} if codec == "libvpx-vp9" else {},
        )
    pictures = [Image.fromarray(frame) for frame in drawn_clip(6)]
    pictures[0].save(folder / "moving.gif", save_all=True, append_images=pictures[1:], duration=100)
    encode(folder / "one frame.mp4", drawn_clip(1), 25, "libx264", "yuv420p", {})
    write_clip(folder / "huge.mp4", np.full((2, 2160, 3840, 3), 90, np.uint8), 25)
    whole = (folder / "a.mp4").read_bytes()
    (folder / "corrupt.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "words.mp4").write_text("these are words")
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "notes.txt").write_text("read me")
    (folder / ".hidden.mp4").write_bytes(whole)
    return folder


TAKEN = {
    "a.mp4",
    "déjà vu.mov",
    "two words.avi",
    "k.mkv",
    "Ärger/w.webm",
    "moving.gif",
    "one frame.mp4",
    "huge.mp4",
}
LEFT = {"corrupt.mp4", "words.mp4", "empty.mp4"}


# ---- search


def table(n):
    return pd.DataFrame(
        {"clip_id": [f"c{i}" for i in range(n)], "label": "", "source_video": "", "event": ""}
    )


def test_search_ranks_as_a_full_sort_does_and_leaves_out_what_must_not_answer():
    generator = torch.Generator().manual_seed(0)
    gallery, query = torch.randn(200, 8, generator=generator), torch.randn(8, generator=generator)
    gallery[7] = torch.nan
    hidden = np.arange(200) % 3 == 0
    found = search(query, gallery, table(200), 20, hidden, {"c1", "c2"})
    expected = [i for i in (-(gallery @ query)).argsort(stable=True).tolist() if not hidden[i] and i != 7][
        :20
    ]
    assert found["clip_id"].tolist() == [f"c{i}" for i in expected] and found["rank"].tolist() == list(
        range(1, 21)
    )
    np.testing.assert_allclose(found["score"], (gallery @ query)[expected], rtol=1e-6)
    assert found["right"].tolist() == [i in (1, 2) for i in expected]
    assert len(search(query, gallery, table(200), 500, hidden)) == 200 - hidden.sum() - 1
    assert search(query, gallery, table(200), 5, np.ones(200, bool)).empty
    with pytest.raises(ValueError, match="could not be embedded; choose another clip"):
        search(query * torch.nan, gallery, table(200), 5, hidden)


def test_filters_and_words():
    clips = table(3).assign(label=["(FX) salto", "(BB) salto", "(BB) turn"], event=["FX", "BB", "BB"])
    assert filter_clips(clips, "SALTO", event="BB")["clip_id"].tolist() == ["c1"]
    assert filter_clips(clips, "bb turn", event="")["clip_id"].tolist() == ["c2"]
    assert filter_clips(clips, "(", event="FX")["clip_id"].tolist() == ["c0"]  # no pattern, only letters


@pytest.mark.parametrize("gallery", ["full", "capped"])
def test_the_session_answers_as_the_evaluation_does(session, made, gallery):
    benchmark = made[0]
    scored = evaluate(METHODS["clip-avg-zs"].fit(session.setting), benchmark, gallery).merge(
        benchmark.queries
    )
    scored = scored.merge(benchmark.modifications[["modification_id", "text"]])
    place = {clip: number for number, clip in enumerate(session.members(f"test, {gallery}"))}
    for row in scored.head(8).itertuples():
        answer = session.ask(row.query_clip, row.text, gallery=f"test, {gallery}", k=50)
        np.testing.assert_allclose(answer.ranking["score"], row.scores[:50], atol=1e-5)
        assert set(answer.ranking["clip_id"]) <= set(place) and row.query_clip not in set(
            answer.ranking["clip_id"]
        )
        assert answer.n_right == row.n_targets and answer.precision[5] == pytest.approx(
            scored.at[row.Index, "ap@5"], abs=1e-6
        )


def test_what_may_be_asked(session):
    clip = session.find("twist", of="test", event="FX")[0]["clip_id"].iloc[0]
    text = session.suggest(clip)[0]
    known, unknown = session.ask(clip, text.upper()), session.ask(clip, "with a smile")
    assert (
        known.n_right > 0
        and unknown.n_right is None
        and set(unknown.ranking["right"]) == {None}
        and not unknown.precision
    )
    hiding, source = session.ask(clip, text, hide_source=True), session.clips.at[clip, "source_video"]
    assert source not in set(hiding.ranking["source_video"]) and source in set(
        session.ask(clip, text, k=40).ranking["source_video"]
    )
    like = session.ask(clip, "")
    assert like.n_right is None and like.ranking["score"].iloc[0] <= 1.0001
    assert len(session.ask(None, "a salto", method="text-only-zs", k=3).ranking) == 3
    for wrong, message in (
        ({"query_clip": "x"}, "'x' is not known"),
        ({"query_clip": None}, "neither a clip nor a text"),
        (
            {"query_clip": clip, "gallery": "all"},
            "'all' is not known; choose one of test, full; test, capped",
        ),
        ({"query_clip": clip, "method": "best"}, "'best' is not known"),
        ({"query_clip": clip, "k": 0}, "k is 0"),
        (
            {"query_clip": clip, "method": "tfcovr-base"},
            "has not been trained in this run; run notebooks 04 and 05",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            session.ask(**wrong)


def test_words_that_no_label_holds_are_sought_by_clip(session):
    found, how = session.find("somersault", of="test")
    assert len(found) == (session.clips["of"] == "test").sum() and "in the order of text-only-zs" in how
    assert (
        session.find("somersault", of="test", event="VT")[1]
        == "no clip is left by these filters; widen one of them"
    )


def test_a_trained_row_is_read_from_its_checkpoint(session, made):
    assert "clip-mlp-15" not in session.methods
    brief = replace(STAGE2["smoke"], steps=2, projection_dim=16, hidden_dim=16)
    METHODS["clip-mlp-15"].fit(
        replace(session.setting, folder=session.trained_dir / "clip-mlp-15", stage2=brief)
    )
    assert "clip-mlp-15" in session.methods
    before = {path: path.stat().st_mtime_ns for path in session.trained_dir.rglob("*")}
    clip = session.members("test, full")[0]
    assert len(session.ask(clip, "with 2 twists", method="clip-mlp-15").ranking) == 12
    assert {path: path.stat().st_mtime_ns for path in session.trained_dir.rglob("*")} == before


# ---- folders


def test_a_mixed_folder_is_indexed_searched_and_brought_up_to_date(session, mixed, tmp_path, monkeypatch):
    folder = shutil.copytree(mixed, tmp_path / mixed.name)
    indexed = index_folder(folder)
    assert (
        set(indexed.clips["path"]) == TAKEN
        and set(indexed.left["path"]) == LEFT
        and indexed.looked_at == len(TAKEN | LEFT)
    )
    assert indexed.others == {".txt": 1} and not indexed.gone
    why = dict(zip(indexed.left["path"], indexed.left["reason"]))
    assert (
        "cannot be opened as a video" in why["words.mp4"]
        and "is empty" in why["empty.mp4"]
        and "corrupt.mp4" in why["corrupt.mp4"]
    )
    assert all(str(tmp_path) not in reason for reason in why.values())

    name, _ = session.open_path(str(folder))
    assert name == str(folder) and name in session.galleries
    for clip in session.members(name):
        answer = session.ask(clip, "with 2 twists", gallery=name, k=50)
        assert len(answer.ranking) == len(TAKEN) - 1 and answer.n_right is None, clip
    assert len(session.ask("mes vidéos/déjà vu", "", gallery="test, full").ranking) == 12

    opened = []
    monkeypatch.setattr(index, "read_duration", lambda root, path: opened.append(path) or 1.0)
    assert index_folder(folder).looked_at == 0 and not opened
    monkeypatch.undo()
    monkeypatch.setenv("TFCOVR_DATA", str(tmp_path / "data"))
    before = session.ask("mes vidéos/a", "", gallery=name).ranking.set_index("clip_id")["score"]
    write_clip(folder / "k.mkv", drawn_clip(30)[:, ::-1], 25)
    (folder / "two words.avi").unlink()
    shutil.copy(folder / "a.mp4", folder / "corrupt.mp4")
    again = session.open_path(str(folder))[1]
    assert (again.looked_at, again.gone, len(again.clips), len(again.left)) == (
        2,
        1,
        len(TAKEN),
        len(LEFT) - 1,
    )
    after = session.ask("mes vidéos/a", "", gallery=name).ranking.set_index("clip_id")["score"]
    assert (
        after["mes vidéos/k"] != before["mes vidéos/k"]
        and after["mes vidéos/moving"] == before["mes vidéos/moving"]
    )
    assert (
        "mes vidéos/two words" not in after and after.index[0] == "mes vidéos/corrupt"
    )  # a copy of what was asked


def test_an_index_that_is_stopped_goes_on(mixed, tmp_path, monkeypatch):
    monkeypatch.setenv("TFCOVR_DATA", str(tmp_path))
    monkeypatch.setattr(index, "AT_ONCE", 4)
    read, seen = index.read_duration, []

    def stopped(root, path):
        seen.append(path)
        if len(seen) > 4:
            raise KeyboardInterrupt
        return read(root, path)

    monkeypatch.setattr(index, "read_duration", stopped)
    with pytest.raises(KeyboardInterrupt):
        index_folder(mixed)
    monkeypatch.setattr(index, "read_duration", read)
    assert index_folder(mixed).looked_at == len(TAKEN | LEFT) - 4


@pytest.mark.slow
def test_the_command_says_what_is_taken_and_what_is_left(mixed, tmp_path):
    command = [sys.executable, "-m", "tfcovr_utils", "index", str(mixed), "--profile", "smoke"]
    environment = {**os.environ, "TFCOVR_DATA": str(tmp_path / "data"), "TFCOVR_RUNS": str(tmp_path / "runs")}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
    assert (
        "8 clips taken, 3 files left out; 11 were new or changed." in done.stdout and "1 .txt" in done.stdout
    )
    assert (
        "clip-avg-zs: 8 clips can be found, 0 could not be embedded." in done.stdout
        and done.stdout.count("left out: ") == 3
    )
    again = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert "0 were new or changed." in again.stdout


def test_the_command_on_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TFCOVR_DATA", str(tmp_path / "data"))
    assert (
        status_of("index")([str(tmp_path / "no")]) == 2
        and "does not exist; give a folder of videos" in capsys.readouterr().err
    )
    (tmp_path / "words.mp4").write_text("words")
    assert (
        status_of("index")([str(tmp_path)]) == 2
        and "names 1 videos and none can be read" in capsys.readouterr().err
    )


# ---- previews, reel, exports


def test_a_preview_is_small_made_once_and_anew_when_its_clip_changes(tmp_path, monkeypatch):
    clip = write_clip(
        tmp_path / "noise.mp4", np.random.default_rng(0).integers(0, 255, (40, 240, 320, 3), np.uint8), 25
    )
    previews = Previews(tmp_path / "previews")
    first = previews.get(clip)
    with Image.open(next((tmp_path / "previews").rglob("*.gif"))) as picture:
        assert picture.n_frames > 5 and len(first) <= MAX_BYTES
    monkeypatch.setattr("tfcovr_utils.explorer.previews.preview", lambda *_, **__: pytest.fail("made twice"))
    assert previews.get(clip) == first == Previews(tmp_path / "previews").get(clip)
    monkeypatch.undo()
    write_clip(clip, drawn_clip(20), 25)
    assert previews.get(clip) != first


def test_the_reel_shows_each_clip_captioned(tmp_path):
    for name, colour, n_frames in (("red", (200, 0, 0), 10), ("blue", (0, 0, 200), 300)):
        write_clip(tmp_path / f"{name}.mp4", np.full((n_frames, 60, 100, 3), colour, np.uint8), 25)
    (tmp_path / "broken.mp4").write_text("words")
    clips = [
        (tmp_path / "red.mp4", "1   été"),
        (tmp_path / "broken.mp4", "2"),
        (tmp_path / "blue.mp4", "3   " + "a long label " * 20),
    ]
    broken = write_reel(tmp_path / "reel.mp4", clips, longest_s=2)
    assert list(broken) == [str(tmp_path / "broken.mp4")]
    info = probe(tmp_path / "reel.mp4")
    assert (info.width, info.height, info.n_frames) == (WIDTH, HEIGHT, FPS * 1 + FPS * 2)
    frames = read_clip(tmp_path / "reel.mp4", [3, 60])
    assert frames[0, 150, 320].argmax() == 0 and frames[1, 150, 320].argmax() == 2
    assert all(frame[HEIGHT - 40 :].max() > 150 for frame in frames)  # the caption is drawn
    with pytest.raises(ValueError, match="none of 1 clips can be read"):
        write_reel(tmp_path / "reel.mp4", clips[1:2])


# ---- the widget


@pytest.fixture
def explorer(session, tmp_path):
    return Explorer(session, tmp_path / "out", [tmp_path])


def shown(explorer):
    return [card.clip_id for card in explorer.cards if card.clip_id]


def ask_something(explorer):
    explorer.chooser.filters["event"].value = "FX"
    explorer.choose(explorer.chooser.cards[0].clip_id)
    explorer.ask_for(explorer.chips[0].description)


def test_a_query_by_hand(explorer):
    ask_something(explorer)
    answer = explorer.answers[0]
    assert (
        shown(explorer) == answer.ranking["clip_id"].tolist()
        and "AP@5" in explorer.heads[0].value
        and not explorer.notes.wrong.value
    )
    for card, right in zip(explorer.cards, answer.ranking["right"]):
        assert ("tfcovr-right" if right else "tfcovr-wrong") in card.widget._dom_classes and (
            "✓" if right else "✗"
        ) in card.text.value
        assert card.image.value != BLANK and len(card.image.value) <= MAX_BYTES
    explorer.show_labels.value = False
    assert not any(text in card.text.value for card in explorer.cards for text in TEXTS.values())
    explorer.k.value = 30
    explorer.turn(1)
    assert shown(explorer) == explorer.answers[0].ranking["clip_id"].tolist()[12:24]
    second = shown(explorer)[3]
    explorer.cards[3].buttons["next query"].click()
    assert (
        explorer.query_clip == second
        and explorer.answers[0].query_clip == second
        and second not in shown(explorer)
    )
    explorer.cards[0].buttons["more like"].click()
    assert explorer.answers[0].text == ""


def test_two_methods_stand_beside_each_other(explorer):
    ask_something(explorer)
    explorer.second_method.value = "video-only"
    assert [answer.method for answer in explorer.answers] == ["clip-avg-zs", "video-only"] and len(
        shown(explorer)
    ) == 12
    assert shown(explorer)[6:] == explorer.answers[1].ranking["clip_id"].tolist()[:6]


def test_what_goes_wrong_is_said_in_words(explorer, monkeypatch, tmp_path):
    explorer.save_csv()
    assert "nothing has been asked yet" in explorer.notes.wrong.value
    (tmp_path / "bare").mkdir()
    for path, words in (
        ("", "no path is given"),
        ("nowhere", "does not exist"),
        (str(tmp_path / "bare"), "names 0 videos and none can be read"),
    ):
        explorer.path.value = path
        explorer.open()
        wrong = explorer.notes.wrong.value
        assert "tfcovr-error" in wrong and words in wrong and "fault" not in wrong
    (tmp_path / "<b>.mp4").write_text("words")
    explorer.path.value = str(tmp_path / "<b>.mp4")
    explorer.open()
    assert (
        "cannot be opened as a video" in explorer.notes.wrong.value
        and "<b>" not in explorer.notes.wrong.value
    )
    ask_something(explorer)
    assert explorer.notes.wrong.value == ""
    explorer.method.value = (
        "blip-covr-zs" if "blip-covr-zs" in explorer.session.methods else "languagebind-zs"
    )
    monkeypatch.setattr(explorer.session, "ask", lambda *_, **__: 1 / 0)
    explorer.search()
    assert (
        "The explorer has a fault: ZeroDivisionError" in explorer.notes.wrong.value
        and "Traceback" in explorer.notes.wrong.value
    )


def test_a_clip_that_was_deleted_is_said_and_the_rest_is_shown(explorer, made, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    for number, name in enumerate(sorted(made[1].glob("*.mp4"))[:4]):
        shutil.copy(name, own / f"{number}.mp4")
    explorer.path.value = str(own)
    explorer.open()
    assert (
        explorer.gallery.value == str(own)
        and len(explorer.chooser.found) == 4
        and "4 clips taken" in explorer.notes.going_on.value
    )
    explorer.choose("own/0")
    explorer.more_like("own/0")
    (own / "2.mp4").unlink()
    explorer.show_page()
    wrong = explorer.notes.wrong.value
    assert len(shown(explorer)) == 3 and "1 previews could not be made" in wrong and "does not exist" in wrong


@pytest.mark.slow
def test_exports(explorer, session, tmp_path):
    ask_something(explorer)
    explorer.save_csv()
    explorer.save_figure()
    explorer.save_reel()
    assert not explorer.notes.wrong.value
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [
        ".csv",
        ".csv",
        ".mp4",
        ".pdf",
        ".png",
        ".svg",
    ]
    written = pd.read_csv(next((tmp_path / "out").glob("*_ranking.csv")))
    assert written["clip_id"].tolist() == shown(explorer) and set(written["modification"]) == {
        explorer.answers[0].text
    }
    assert len(explorer.reel.value) > 1000


def test_the_cell_asks_the_same_again(explorer, session):
    ask_something(explorer)
    explorer.second_method.value = "video-only"
    explorer.hide.value = True
    explorer.save_cell()
    cell = export.write_cell(session, explorer.answers)
    lines = cell.splitlines()
    assert lines[0] == "from tfcovr_utils.explorer import Session" and lines[2].startswith("session = ")
    names = {"session": session}
    exec(
        "\n".join(lines[3:-1]), names
    )  # the session itself is opened from a rendering, which this test has not
    for number, answer in enumerate(explorer.answers, 1):
        pd.testing.assert_frame_equal(names[f"answer_{number}"].ranking, answer.ranking)


@pytest.mark.slow
def test_nothing_grows_with_queries(explorer):
    """Widgets are filled anew, and what is kept is bounded."""
    ask_something(explorer)
    clips, before = explorer.session.members("test, full"), len(_instances)
    for number in range(300):
        explorer.session.ask(clips[number % len(clips)], f"with {number} twists")
        if number % 30 == 0:
            explorer.choose(clips[number % len(clips)])
    assert len(_instances) == before
    assert (
        len(explorer.session._queries) <= 256
        and len(explorer.previews._recent) <= 64
        and len(explorer.session._galleries) <= 6
    )


@pytest.mark.parametrize("form", ["{}", '"{}"', " '{}' ", "file://{}", "file://localhost{}"])
def test_a_path_is_read_as_it_is_pasted(tmp_path, form):
    (tmp_path / "my clips").mkdir()
    path = tmp_path / "my clips"
    assert typed_path(form.format(str(path).replace(" ", "%20") if "file" in form else path)) == path


@pytest.mark.parametrize("typed", ["", "''", "no/such", "a\0b", "file://"])
def test_a_path_that_is_none_is_refused_in_a_sentence(typed):
    with pytest.raises(ValueError, match="give the path of a clip or of a folder of clips"):
        typed_path(typed)


def test_the_page_opens_only_the_folders_it_was_started_with(session, made, mixed, tmp_path, monkeypatch):
    """Neither another folder, nor one that a link or dots lead to."""
    monkeypatch.setenv("TFCOVR_FOLDERS", str(tmp_path / "named"))
    (tmp_path / "named").mkdir()
    shutil.copy(mixed / "a.mp4", tmp_path / "named")
    (tmp_path / "named" / "link").symlink_to(mixed)
    page = Explorer(session, tmp_path / "out")
    clip = next(made[1].rglob("*.mp4"))
    for path in (mixed, mixed / "a.mp4", tmp_path / "named" / "link", tmp_path / "named" / ".."):
        page.path.value = str(path)
        page.open()
        assert "is outside the folders this page may open" in page.notes.wrong.value, path
    for path in (tmp_path / "named", clip):
        page.path.value = str(path)
        page.open()
        assert not page.notes.wrong.value, path


def test_a_folder_without_permission_is_said(tmp_path):
    closed = Path(tempfile.mkdtemp())
    closed.chmod(0)
    user = os.geteuid()
    os.seteuid(user or 65534)  # the superuser may read everything
    try:
        with pytest.raises(ValueError, match="may not be read by this user"):
            index_folder(closed)
    finally:
        os.seteuid(user)
        closed.rmdir()


def test_after_a_folder_changed_nothing_old_is_shown_or_exported(explorer, made, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    for number, name in enumerate(sorted(made[1].glob("*.mp4"))[:4]):
        shutil.copy(name, own / f"{number}.mp4")
    explorer.path.value = str(own)
    explorer.open()
    explorer.more_like("own/0")
    (own / "0.mp4").unlink()
    (own / "2.mp4").unlink()
    explorer.open()
    assert not shown(explorer) and explorer.query_clip is None
    for export_it in (explorer.save_reel, explorer.save_csv, explorer.save_figure):
        export_it()
        assert "nothing has been asked yet" in explorer.notes.wrong.value
    explorer.more_like("own/1")
    assert shown(explorer) == ["own/3"] and not explorer.notes.wrong.value


def test_a_ranking_says_where_its_clips_are(explorer, session):
    ask_something(explorer)
    table = export.ranking_table(session, explorer.answers)
    assert all(Path(path).is_file() for path in table["path"])
    times = session.setting.benchmark.clips.set_index("clip_id").loc[table["clip_id"], ["start_s", "end_s"]]
    np.testing.assert_array_equal(table[["start_s", "end_s"]], times)


@pytest.mark.parametrize(
    ("method", "why"), [("label-oracle", "reads labels"), ("tfcovr-base", "has not been trained")]
)
def test_why_a_method_cannot_answer(session, method, why):
    with pytest.raises(ValueError, match=why):
        session.fit(method)
    assert {"siglip2-zs", "qwen3-vl-embedding-zs"} <= set(session.methods)


def test_a_folder_is_opened_without_rendering(mixed, tmp_path, monkeypatch):
    monkeypatch.setenv("TFCOVR_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("TFCOVR_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr("tfcovr_utils.rendering.build", lambda *_, **__: pytest.fail("rendered"))
    assert Session.of_folders("smoke").open_path(str(mixed))[1].looked_at == len(TAKEN | LEFT)


HOSTILE = '<img src=x onerror="window.ran = 1">\n<script>window.ran = 1<'


def test_no_text_of_the_data_becomes_html(explorer, mixed, tmp_path):
    """File names, labels, instructions, errors and the exported cell are shown as text."""
    folder = tmp_path / "<script>window.ran = 1<script>"
    folder.mkdir()
    for name in ("a", "b"):
        shutil.copy(mixed / "a.mp4", folder / f"{name}{HOSTILE}.mp4")
    (folder / f"c{HOSTILE}.mp4").write_text("words")
    explorer.path.value = str(folder)
    explorer.open()
    pages = [explorer.notes.going_on.value]
    explorer.choose(explorer.chooser.cards[0].clip_id)
    explorer.ask_for(HOSTILE)
    explorer.save_cell()
    explorer.path.value = HOSTILE
    pages += [explorer.exported.value, explorer.notes.going_on.value]
    explorer.open()
    cards = [*explorer.cards, explorer._query_card, *explorer.chooser.cards]
    pages += [explorer.notes.wrong.value, *(card.text.value for card in cards)]
    reviewer = PairReviewer(
        pd.DataFrame([["x", "y", "A", KINDS[0], HOSTILE]], columns=PAIR),
        {"x": HOSTILE, "y": HOSTILE},
        tmp_path,
    )
    shown_tables = [
        show_table(pd.DataFrame({HOSTILE: [HOSTILE]})),
        as_text(pd.DataFrame({HOSTILE: [HOSTILE]})),
    ]
    pages += [reviewer._shown.value, *(table.to_html() for table in shown_tables)]
    pages += [to_markdown(pd.DataFrame({HOSTILE: [HOSTILE]}))]
    assert sum("window.ran" in page for page in pages) >= 9
    for page in pages:
        assert "<img" not in page and "<script" not in page, page
