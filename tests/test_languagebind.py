"""LanguageBind Video from each layout, against the official class's numbers and a plain preprocessing."""

import json

import numpy as np
import pytest
import torch
from golden import golden, weights
from safetensors.torch import save_file
from torch.nn import functional as F
from transformers import BatchEncoding

from tfcovr_utils import video
from tfcovr_utils.encoders import hub, load_encoder
from tfcovr_utils.encoders.base import normalise
from tfcovr_utils.encoders.languagebind import LanguageBindEncoder
from tfcovr_utils.training.pretraining.mini_clip import build_tokenizer

TENSORS, JSON = golden("languagebind_video")
WEIGHTS, FACTS = weights(TENSORS), JSON["config"]
VISION, DIM = FACTS["vision"], FACTS["projection_dim"]
SIZE, NUM_FRAMES = VISION["image_size"], VISION["num_frames"]
TOLERANCE = 1e-5  # absolute, of unit features; the fixture's own suggestion
LONG = " ".join(["pool twist"] * 20)
TEXTS = ["an athlete, tucked, over the pool", "show with 2.5 twists", LONG]
BLOCK = "vision_model.encoder.layers.1."


# ---- files


def config(**vision):
    return {
        "model_type": "LanguageBindVideo",
        "architectures": ["LanguageBindVideo"],
        "projection_dim": FACTS["projection_dim"],
        "vision_config": {**FACTS["vision"], "lora_r": 0, "force_patch_dropout": 0.5, **vision},
        "text_config": {**FACTS["text"], "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1},
    }  # as published, wrong tokens too


def write(folder, weights, config, name="pytorch_model.bin", nested=False):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    if name.endswith(".safetensors"):
        save_file({key: value.contiguous() for key, value in weights.items()}, folder / name)
    else:
        torch.save({"model": weights, "scheduler": {"step": 3}} if nested else weights, folder / name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder as published, with a tokenizer of CLIP's kind, which has more words than the fixture's."""
    folder, tokenizer = tmp_path_factory.mktemp("languagebind"), build_tokenizer(TEXTS, vocab_size=540)
    tokenizer.save_pretrained(folder)
    words = (
        torch.randn(len(tokenizer), FACTS["text"]["hidden_size"], generator=torch.Generator().manual_seed(0))
        * 0.02
    )
    made = config()
    made["text_config"]["vocab_size"] = len(tokenizer)
    write(folder, {**WEIGHTS, "text_model.embeddings.token_embedding.weight": words}, made)
    return folder


def copy(folder, to, weights="pytorch_model.bin"):
    """The folder with its weights under another layout."""
    for path in folder.iterdir():
        if path.name != "pytorch_model.bin":
            (to / path.name).write_bytes(path.read_bytes())
    write(
        to,
        torch.load(folder / "pytorch_model.bin", weights_only=True),
        json.loads((folder / "config.json").read_text()),
        weights,
    )
    return str(to)


@pytest.fixture
def load(folder, tmp_path):
    """Load a folder with these weights by official names and sizes, and the tokenizer of `folder`."""

    def load(weights=WEIGHTS, name="pytorch_model.bin", nested=False, **vision):
        to = tmp_path / name
        write(to, weights, config(**vision), name, nested)
        for file in folder.glob("tokenizer*"):
            (to / file.name).write_bytes(file.read_bytes())
        return load_encoder("languagebind", str(to))

    return load


def features(encoder, pixels=TENSORS["input.video"], ids=TENSORS["input.input_ids"]):
    """Video, text and pooled features of the fixture's inputs, which are pixels and tokens."""
    encoder.prepare = lambda frames: frames.flatten(0, 1)
    mask = (
        TENSORS["input.attention_mask"]
        if ids.shape == TENSORS["input.attention_mask"].shape
        else (ids >= 0).long()
    )
    encoder.tokenizer = lambda texts, **options: BatchEncoding({"input_ids": ids, "attention_mask": mask})
    pixels = pixels.transpose(1, 2)  # officially (N, 3, T, H, W)
    return {
        "video_features": encoder.encode_clips(pixels),
        "text_features": encoder.encode_texts([]),
        "video_pooled": encoder.model.pool(pixels),
    }


def off(found):
    """Largest differences from the fixture: of unit features, and of raw ones relative to their largest."""
    far = {
        name: (
            (found[name] - TENSORS[f"output.{name}"]).abs().max()
            / TENSORS[f"output.{name}"].abs().max().clamp(min=1)
        ).item()
        for name in found
    }
    unit = {
        name: (F.normalize(found[f"{name}_features"], dim=-1) - TENSORS[f"output.{name}"]).abs().max().item()
        for name in ("video", "text")
    }
    return far | unit


def clips(n=2, height=30, width=40, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, NUM_FRAMES, height, width, 3), dtype=np.uint8)


def refused(load, said, **arguments):
    with pytest.raises(ValueError, match=f"^[^\n]*{said}[^\n]*$") as raised:
        load(**arguments)
    assert str(raised.value).endswith("such as LanguageBind/LanguageBind_Video_FT.")


# ---- the official class


@pytest.mark.parametrize(
    ("name", "nested"),
    [("pytorch_model.bin", True), ("pytorch_model.bin", False), ("model.safetensors", False)],
)
def test_features_equal_the_official(load, name, nested):
    encoder = load(name=name, nested=nested)
    assert max(off(features(encoder)).values()) < TOLERANCE
    assert (encoder.num_frames, encoder.image_size, encoder.name) == (NUM_FRAMES, SIZE, "languagebind")
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}


def least(mistake):
    """How far from the official features a mistake lands: as recorded, which is rounded to two digits."""
    return max(10 * TOLERANCE, 0.97 * JSON["difference_when_wrong"][mistake])


def zeroed(part):
    return {name: torch.zeros_like(value) if part in name else value for name, value in WEIGHTS.items()}


@pytest.mark.parametrize(
    ("mistake", "wrong"),
    [
        ("no temporal embedding", {"weights": zeroed("temporal_embedding")}),
        ("no temporal attention", {"weights": zeroed("temporal_attn.out_proj")}),
        ("quick_gelu", {"hidden_act": "quick_gelu"}),
        ("eps 1e-6 (video)", {"layer_norm_eps": 1e-6}),
    ],
)
def test_a_mistake_lands_as_far_off_as_recorded(load, mistake, wrong):
    assert off(features(load(**wrong)))["video"] > least(mistake)


def test_a_wrong_number_of_heads_lands_far(load):
    wrong = load(num_attention_heads=2 * VISION["num_attention_heads"])
    assert off(features(wrong))["video"] > 0.01


def test_the_order_of_frames_counts(load):
    assert off(features(load(), TENSORS["input.video"].flip(2)))["video"] > least("frames reversed")


def test_texts_are_read_at_the_first_end(load):
    ids = TENSORS["input.input_ids"].clone()
    end = FACTS["eos_id"]
    length = min(FACTS["text_lengths"])
    row = FACTS["text_lengths"].index(length)
    assert (ids[row, length - 1 :] == end).all()  # padded with the end token
    ids[row, length + 2 :] = 7  # behind it anything may stand
    assert off(features(load(), ids=ids))["text"] < TOLERANCE
    ids[row, length - 2] = end
    assert off(features(load(), ids=ids))["text"] > 0.1


# ---- every key


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("vision_model.encoder.layers.0.temporal_embedding", "temporal.0.temporal_embedding"),
        (BLOCK + "temporal_attn.k_proj.bias", "temporal.1.temporal_attn.k_proj.bias"),
        (BLOCK + "temporal_layer_norm1.weight", "temporal.1.temporal_layer_norm1.weight"),
        ("text_projection.weight", "clip.text_projection.weight"),
        ("logit_scale", "clip.logit_scale"),
    ],
)
def test_a_missing_and_a_misshapen_weight_are_named(load, name, said):
    refused(
        load,
        f"pytorch_model.bin lacks {said};",
        weights={other: value for other, value in WEIGHTS.items() if other != name},
    )
    refused(
        load,
        f"pytorch_model.bin has in another shape {said};",
        weights={**WEIGHTS, name: torch.ones(2, 2, 2)},
    )


def test_every_weight_is_asked_for_and_positions_are_not(load):
    positions = {name for name in WEIGHTS if name.endswith("position_ids")}
    assert len(positions) == 2
    encoder = load({name: value for name, value in WEIGHTS.items() if name not in positions})
    assert len(encoder.model.state_dict()) == len(WEIGHTS) - len(positions)
    assert max(off(features(encoder)).values()) < TOLERANCE


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            BLOCK + "temporal_layer_norm2.weight",
            "clip.vision_model.encoder.layers.1.temporal_layer_norm2.weight",
        ),
        (BLOCK + "temporal_mlp.fc1.weight", "clip.vision_model.encoder.layers.1.temporal_mlp.fc1.weight"),
        ("vision_model.position_ids", "clip.vision_model.position_ids"),
        ("head.weight", "head.weight"),
    ],
)
def test_a_weight_too_much_is_named(load, name, said):
    refused(load, f"pytorch_model.bin also holds {said};", weights={**WEIGHTS, name: torch.ones(2)})


def test_version_1_5_is_refused(load):
    name = "vision_model.embeddings.patch_embedding.weight"
    patches = WEIGHTS[name].unsqueeze(2).repeat(1, 1, 2, 1, 1)  # of a Conv3d
    refused(load, f"has in another shape clip.{name};", weights={**WEIGHTS, name: patches})


def test_lora_is_refused(load):
    name = "vision_model.encoder.base_model.model.layers.1.temporal_attn.q_proj.lora_A.weight"
    refused(load, f"also holds clip.{name};", weights={**WEIGHTS, name: torch.ones(3, VISION["hidden_size"])})


def test_a_config_that_tells_too_little_is_refused(folder, tmp_path):
    copy(folder, tmp_path)
    known = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**known, "text_config": {}}))
    said = (
        "config.json lacks text_config.hidden_act, text_config.hidden_size, .* and 3 more; pass LanguageBind"
    )
    with pytest.raises(ValueError, match=said):
        load_encoder("languagebind", str(tmp_path))
    del known["projection_dim"]
    (tmp_path / "config.json").write_text(json.dumps(known))
    with pytest.raises(ValueError, match="config.json lacks projection_dim; pass"):
        load_encoder("languagebind", str(tmp_path))


# ---- folders and hub ids


@pytest.mark.parametrize("weights", ["pytorch_model.bin", "model.safetensors"])
def test_a_folder_is_read_with_its_tokenizer(folder, tmp_path, weights):
    encoder, given = load_encoder("languagebind", copy(folder, tmp_path, weights)), clips()
    assert encoder.encode_clips(given).shape == (2, DIM)
    assert encoder.encode_texts(TEXTS).shape == (len(TEXTS), DIM)
    whole = load_encoder("languagebind", str(folder))
    assert encoder.identity == whole.identity
    assert torch.equal(encoder.encode_clips(given), whole.encode_clips(given))
    assert torch.equal(encoder.encode_texts(TEXTS), whole.encode_texts(TEXTS))


def test_a_tokenizer_in_the_old_layout_is_the_same(folder, tmp_path):
    copy(folder, tmp_path)
    learned = json.loads((tmp_path / "tokenizer.json").read_text())["model"]
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "vocab.json").write_text(json.dumps(learned["vocab"]))
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in learned["merges"]]
    (tmp_path / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": 77})
    )
    old, new = load_encoder("languagebind", str(tmp_path)), load_encoder("languagebind", str(folder))
    assert torch.equal(old.encode_texts(TEXTS), new.encode_texts(TEXTS))


def test_without_a_hub_one_sentence_says_how_to_get_it(folder, tmp_path, monkeypatch):
    def silent(name, timeout):
        raise ConnectionError("Name or service not known\nand more")

    monkeypatch.setattr(hub, "model_info", silent)
    with pytest.raises(
        FileNotFoundError, match="^nobody/such-bind is neither [^\n]* run `hf download nobody/such-bind`.$"
    ):
        load_encoder("languagebind", "nobody/such-bind")
    copy(folder, tmp_path)
    (tmp_path / "pytorch_model.bin").unlink()
    with pytest.raises(
        FileNotFoundError,
        match=r"^[^\n]* is no complete [^\n]*pytorch_model.bin[^\n]*; make or fetch that folder again.$",
    ):
        load_encoder("languagebind", str(tmp_path))


# ---- pixels


def cut(pixels, size):
    """The centre of pictures (..., H, W, 3), as torchvision's center_crop places it."""
    top, left = (round((side - size) / 2) for side in pixels.shape[-3:-1])
    return pixels[..., top : top + size, left : left + size, :]


@pytest.mark.parametrize(
    ("height", "width"), [(30, 41), (53, 40), (20, 27), (SIZE, SIZE), (SIZE, SIZE + 9), (SIZE + 13, SIZE)]
)
def test_pixels_are_normalised_then_resized_then_cut(load, height, width):
    encoder, frames, size = load(), clips(1, height, width), SIZE
    pixels = (frames[0] / 255 - np.array(encoder.mean)) / np.array(encoder.std)  # (T, H, W, 3)
    new = (int(height / width * size), size) if width < height else (size, int(width / height * size))
    # As ShortSideScale and nothing else: four neighbours of each place, however far it shrinks.
    rows, columns = (
        np.clip((np.arange(n) + 0.5) * old / n - 0.5, 0, old - 1) for n, old in zip(new, (height, width))
    )
    for places, axis in ((rows, 1), (columns, 2)):
        low = np.floor(places).astype(int)
        share = (places - low).reshape(-1, *[1] * (3 - axis))
        high = np.minimum(low + 1, pixels.shape[axis] - 1)
        pixels = pixels.take(low, axis) * (1 - share) + pixels.take(high, axis) * share
    found = encoder.prepare(frames)
    assert found.shape == (NUM_FRAMES, 3, size, size)
    assert (found.permute(0, 2, 3, 1) - torch.from_numpy(cut(pixels, size))).abs().max() < TOLERANCE


def test_pixels_are_not_mirrored_and_normalised_as_clip_is(load):
    encoder, frames = load(), clips(1, SIZE, SIZE)
    expected = normalise(
        torch.from_numpy(frames[0]).permute(0, 3, 1, 2),
        (0.48145466, 0.4578275, 0.40821073),
        (0.26862954, 0.26130258, 0.27577711),
    )
    assert torch.equal(encoder.prepare(frames), expected) and torch.equal(
        encoder.prepare(frames), encoder.prepare(frames)
    )


# ---- what it does with clips and texts


def test_clips_and_texts_do_not_influence_each_other(folder):
    encoder, given = load_encoder("languagebind", str(folder)), clips(3)
    apart = torch.cat([encoder.encode_clips(given[i : i + 1]) for i in range(3)])
    together = encoder.encode_clips(given)
    assert (together - apart).abs().max() < TOLERANCE and (
        together[0] - together[1]
    ).abs().max() > 100 * TOLERANCE
    apart, together = torch.cat([encoder.encode_texts([text]) for text in TEXTS]), encoder.encode_texts(TEXTS)
    assert (together - apart).abs().max() < TOLERANCE and (
        together[0] - together[1]
    ).abs().max() > 100 * TOLERANCE


def test_a_long_text_is_cut(folder):
    encoder = load_encoder("languagebind", str(folder))
    whole, same, other = encoder.encode_texts([LONG, LONG + " tucked", "tucked " + LONG])
    assert torch.equal(whole, same) and (whole - other).abs().max() > 100 * TOLERANCE


def test_features_are_raw_and_scaled_on_demand(load):
    found = features(encoder := load())["video_features"]
    assert (found.norm(dim=-1) - 1).abs().min() > 0.01
    factor = WEIGHTS["logit_scale"].exp().item()
    assert factor > 90
    assert (encoder.scaled(found) / factor - TENSORS["output.video"]).abs().max() < TOLERANCE


def test_frames_are_sampled_by_its_policy(load):
    encoder = load()
    assert encoder.policy in video.request.POLICIES
    for n in (1, 2, 4, 9):
        chosen = video.sample_indices(n, encoder.num_frames, encoder.policy)
        assert len(chosen) == NUM_FRAMES and (chosen[0], chosen[-1]) == (0, n - 1)


def test_wrong_calls_say_what_to_do(load):
    encoder = load()
    with pytest.raises(
        ValueError,
        match=f"clips have {NUM_FRAMES - 1} frames, .* embeddings for {NUM_FRAMES}; "
        f"read clips by policy 'ends' with frames={NUM_FRAMES}.$",
    ):
        encoder.encode_clips(clips()[:, 1:])
    with pytest.raises(NotImplementedError, match="languagebind gives no features of single frames."):
        encoder.encode_frames(clips())


def test_identity_is_of_what_decides_the_features(load):
    first = load().identity
    assert json.dumps(load(name="model.safetensors").identity) == json.dumps(first)
    others = [
        load({**WEIGHTS, "logit_scale": torch.tensor(1.0)}),
        load(hidden_act="quick_gelu"),
        load(num_attention_heads=2 * VISION["num_attention_heads"]),
        load(layer_norm_eps=1e-6),
    ]
    assert len({json.dumps(first), *(json.dumps(other.identity) for other in others)}) == 1 + len(others)
    assert isinstance(load(), LanguageBindEncoder)
