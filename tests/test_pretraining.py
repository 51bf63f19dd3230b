"""The mini weights: what captions may say and what they get right, that no source is shared, and what the
training makes."""

import json
import math
import re
import unicodedata
from collections import defaultdict
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from captioned_pictures import COUNTS_AND_WAYS, LABELLED, some
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from transformers import AutoTokenizer, CLIPModel

from tfcovr_utils.encoders import load_encoder
from tfcovr_utils.labels import label_text
from tfcovr_utils.profiles import PROFILES, ROOT
from tfcovr_utils.rendering import captions, dataset, paint, plan
from tfcovr_utils.rendering import pretraining_pictures as pictures
from tfcovr_utils.rendering.captions import caption, frame_facts
from tfcovr_utils.rendering.poses import POSES
from tfcovr_utils.rendering.skeleton import Body, forward_kinematics, pose, rotation
from tfcovr_utils.training.pretraining.captioned import FACTS, Pretraining, draw_captions, vocabulary_texts
from tfcovr_utils.training.pretraining.mini_clip import build_tokenizer, pretrain, save

COMMITTED = ROOT / "data" / "weights" / "mini-clip"


# ---- what captions may say


@pytest.fixture(scope="module")
def performed():
    """Joints (T, 15, 3) and facts of each frame of each skill, in one scene."""
    motions, perform = [], dataset.perform
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            dataset, "perform", lambda *arguments: motions.append(perform(*arguments)) or motions[-1]
        )
        facts = [frame_facts(skill, "a_clip", pictures.source_name(1)) for skill in LABELLED]
    return [(skill, motion.joints, frames) for skill, motion, frames in zip(LABELLED, motions, facts)]


def words(texts):
    return {word for text in texts for word in re.findall(r"[^\W\d_]+", text.lower())}


def test_no_caption_holds_a_count_or_a_way_of_travel(performed):
    said = {caption(facts) for _, _, frames in performed for facts in frames}
    assert len(said) > 1000
    wrong = [
        text for text in said if COUNTS_AND_WAYS.search(text.replace("one knee bent", ""))
    ]  # a knee of that frame's
    assert wrong == []


@pytest.mark.parametrize(
    "text",
    ["an athlete, 2 in the air", "an athlete twisting", "an athlete backward", "an athlete, one and a half"],
)
def test_a_word_that_no_caption_may_hold_is_found(text):
    assert COUNTS_AND_WAYS.search(text)


def test_no_caption_holds_a_label(performed):
    """With labels captions share three shapes that a picture shows, and words that say nothing of a skill."""
    texts = [label_text(skill.text) if skill.family == "dive" else skill.text for skill in LABELLED]
    said = {caption(facts) for _, _, frames in performed for facts in frames}
    assert words(said) & words(texts) == {"piked", "split", "tucked"} | {
        "at",
        "in",
        "knee",
        "on",
        "one",
        "with",
    }
    assert not any(text.lower() in one for text in texts for one in said)


def test_equal_joints_get_equal_words(performed):
    seen = defaultdict(set)
    for skill, joints, frames in performed:
        for frame, facts in zip(joints, frames):
            seen[skill.apparatus, frame.round(6).tobytes()].add((skill, tuple(facts.values())))
    shared = [{facts for _, facts in found} for found in seen.values() if len(found) > 1]
    assert len(shared) > 500 and all(len(facts) == 1 for facts in shared)


def test_words_come_from_the_joints_and_not_from_the_skill(monkeypatch):
    """One motion, whatever the skill is called: the words are the same, but that a turn is never in the
    air."""
    by_name = {skill.text: skill for skill in LABELLED}
    shown = by_name["(FX) salto backward tucked with 1 twist"]
    expected = frame_facts(shown, "a_clip", "a_source")
    perform = dataset.perform
    monkeypatch.setattr(dataset, "perform", lambda skill, *others: perform(shown, *others))
    for skill in LABELLED:
        found = frame_facts(skill, "a_clip", "a_source")
        if skill.apparatus == "FX":
            assert [{**facts, "phase": ""} for facts in found] == [
                {**facts, "phase": ""} for facts in expected
            ]
            assert skill.family == "turn" or found == expected
    assert {facts["phase"] for facts in expected} == {"in the air", "with support"}


def test_a_caption_says_what_its_facts_say():
    facts = frame_facts(LABELLED[0], "a_clip", "a_source")
    assert set(facts[0]) == set(FACTS) and caption(facts[0]) == "an athlete " + ", ".join(facts[0].values())
    drawn = draw_captions(facts, np.random.default_rng(0), 1.0)
    assert [sorted(text.removeprefix("an athlete ").split(", ")) for text in drawn] == [
        sorted(row.values()) for row in facts
    ]
    some = [text for seed in range(40) for text in draw_captions(facts, np.random.default_rng(seed), 0.5)]
    kept = [0 if text == "an athlete " else 1 + text.count(",") for text in some]
    assert abs(np.mean(kept) / len(FACTS) - 0.5) < 0.05


# ---- what captions get right

FROM_THE_SIDE = np.eye(3)  # right, away, up are x, y, z: the athlete's front, left and head
FROM_THE_OTHER = np.diag([-1.0, -1.0, 1.0])


def describe(angles, turn=None, view=FROM_THE_SIDE):
    joints = forward_kinematics(angles[None], Body())[0]
    return captions._describe(
        joints if turn is None else joints @ rotation(turn[0], np.array([turn[1]]))[0].T, view
    )


@pytest.mark.parametrize(
    ("turn", "view", "head", "chest"),
    [
        (None, FROM_THE_SIDE, "head up", "chest rightward"),
        (None, FROM_THE_OTHER, "head up", "chest leftward"),
        (("y", 180.0), FROM_THE_SIDE, "head down", "chest leftward"),
        (("y", 180.0), FROM_THE_OTHER, "head down", "chest rightward"),
        (("z", 90.0), FROM_THE_SIDE, "head up", "chest rearward"),
        (("z", -90.0), FROM_THE_SIDE, "head up", "chest frontal"),
        (("z", 90.0), FROM_THE_OTHER, "head up", "chest frontal"),
        (("y", 90.0), FROM_THE_SIDE, "head right", "chest groundward"),
        (("y", -90.0), FROM_THE_SIDE, "head left", "chest skyward"),
        (("y", -90.0), FROM_THE_OTHER, "head right", "chest skyward"),
        (("x", 90.0), FROM_THE_SIDE, "head near", "chest rightward"),
        (("x", -90.0), FROM_THE_SIDE, "head far", "chest rightward"),
        (("y", 45.0), FROM_THE_SIDE, "head right head up", "chest rightward chest groundward"),
        (("y", 20.0), FROM_THE_SIDE, "head up", "chest rightward"),
    ],
)
def test_head_and_chest_point_where_the_camera_sees_them(turn, view, head, chest):
    found = describe(POSES["stand"], turn, view)
    assert (found["head"], found["chest"], found["shape"]) == (head, chest, "straight")


@pytest.mark.parametrize(
    ("angles", "shape", "arms"),
    [
        (POSES["stand"], "straight", "arms low"),
        (POSES["arms up"], "straight", "arms overhead"),
        (POSES["stretched"], "straight", "arms out"),
        (POSES["tucked"], "tucked", "arms out"),
        (POSES["piked"], "piked", "arms out"),
        (pose(hip_l=86, hip_r=-80), "legs split", "arms low"),
        (pose(hip_l=90, knee_l=100), "one knee bent", "arms low"),
        (pose(knee=60), "knees bent", "arms low"),
        (pose(hip_l=88, hip_r=92, knee_l=120), "folded", "arms low"),
        (pose(hip=50), "hunched", "arms low"),
    ],
)
@pytest.mark.parametrize("turn", [None, ("y", 130.0), ("x", 200.0)])
def test_a_shape_is_named_whichever_way_the_body_lies(angles, shape, arms, turn):
    found = describe(angles, turn)
    assert (found["shape"], found["arms"]) == (shape, arms)


def test_facts_are_of_the_performance_and_the_camera_that_are_rendered(monkeypatch):
    seen = defaultdict(list)

    class Camera(paint.Camera):
        def __init__(self, drawn, path, side, pixels):
            super().__init__(drawn, path, side, pixels)
            seen["camera"].append((side, path.tobytes(), self.right.tobytes(), self.away.tobytes()))

    def recorded(*arguments, perform=dataset.perform):
        seen["motion"].append(perform(*arguments))
        return seen["motion"][-1]

    monkeypatch.setattr(paint, "Camera", Camera)
    monkeypatch.setattr(captions, "Camera", Camera)
    monkeypatch.setattr(dataset, "perform", recorded)
    for take in range(6):
        arguments = LABELLED[60 * take], f"clip_{take}", "a_source", 3
        facts, frames = frame_facts(*arguments), dataset.render_clip(*arguments, size=8)
        assert len(facts) == len(frames)
    assert seen["camera"][::2] == seen["camera"][1::2] and {side for side, *_ in seen["camera"]} == {
        -1.0,
        1.0,
    }
    for described, rendered in zip(seen["motion"][::2], seen["motion"][1::2], strict=True):
        assert np.array_equal(rendered.joints, described.joints)


# ---- sources of their own


@pytest.mark.parametrize("name", ["smoke", "mini", "sim"])
def test_no_source_of_the_pictures_is_one_of_a_benchmark(name, monkeypatch):
    # Lengths and rates of clips take long to draw.
    monkeypatch.setattr(dataset, "_n_frames", lambda *_: 24)
    monkeypatch.setattr(dataset, "scene_of", lambda *_: SimpleNamespace(fps=25))
    own = {pictures.source_name(source) for source in range(pictures.SOURCES)}
    theirs = set(plan(PROFILES[name])[0].source_video)
    assert len(own) == pictures.SOURCES and own.isdisjoint(theirs)
    drawn = [dataset.random_stream(PROFILES[name].render_seed, source).random() for source in own | theirs]
    assert len(set(drawn)) == len(own) + len(theirs)  # so no athlete, hall or camera is another's either


def test_scenes_of_the_pictures_are_not_those_of_a_benchmark():
    names = [
        *map(pictures.source_name, range(4)),
        "gym-train-000",
        "dive-train-000",
        "gym-test-000",
        "dive-val-000",
    ]
    scenes = [dataset.scene_of(0, name) for name in names]
    for part in (
        {one.body for one in scenes},
        {one.azimuth for one in scenes},
        {one.wall.tobytes() for one in scenes},
    ):
        assert len(part) == len(names)


# ---- the tokenizer


@pytest.fixture(scope="module")
def tokenizer(performed):
    return build_tokenizer(
        [caption(facts) for _, _, frames in performed for facts in frames] + vocabulary_texts()
    )


def read_back(tokenizer, text):
    return "".join(tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True).split())


lower_case = st.characters(codec="utf-8").filter(lambda letter: letter == letter.lower())


@settings(max_examples=200, deadline=None)
@given(text=st.text(lower_case))
def test_any_string_is_written_and_read_back(tokenizer, text):
    assert read_back(tokenizer, text) == "".join(unicodedata.normalize("NFC", text).split())


def test_letters_count_alike_in_both_cases(tokenizer):
    assert tokenizer("Show with 2.5 Twists")["input_ids"] == tokenizer("show with 2.5 twists")["input_ids"]


def test_every_known_word_is_one_token(tokenizer, performed):
    known = words(vocabulary_texts()) | words(
        caption(facts) for _, _, frames in performed for facts in frames
    )
    assert [
        word for word in sorted(known) if len(tokenizer(word)["input_ids"]) != 3
    ] == []  # the start, the word, the end


def test_numbers_are_kept_apart(tokenizer):
    texts = [
        "show with 2.5 twists",
        "show with 25 twists",
        "show with 5.2 twists",
        "show with 2 twists",
        "show with twists",
    ]
    assert len({tuple(tokenizer(text)["input_ids"]) for text in texts}) == len(texts)


def test_a_saved_tokenizer_is_the_same(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    texts = [*vocabulary_texts()[::20], "Ünknown wörds: 12.5!", "", "twist " * 100]
    options = {"padding": True, "truncation": True}
    assert again(texts, **options)["input_ids"] == tokenizer(texts, **options)["input_ids"]
    assert max(map(len, again(texts, **options)["input_ids"])) == 77
    assert again.pad_token_id == tokenizer.pad_token_id and again.model_max_length == 77


# ---- a small training

SMALL = Pretraining(
    width=32,
    layers=1,
    heads=2,
    text_layers=1,
    projection=32,
    steps=50,
    batch=32,
    warm_up=5,
    lr=5e-3,
    kept_facts=1.0,
)


@pytest.fixture(scope="module")
def trained(rendered):
    return pretrain(SMALL, *some(rendered), progress=False)


@pytest.mark.slow
def test_pictures_and_facts_belong_together(rendered, monkeypatch):
    frames, facts = rendered
    assert frames.shape == (
        8 * pictures.CLIPS_PER_SOURCE * pictures.FRAMES_PER_CLIP,
        pictures.SIZE,
        pictures.SIZE,
        3,
    )
    assert list(facts.source_video.unique()) == [pictures.source_name(source) for source in range(8)]
    assert len(facts) == len(frames) and not facts.isna().any(axis=None)

    clips, render = [], pictures.render_clip
    monkeypatch.setattr(
        pictures, "render_clip", lambda *clip: clips.append((clip, render(*clip))) or clips[-1][1]
    )
    again, _ = pictures._render_source(5, 0)
    rows = facts.source_video == pictures.source_name(5)
    assert np.array_equal(frames[rows], again)
    shown = []
    for ((*performance, _), exact), decoded in zip(
        clips, np.split(again.astype(float), pictures.CLIPS_PER_SOURCE), strict=True
    ):
        nearest = (
            ((decoded[:, None] - exact) ** 2).mean((2, 3, 4)).argmin(1)
        )  # of the clip's frames, before they were compressed
        by_frame = frame_facts(*performance)
        shown += [by_frame[frame] for frame in nearest]
    assert facts.loc[rows, list(FACTS)].to_dict("records") == shown


def test_both_losses_fall(trained):
    losses = trained[2]
    assert list(losses.step) == list(range(1, SMALL.steps + 1))
    assert losses.words.tail(5).mean() < 0.5 * losses.words.iloc[0]
    assert losses.contrast.tail(5).mean() < 0.95 * 2 * math.log(
        SMALL.batch
    )  # two cross-entropies among a batch, by chance


def test_a_seed_decides_the_weights(rendered, trained):
    short = Pretraining(**{**asdict(SMALL), "steps": 3})
    runs = [
        pretrain(Pretraining(**{**asdict(short), "seed": seed}), *some(rendered), progress=False)
        for seed in (0, 0, 1)
    ]
    first, again, other = (run[0].state_dict() for run in runs)
    assert all(torch.equal(first[name], again[name]) for name in first) and runs[0][2]["words"].equals(
        runs[1][2]["words"]
    )
    assert not any(torch.equal(first[name], other[name]) for name in first if first[name].ndim > 1)


def test_what_is_saved_gives_the_same_features(rendered, trained, tmp_path):
    model, tokenizer, _ = trained
    frames, texts = (
        np.array(rendered[0][:4])[None],
        ["an athlete, tucked, in the air", "show with 2.5 twists"],
    )
    save(model, tokenizer, tmp_path)
    assert next(model.parameters()).dtype == torch.float32  # saving changes nothing but the disk
    encoder = load_encoder("clip", str(tmp_path))
    assert encoder.image_size == pictures.SIZE
    with torch.no_grad():
        tokens = tokenizer(texts, padding=True, return_tensors="pt")
        expected = (
            model.get_image_features(encoder.prepare(frames)).pooler_output,
            model.get_text_features(**tokens).pooler_output,
        )
        loaded = (
            CLIPModel.from_pretrained(tmp_path, dtype=torch.float32).get_text_features(**tokens).pooler_output
        )
    for found, reference in zip(
        (encoder.encode_frames(frames)[0], encoder.encode_texts(texts), loaded), (*expected, expected[1])
    ):
        assert F.cosine_similarity(found, reference).min() > 1 - 1e-5
        assert (found - reference).abs().max() < 5e-3 * reference.abs().max()


# ---- the committed weights


@pytest.fixture(scope="module")
def committed():
    if not COMMITTED.is_dir():
        pytest.skip(f"{COMMITTED.relative_to(ROOT)} is not there; `tfcovr pretrain clip` makes it")
    return load_encoder("clip", str(COMMITTED))


def test_the_committed_weights_are_small_and_whole(committed):
    from safetensors import safe_open

    assert sum(path.stat().st_size for path in COMMITTED.iterdir()) <= 8 * 1024**2
    with safe_open(COMMITTED / "model.safetensors", "pt") as file:
        assert {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118 - no dict == {"F16"}
    _, info = CLIPModel.from_pretrained(COMMITTED, output_loading_info=True)
    assert not any(info.values()), info
    assert (
        committed.identity["weights"]
        == load_encoder("clip", PROFILES["mini"].clip_weights).identity["weights"]
    )


def test_the_card_names_what_pretraining_printed(committed):
    """As a block of JSON: what `tfcovr pretrain clip` prints at its end."""
    card = (COMMITTED / "README.md").read_text()
    printed = json.loads(re.search(r"```json\n(.*?)```", card, re.DOTALL)[1])
    expected = {
        **asdict(Pretraining()),
        "frames": pictures.SOURCES * pictures.CLIPS_PER_SOURCE * pictures.FRAMES_PER_CLIP,
        "parameters": committed.model.num_parameters(),
    }
    assert {name: printed[name] for name in expected} == expected
    assert printed["seconds"] > 0 and set(printed["last losses"]) >= {"contrast", "words"}


@pytest.mark.slow
@pytest.mark.parametrize("fact", ["place", "shape", "head", "chest"])
def test_the_committed_weights_choose_the_right_caption(committed, held_out, fact):
    """Among a frame's captions that differ in one fact alone, it closes half of what the commonest answer
    leaves open."""
    frames, facts = held_out
    values = sorted(facts[fact].unique())
    with torch.no_grad():
        image_emb = F.normalize(committed.encode_frames(frames[:, None])[:, 0], dim=-1)
        options = [
            caption({**row, fact: value}) for row in facts[list(FACTS)].to_dict("records") for value in values
        ]
        text_emb = torch.cat(
            [committed.encode_texts(options[start : start + 500]) for start in range(0, len(options), 500)]
        )
    scores = torch.einsum(
        "nd,nvd->nv", image_emb, F.normalize(text_emb, dim=-1).unflatten(0, (len(frames), len(values)))
    )
    right = (np.array(values)[scores.argmax(1)] == facts[fact]).mean()
    commonest = facts[fact].value_counts(normalize=True).max()
    assert right > (1 + commonest) / 2
