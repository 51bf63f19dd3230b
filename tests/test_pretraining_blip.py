"""The small BLIP, captioner and BLIP-2: what their instructions may say, what the training makes, and what
the committed ones read."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from captioned_pictures import COUNTS_AND_WAYS, LABELLED, some
from safetensors import safe_open
from torch.nn import functional as F

from tfcovr_utils.encoders import load_encoder
from tfcovr_utils.labels import label_text
from tfcovr_utils.profiles import ROOT
from tfcovr_utils.rendering import pretraining_pictures as pictures
from tfcovr_utils.rendering.captions import caption, frame_facts
from tfcovr_utils.training.pretraining import mini_blip
from tfcovr_utils.training.pretraining.blip_models import BlipPretraining, build_word_tokenizer
from tfcovr_utils.training.pretraining.captioned import FACTS
from tfcovr_utils.training.pretraining.mini_blip import NAMES, draw_changes, pretrain, save

pytestmark = pytest.mark.slow

SMALL = BlipPretraining(
    width=32,
    layers=1,
    heads=2,
    projection=32,
    text_layers=1,
    query_tokens=4,
    steps=40,
    qformer_steps=30,
    captioner_steps=20,
    batch=32,
    warm_up=5,
    lr=5e-3,
    kept_facts=1.0,
)
COMMITTED = ROOT / "data" / "weights"


@pytest.fixture(scope="module")
def performed():
    return [
        facts for skill in LABELLED[::5] for facts in frame_facts(skill, "a_clip", pictures.source_name(1))
    ]


def test_an_instruction_holds_no_count_no_way_of_travel_and_no_label(performed):
    rng = np.random.default_rng(0)
    texts = set(draw_changes(performed, rng.permutation(len(performed)), rng, kept=1.0))
    assert len(texts) > 500
    assert [text for text in texts if COUNTS_AND_WAYS.search(text.replace("one knee bent", ""))] == []
    labels = {
        label_text(skill.text).lower() if skill.family == "dive" else skill.text.lower() for skill in LABELLED
    }
    assert not any(label in text for label in labels for text in texts)


def test_an_instruction_says_what_differs_and_nothing_else(performed):
    other = np.random.default_rng(1).permutation(len(performed))
    texts = draw_changes(performed, other, np.random.default_rng(0), kept=1.0)
    for own, target, text in zip(performed, [performed[place] for place in other], texts):
        changed = sorted(target[name] for name in FACTS if own[name] != target[name])
        assert sorted(text.removeprefix("show ").split(", ")) == (changed or ["the same"])
    few = draw_changes(
        performed, other, np.random.default_rng(0), kept=0.0
    )  # at least one thing is asked for
    assert all(text.count(",") == 0 and text != "show " for text in few)


def test_words_and_signs_can_all_be_written():
    tokenizer = build_word_tokenizer(["show tucked", "an athlete on the beam"])
    assert tokenizer.convert_tokens_to_ids("[ENC]") == len(tokenizer) - 1  # as BLIP has it
    assert tokenizer.unk_token_id not in tokenizer("show 2.5 (twists), tucked & reversed!")["input_ids"]


@pytest.fixture(scope="module")
def trained(rendered):
    return pretrain(SMALL, *some(rendered), progress=False)


def test_a_seed_decides_the_weights(rendered, trained):
    short = replace(SMALL, steps=2, qformer_steps=2, captioner_steps=2)
    first, again, other = (
        pretrain(replace(short, seed=seed), *some(rendered), progress=False)[0] for seed in (0, 0, 1)
    )
    for name in NAMES:
        values = [models[name].state_dict() for models in (first, again, other)]
        assert all(torch.equal(values[0][key], values[1][key]) for key in values[0])
        assert not torch.equal(
            *(state["vision_model.embeddings.patch_embedding.weight"] for state in values[::2])
        )


def test_the_three_share_one_vit(trained):
    models, _, reports = trained
    vits = [models[name].vision_model.state_dict() for name in NAMES]
    assert all(torch.equal(vits[0][key], other[key]) for other in vits[1:] for key in vits[0])
    assert reports["mini-captioner"]["last losses"]["caption"] < 2.5  # log 291 by chance


def test_losses_fall(rendered, monkeypatch):
    histories, train = [], mini_blip.train_reader
    monkeypatch.setattr(
        mini_blip, "train_reader", lambda *given: histories.append(train(*given)) or histories[-1]
    )
    pretrain(SMALL, *some(rendered), progress=False)
    for losses in histories:
        assert losses.notna().all(axis=None) and losses.words.tail(5).mean() < 0.7 * losses.words.iloc[0]
    assert histories[0].caption.tail(5).mean() < 0.7 * histories[0].caption.iloc[0]


def test_what_is_saved_gives_the_same_features(rendered, trained, tmp_path):
    models, tokenizer, reports = trained
    frames = np.array(rendered[0][:4])[None]
    for name in NAMES:
        save(name, models[name], tokenizer, reports[name], tmp_path / name)
        assert "license: mit" in (tmp_path / name / "README.md").read_text()
    blip, blip2, captioner = (
        load_encoder(family, str(tmp_path / f"mini-{family}")) for family in ("blip", "blip2", "captioner")
    )
    with torch.no_grad():
        seen = models["mini-blip"].vision_model(blip.prepare(frames)).last_hidden_state
        expected = F.normalize(models["mini-blip"].vision_proj(seen[:, 0]), dim=-1)
        assert (
            F.cosine_similarity(F.normalize(blip.encode_frames(frames)[0], dim=-1), expected).min() > 1 - 1e-4
        )
    assert blip2.encode_texts(["show tucked"]).shape == (1, SMALL.projection)
    assert all(text.startswith("an") for text in captioner.describe(frames[0]))


# ---- the committed weights


@pytest.fixture(scope="module")
def committed():
    return {
        family: load_encoder(family, str(COMMITTED / f"mini-{family}"))
        for family in ("blip", "blip2", "captioner")
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_weights_are_small_and_whole(name, committed):
    (path,) = (COMMITTED / name).glob("*.safetensors")
    assert path.stat().st_size < 8e6
    with safe_open(path, "pt") as tensors:
        assert {str(tensors.get_tensor(key).dtype) for key in tensors.keys()} <= {  # noqa: SIM118 - no dict
            "torch.float16",
            "torch.int64",
        }
    card = (COMMITTED / name / "README.md").read_text()
    assert (
        f"{sum(p.numel() for p in committed[name.removeprefix('mini-')].model.parameters()):,} parameters"
        in card
    )


@pytest.mark.parametrize("family", ["blip", "blip2"])
def test_the_committed_models_find_the_caption_of_a_picture_they_never_saw(family, committed, held_out):
    frames, facts = held_out
    texts = [caption(row) for row in facts[list(FACTS)].to_dict("records")]
    with torch.no_grad():
        image = F.normalize(committed[family].encode_frames(frames[:, None])[:, 0], dim=-1)
        text = F.normalize(committed[family].encode_texts(texts), dim=-1)
    ranks = (image @ text.T > (image * text).sum(1, keepdim=True)).sum(1)
    assert ranks.median() < len(texts) / 10


def test_the_committed_captioner_says_what_a_picture_shows_and_no_count(committed, held_out):
    frames, facts = held_out
    written = committed["captioner"].describe(frames)
    for fact in (
        "place",
        "shape",
        "head",
        "chest",
    ):  # it closes half of what the commonest answer leaves open
        commonest = facts[fact].value_counts(normalize=True).max()
        assert np.mean([value in text for value, text in zip(facts[fact], written)]) > (1 + commonest) / 2
    assert [text for text in written if COUNTS_AND_WAYS.search(text.replace("one knee bent", ""))] == []
