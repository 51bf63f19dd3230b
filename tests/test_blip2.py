"""BLIP-2's first stage against the official classes' numbers, from every layout its weights come in."""

import json
import re
import warnings
from copy import deepcopy

import numpy as np
import pytest
import torch
from golden import golden, weights
from safetensors.torch import load_file, save_file
from transformers import BertTokenizer

from tfcovr_utils.encoders import load_encoder
from tfcovr_utils.encoders.key_maps import LAVIS, rename
from tfcovr_utils.encoders.tokens import Tokens

TENSORS, JSON = golden("blip2_qformer")
WEIGHTS, CONFIG = weights(TENSORS), JSON["config"]
WIDTH, POSITIONS = CONFIG["hidden_size"], CONFIG["max_position_embeddings"]
UNUSED = {
    "Qformer.bert.embeddings.position_ids",
    "temp",
    *(name for name in WEIGHTS if name.startswith("Qformer.cls.")),
}
KINDS = {
    name for name in WEIGHTS.keys() - UNUSED if not re.search(r"(layer|blocks)\.[1-9]", name)
}  # the first layer stands for all
HEAD = {"itm_head.weight", "itm_head.bias"}
TOLERANCE, TOKEN_TOLERANCE = 1e-5, 2e-5  # absolute, of features and of tokens; the fixture's own suggestion
FAR = 10 * TOLERANCE
HEADS = {"heads": CONFIG["num_attention_heads"], "vision_heads": CONFIG["vision_heads"]}
TEXTS = Tokens(TENSORS["input.input_ids"], TENSORS["input.attention_mask"])
SIZE, PATCH = CONFIG["image_size"], CONFIG["patch_size"]
LAST_LAYER = f"qformer.encoder.layer.{CONFIG['num_hidden_layers'] - 1}"
WORDS = ["show", "with", "two", "and", "a", "half", "twists", "tucked", "pool"]
SENTENCES = ["Show with 2.5 twists!", "tucked", "a pool and a pool"]


# ---- files


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """Folder of a small tokenizer of BERT's kind."""
    folder = tmp_path_factory.mktemp("tokenizer")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    BertTokenizer(vocab={word: row for row, word in enumerate(words)}).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """The same weights in each layout, by name."""
    folder = tmp_path_factory.mktemp("weights")
    covr = {name: value for name, value in WEIGHTS.items() if name not in {"temp", *HEAD}}
    torch.save({"model": WEIGHTS, "scheduler": {"last_epoch": 3}}, folder / "lavis.pth")
    torch.save({"epoch": 3, "model": covr, "scheduler": {}}, folder / "covr.ckpt")
    torch.save({f"module.{name}": value for name, value in WEIGHTS.items()}, folder / "plain.pt")
    for name, file in (("folder", "lavis.pth"), ("headless folder", "covr.ckpt")):
        load_encoder("blip2", str(folder / file), max_tokens=POSITIONS, **HEADS).save_pretrained(
            folder / name
        )
    return {
        "lavis": folder / "lavis.pth",
        "covr": folder / "covr.ckpt",
        "plain": folder / "plain.pt",
        "folder": folder / "folder",
        "headless folder": folder / "headless folder",
    }


@pytest.fixture(scope="module")
def load(paths, tokenizer):
    def load(layout="lavis", **options):
        path = paths.get(layout, layout)
        heads = {} if path.is_dir() else HEADS
        return load_encoder(
            "blip2", str(path), **{"tokenizer": tokenizer, "max_tokens": POSITIONS, **heads, **options}
        )

    return load


@pytest.fixture(scope="module")
def encoder(load):
    return load()


def outputs(encoder):
    """All that the fixture holds."""
    image = encoder.model.vision_model(TENSORS["input.image"]).last_hidden_state
    return {
        "image_tokens": image,
        "text": encoder.read_text(TEXTS),
        "vision": encoder.read_image(image),
        "composed": encoder.compose(image, TEXTS),
    }


def off(encoder, *names):
    """Largest difference from the official classes."""
    found = outputs(encoder)
    assert all(found[name].shape == TENSORS[f"output.{name}"].shape for name in names)
    return max((found[name] - TENSORS[f"output.{name}"]).abs().max().item() for name in names)


@pytest.mark.parametrize("layout", ["lavis", "covr", "plain", "folder", "headless folder"])
def test_has_the_features_of_the_official_classes(load, layout):
    encoder = load(layout)
    assert off(encoder, "text", "vision", "composed") < TOLERANCE
    assert off(encoder, "image_tokens") < TOKEN_TOLERANCE
    assert hasattr(encoder.model, "itm_head") == (layout not in ("covr", "headless folder"))
    assert encoder.image_size == SIZE and {parameter.dtype for parameter in encoder.parameters()} == {
        torch.float32
    }


def scale_norms(encoder, eps):
    for module in encoder.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = eps(module.eps)


def skip_images(encoder):
    for layer in encoder.model.qformer.encoder.layer:
        layer.has_cross_attention = False


def swap_feed_forward(encoder):
    for layer in encoder.model.qformer.encoder.layer:
        layer.intermediate_query, layer.output_query = layer.intermediate, layer.output


def swap_projections(encoder):
    encoder.model.text_projection, encoder.model.vision_projection = (
        encoder.model.vision_projection,
        encoder.model.text_projection,
    )


@pytest.mark.parametrize(
    ("harm", "moved"),
    [
        (skip_images, ["vision", "composed"]),
        (swap_feed_forward, ["vision", "composed"]),
        (swap_projections, ["text", "vision", "composed"]),
        (lambda encoder: scale_norms(encoder, lambda eps: 1e-5 if eps == 1e-6 else eps), ["composed"]),
        (lambda encoder: scale_norms(encoder, lambda eps: 1e-5 if eps == 1e-12 else eps), ["text"]),
    ],
)
def test_a_wrong_part_lands_far(encoder, harm, moved):
    wrong = deepcopy(encoder)
    harm(wrong)
    assert all(off(wrong, name) > FAR for name in moved)


@pytest.mark.parametrize("option", ["heads", "vision_heads"])
def test_a_wrong_number_of_heads_lands_far(load, option):
    assert off(load(**{option: 2 * HEADS[option]}), "composed") > FAR


def test_padding_and_company_do_not_count(encoder):
    image, lengths = TENSORS["output.image_tokens"], TEXTS.attention_mask.sum(1)
    for row, length in enumerate(lengths):
        alone = Tokens(TEXTS.input_ids[row : row + 1, :length], TEXTS.attention_mask[row : row + 1, :length])
        assert (encoder.read_text(alone) - TENSORS["output.text"][row]).abs().max() < TOLERANCE
        assert (
            encoder.compose(image[row : row + 1], alone) - TENSORS["output.composed"][row]
        ).abs().max() < TOLERANCE
        assert (
            encoder.read_image(image[row : row + 1]) - TENSORS["output.vision"][row]
        ).abs().max() < TOLERANCE
    seen = Tokens(TEXTS.input_ids, torch.ones_like(TEXTS.attention_mask))
    assert (encoder.read_text(seen) - TENSORS["output.text"]).abs().max() > FAR
    assert (encoder.compose(image, seen) - TENSORS["output.composed"]).abs().max() > FAR


def test_an_image_without_its_text_is_refused(encoder):
    with pytest.raises(
        ValueError, match=f"there are 2 images and {len(TEXTS)} texts; pass one text an image."
    ):
        encoder.compose(TENSORS["output.image_tokens"][:2], TEXTS)


# ---- frames


def frames(n=2, t=3, height=SIZE, width=SIZE):
    return np.random.default_rng(0).integers(0, 256, (n, t, height, width, 3), dtype=np.uint8)


def test_frames_and_clips(encoder):
    clips = frames()
    pixels = (
        torch.tensor(clips).permute(0, 1, 4, 2, 3) / 255
        - torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
    ) / torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
    tokens = encoder.model.vision_model(pixels.flatten(0, 1)).last_hidden_state.unflatten(0, (2, 3))
    features = encoder.encode_frames(clips)
    assert (encoder.encode_tokens(clips) - tokens).abs().max() < TOKEN_TOLERANCE
    assert (features - encoder.read_image(tokens.flatten(0, 1)).unflatten(0, (2, 3))).abs().max() < TOLERANCE
    assert (features.norm(dim=-1) - 1).abs().min() > 0.01  # a mean of unit vectors is none
    assert (encoder.encode_clips(clips) - features.mean(1)).abs().max() < TOLERANCE
    alone = torch.stack(
        [
            torch.stack([encoder.encode_frames(clips[i : i + 1, t : t + 1])[0, 0] for t in range(3)])
            for i in range(2)
        ]
    )
    assert (alone - features).abs().max() < TOLERANCE and (features[0, 0] - features[1, 0]).abs().max() > FAR
    assert encoder.encode_frames(frames(1, 1, 40, 60)).shape == (1, 1, CONFIG["embed_dim"])


# ---- texts


def ids(encoder, *texts):
    tokens = encoder.tokenise(list(texts))
    return [row[mask.bool()].tolist() for row, mask in zip(tokens.input_ids, tokens.attention_mask)]


def test_texts_are_written_as_the_official_loaders_do(encoder, load):
    words = {word: 5 + row for row, word in enumerate(WORDS)}
    assert ids(encoder, SENTENCES[0]) == [
        [2, *(words[word] for word in ["show", "with", "two", "and", "a", "half", "twists"]), 3]
    ]
    assert ids(load(max_words=3), SENTENCES[0]) == [
        [2, *(words[word] for word in ("show", "with", "two")), 3]
    ]


def test_texts_do_not_influence_each_other(encoder):
    together = encoder.encode_texts(SENTENCES)
    assert (
        together - torch.cat([encoder.encode_texts([text]) for text in SENTENCES])
    ).abs().max() < TOLERANCE
    assert (together.norm(dim=1) - 1).abs().max() < TOLERANCE and (
        together[0] - together[1]
    ).abs().max() > FAR
    assert torch.equal(together, encoder.read_text(encoder.tokenise(SENTENCES)))


def test_a_text_that_is_cut_is_told(load):
    encoder = load(max_tokens=6)
    with pytest.warns(
        UserWarning,
        match=r"^2 of 3 texts lose 4 tokens, since max_tokens is 6; raise it or shorten the texts.$",
    ):
        cut = ids(encoder, *SENTENCES)
    assert [len(row) for row in cut] == [6, 3, 6] and cut[0][-1] == CONFIG["sep_id"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(ids(encoder, "a pool and a")[0]) == 6
    with pytest.raises(
        ValueError,
        match=f"max_tokens={POSITIONS + 1} is more than the {POSITIONS} positions of this Q-Former; "
        "pass at most that many.",
    ):
        load(max_tokens=POSITIONS + 1)


# ---- training


@pytest.mark.parametrize(
    ("part", "reaches", "frozen", "idle"),
    [
        ("text", lambda encoder, image: encoder.read_text(TEXTS), (), ()),
        ("vision", lambda encoder, image: encoder.read_image(image), ("qformer.",), ()),
        (
            "composed",
            lambda encoder, image: encoder.compose(image, TEXTS),
            ("vision_model.", "query_tokens"),
            (f"{LAST_LAYER}.intermediate.", f"{LAST_LAYER}.output."),
        ),  # the last layer's text is not read out
    ],
)
def test_trains_what_the_official_code_trains(load, part, reaches, frozen, idle):
    encoder = load().requires_grad_(True)
    image = encoder.model.vision_model(TENSORS["input.image"]).last_hidden_state
    (reaches(encoder, image) * TENSORS["output.text"]).sum().backward()
    with_gradient = {
        name for name, parameter in encoder.model.named_parameters() if parameter.grad is not None
    }
    trained = {id(parameter) for parameter in encoder.trained_parameters(part)}
    names = {name for name, parameter in encoder.model.named_parameters() if id(parameter) in trained}
    assert len(trained) == len(encoder.trained_parameters(part)) == len(names)
    assert names == {name for name in with_gradient if not name.startswith(frozen or "-")} | {
        name for name, _ in encoder.model.named_parameters() if name.startswith(idle or "-")
    }
    assert all(
        parameter.grad is None or parameter.grad.isfinite().all() for parameter in encoder.parameters()
    )


def test_an_unknown_part_lists_the_known(encoder):
    with pytest.raises(ValueError, match="part 'image' is not known; choose one of text, vision, composed."):
        encoder.trained_parameters("image")


# ---- every key accounted for


def refused(path, state, **options):
    """The one sentence that a file of these weights is refused by."""
    torch.save({"model": state}, path)
    with pytest.raises(ValueError, match=r"^[^\n]*; pass [^\n]*$") as raised:
        load_encoder("blip2", str(path), max_tokens=POSITIONS, **HEADS | options)
    return str(raised.value)


def test_every_weight_of_a_file_is_asked_for(tmp_path):
    for name in KINDS:
        said = refused(
            tmp_path / "less.pth", {other: value for other, value in WEIGHTS.items() if other != name}
        )
        own, _ = rename({re.sub("[qv]_bias", "qkv.bias", name): WEIGHTS[name]}, LAVIS)
        assert len(own) == 1 and said.startswith(
            tuple(f"{tmp_path / 'less.pth'} lacks {either};" for either in (name, *own))
        ), said


def test_no_weight_of_another_shape_is_taken(tmp_path):
    counted = {
        "Qformer.bert.embeddings.word_embeddings.weight",
        "Qformer.bert.embeddings.position_embeddings.weight",
    }
    for name in KINDS - counted:  # nothing else tells how many words and positions there are
        assert "has in another shape" in refused(
            tmp_path / "other.pth", WEIGHTS | {name: WEIGHTS[name][:-1]}
        ), name


@pytest.mark.parametrize(
    "name",
    [
        "visual_encoder.norm.weight",
        "visual_encoder.blocks.0.attn.k_bias",
        "Qformer.bert.pooler.dense.weight",
        "temperature",
        "my_temp",
        "xQformer.cls.predictions.bias",
        "logit_scale",
    ],
)
def test_a_weight_too_much_is_named(tmp_path, name):
    assert f" also holds {name}; pass" in refused(tmp_path / "more.pth", WEIGHTS | {name: torch.ones(2)})


def test_heads_that_do_not_fit_are_refused(tmp_path, paths):
    heads = WIDTH - 1
    assert f"heads={heads} does not divide a width of {WIDTH}; pass the heads" in refused(
        tmp_path / "more.pth", WEIGHTS, heads=heads
    )
    assert f"vision_heads=0 does not divide a width of {CONFIG['vision_width']}" in refused(
        tmp_path / "more.pth", WEIGHTS, vision_heads=None
    )
    with pytest.raises(
        ValueError, match="is no file and has its own heads and vision_heads; leave them out."
    ):
        load_encoder("blip2", str(paths["folder"]), **HEADS)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.pop("text_projection.bias"), "lacks text_projection.bias; pass"),
        (lambda state: state.pop("itm_head.bias"), "lacks itm_head.bias; pass"),
        (lambda state: state.update(extra=torch.ones(2)), "also holds extra; pass"),
        (
            lambda state: state.update(query_tokens=torch.ones(1, CONFIG["num_query_token"] - 1, WIDTH)),
            "has in another shape query_tokens; pass",
        ),
        (lambda state: state.update({"embeddings.position_ids": torch.arange(POSITIONS)[None]}), None),
    ],
)
def test_a_folder_with_other_weights_is_refused(paths, load, tmp_path, change, said):
    state = load_file(paths["folder"] / "model.safetensors")
    change(state)
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_text((paths["folder"] / "config.json").read_text())
    if said is None:
        assert load(tmp_path).identity == load("folder").identity
    else:
        with pytest.raises(ValueError, match=rf"^[^\n]* {said} a checkpoint of BLIP-2's first stage[^\n]*$"):
            load(tmp_path)


def test_the_text_layers_are_built_whatever_a_config_calls_them(paths, load, tmp_path):
    config = json.loads((paths["folder"] / "config.json").read_text())
    del config["qformer_config"]["use_qformer_text_input"]
    config["qformer_config"]["qformer_text_input"] = True
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes((paths["folder"] / "model.safetensors").read_bytes())
    assert off(load(tmp_path), "text", "composed") < TOLERANCE


def test_other_folders_and_files_that_are_not_there(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(
        ValueError, match="holds a model of type 'bert'; pass a checkpoint of BLIP-2's first stage"
    ):
        load_encoder("blip2", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="none.pth does not exist"):
        load_encoder("blip2", str(tmp_path / "none.pth"))
    (tmp_path / "config.json").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"^[^\n]* is no complete Hugging Face folder of this kind [^\n]*$"
    ):
        load_encoder("blip2", str(tmp_path))


def test_identity_is_of_what_decides_the_features(load, tmp_path):
    first = load().identity
    assert json.dumps(first) == json.dumps(load("folder").identity) == json.dumps(load("plain").identity)
    torch.save({"model": WEIGHTS | {"ln_vision.bias": WEIGHTS["ln_vision.bias"] + 1}}, tmp_path / "other.pth")
    others = [
        load(tmp_path / "other.pth"),
        load(heads=2 * HEADS["heads"]),
        load(vision_heads=2 * HEADS["vision_heads"]),
        load(max_words=5),
        load(max_words=None),
        load(max_tokens=9),
        load(tokenizer="bert-base-uncased"),
    ]
    assert len({json.dumps(first), *(json.dumps(other.identity) for other in others)}) == 1 + len(others)
