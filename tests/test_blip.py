"""BLIP against the numbers of CoVR's and BSE-CoVR's own classes, from every layout; files and training."""

import json
import re
import shutil
import warnings
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from golden import golden, weights
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import BertTokenizer, BlipConfig, BlipForImageTextRetrieval

from tfcovr_utils.encoders import load_encoder
from tfcovr_utils.encoders.blip import BlipEncoder
from tfcovr_utils.encoders.blip_files import config_of, correct
from tfcovr_utils.encoders.key_maps import BLIP, rename
from tfcovr_utils.encoders.tokens import Tokens

TENSORS, JSON = golden("blip_ca")
WEIGHTS, CONFIG = weights(TENSORS), JSON["config"]
COVR = {name: value for name, value in WEIGHTS.items() if not name.startswith("prompt_proj.")}
HEADS = {"heads": CONFIG["num_attention_heads"], "vision_heads": CONFIG["vision_heads"]}
ENC_ID, WIDTH, POSITIONS = CONFIG["enc_id"], CONFIG["vision_width"], CONFIG["max_position_embeddings"]
TEXT_WIDTH, DIM, SIZE = CONFIG["hidden_size"], CONFIG["embed_dim"], CONFIG["image_size"]
NUM_TOKENS = 1 + (SIZE // CONFIG["patch_size"]) ** 2
NUM_TEXTS = len(CONFIG["text_lengths"])
UNIT, TOKEN = 1e-5, 2e-5  # absolute, of unit vectors and of tokens; the fixture's own suggestion
FRAMES = torch.zeros(NUM_TEXTS, 1, SIZE, SIZE, 3, dtype=torch.uint8)


def words_of(ids):
    """Texts that the small tokenizer gives these rows of ids for."""
    return [" ".join(f"w{word}" for word in row[1 : int((row != 0).sum()) - 1].tolist()) for row in ids]


MODIFICATIONS, DESCRIPTIONS = words_of(TENSORS["input.input_ids"]), words_of(TENSORS["input.prompt_ids"])


def largest(a, b):
    return (a - b).abs().max().item()


def build_tokenizer(folder, enc=True):
    """Id 7 is the word "w7"; the last two are [DEC] and [ENC], as officially, or unknown, as in the hub's."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{i}" for i in range(4, CONFIG["dec_id"]))]
    tokenizer = BertTokenizer(vocab={word: i for i, word in enumerate(words)}, mask_token="[UNK]")
    if enc:
        tokenizer.add_special_tokens({"bos_token": "[DEC]"})
        tokenizer.add_tokens(["[ENC]"], special_tokens=True)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return build_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def load(tokenizer, tmp_path_factory):
    """Save a state dict as the official code does, and load it as users do."""
    folder = tmp_path_factory.mktemp("official")

    def load(state=WEIGHTS, name="ckpt.ckpt", **options):
        torch.save({"epoch": 3, "model": state, "scheduler": {"last_epoch": 3}}, folder / name)
        return load_encoder("blip", str(folder / name), **{"tokenizer": tokenizer, **HEADS, **options})

    return load


@pytest.fixture(scope="module")
def bse(load):
    """BSE-CoVR's model; not to be changed."""
    return load()


@pytest.fixture(scope="module")
def folder(bse, tmp_path_factory):
    """What `save_pretrained` writes of it; not to be changed."""
    folder = tmp_path_factory.mktemp("folder") / "blip"
    bse.tokenise(["w4"], enc=True)
    bse.save_pretrained(folder)
    return folder


def copied(folder, to):
    return Path(shutil.copytree(folder, to))


def see(encoder):
    """The fixture's images are normalised already."""
    encoder.prepare = lambda frames: TENSORS["input.image"]
    tokens, features = encoder.encode_tokens(FRAMES), encoder.encode_frames(FRAMES)
    del encoder.prepare
    return tokens[:, 0], features[:, 0]


def outputs(encoder):
    """Every output of the fixture from pixels and texts, as far as the weights give it."""
    tokens, target = see(encoder)
    modification = encoder.tokenise(MODIFICATIONS, enc=True)
    found = {
        "image_tokens": tokens,
        "target": target,
        "query": encoder.compose(tokens, modification),
        "text_only": encoder.encode_texts(MODIFICATIONS),
    }
    if encoder.prompt_proj is not None:
        for name, enc in (("query_bse", True), ("query_bse_train_prompt", False)):
            found[name] = encoder.compose(
                tokens, modification, encoder.ground(encoder.tokenise(DESCRIPTIONS, enc))
            )
    return found


def agrees(encoder, grounded=True):
    found = outputs(encoder)
    assert len(found) == (6 if grounded else 4)
    for name, value in found.items():
        assert value.shape == TENSORS[f"output.{name}"].shape, name
        assert largest(value, TENSORS[f"output.{name}"]) < (TOKEN if name == "image_tokens" else UNIT), name
    return found


# ---- the official numbers, from every layout


def test_the_texts_are_those_of_the_fixture(bse):
    for texts, name in ((MODIFICATIONS, "input"), (DESCRIPTIONS, "prompt")):
        tokens = bse.tokenise(texts, enc=False)
        assert torch.equal(tokens.input_ids, TENSORS[f"input.{name}_ids"][:, : tokens.input_ids.shape[1]])
        assert torch.equal(tokens.attention_mask, (tokens.input_ids != 0).long())


def test_bse_covr_has_the_official_outputs(bse):
    agrees(bse)


def test_covr_has_the_official_outputs(load):
    encoder = load(COVR)
    agrees(encoder, grounded=False)
    assert encoder.prompt_proj is None and not hasattr(encoder.model, "itm_head")


def test_blips_own_file_has_the_official_outputs(load):
    """Its matching head is kept; momentum copies, queues and temperature serve training alone."""
    state = {
        **COVR,
        "temp": torch.tensor(0.07),
        "image_queue": torch.ones(DIM, 8),
        "text_queue": torch.ones(DIM, 8),
        "idx_queue": torch.ones(1, 8),
        "ptr_queue": torch.ones(1),
        "itm_head.weight": torch.ones(2, TEXT_WIDTH),
        "itm_head.bias": torch.ones(2),
    }
    for name, value in COVR.items():
        module, _, rest = name.partition(".")
        state[f"{module}_m.{rest}"] = value + 1
    encoder = load(
        {f"module.{name}": value for name, value in state.items()}, "model_large_retrieval_coco.pth"
    )
    agrees(encoder, grounded=False)
    assert torch.equal(encoder.model.itm_head.weight, torch.ones(2, TEXT_WIDTH))


def test_a_saved_folder_is_the_same_model(bse, folder, tmp_path):
    again = load_encoder("blip", str(folder))
    for name, value in agrees(again).items():
        assert torch.equal(value, outputs(bse)[name]), name
    again.save_pretrained(tmp_path)
    third = load_encoder("blip", str(tmp_path))
    assert json.dumps(third.identity) == json.dumps(again.identity)
    assert {name: again.identity[name] for name in again.identity if name != "tokenizer"} == {
        name: bse.identity[name] for name in bse.identity if name != "tokenizer"
    }


def test_transformers_reads_a_saved_folder(bse, folder):
    model, report = BlipForImageTextRetrieval.from_pretrained(folder, output_loading_info=True)
    assert (
        set(report["missing_keys"]) == {"itm_head.weight", "itm_head.bias"} and not report["unexpected_keys"]
    )
    assert torch.equal(model.eval().vision_model(TENSORS["input.image"]).last_hidden_state, see(bse)[0])


def test_a_folder_of_the_hubs_is_corrected(folder, tmp_path):
    """In half precision, as pytorch_model.bin with positions, and with the hub's epsilon and dropout."""
    hub = copied(folder, tmp_path / "hub")
    weights = {name: value.half() for name, value in load_file(hub / "model.safetensors").items()}
    torch.save(
        {**weights, "text_encoder.embeddings.position_ids": torch.arange(POSITIONS)[None]},
        hub / "pytorch_model.bin",
    )
    (hub / "model.safetensors").unlink()
    config = json.loads((hub / "config.json").read_text())
    config["vision_config"]["layer_norm_eps"] = 1e-5
    config["text_config"] |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (hub / "config.json").write_text(json.dumps(config | {"torch_dtype": "float16", "dtype": "float16"}))
    encoder = load_encoder("blip", str(hub))
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}
    assert encoder.identity["norm_eps"] == [1e-6, 1e-12]
    assert encoder.model.text_encoder.encoder.layer[0].output.dropout.p == 0.1
    save_file(
        {name: value.float() for name, value in weights.items()}, hub / "model.safetensors", {"format": "pt"}
    )
    for name, value in outputs(load_encoder("blip", str(hub))).items():
        assert torch.equal(outputs(encoder)[name], value)
        assert largest(value, TENSORS[f"output.{name}"]) < (
            0.2 if name == "image_tokens" else 0.02
        )  # half precision


@pytest.mark.parametrize(("width", "said", "heads"), [(768, 8, 12), (768, 6, 6), (64, 8, 8)])
def test_eight_heads_of_the_hubs_old_configs_are_twelve(width, said, heads):
    config = BlipConfig(text_config={"hidden_size": width, "num_attention_heads": said})
    assert correct(config, "folder").text_config.num_attention_heads == heads


# ---- break one thing


def changed(encoder, change):
    encoder = deepcopy(encoder)
    change(encoder.model)
    return encoder


def set_eps(module, eps):
    for part in module.modules():
        if isinstance(part, torch.nn.LayerNorm):
            part.eps = eps


def one_head(model):
    for layer in model.text_encoder.encoder.layer:
        for attention in (layer.attention.self, layer.crossattention.self):
            attention.num_attention_heads, attention.attention_head_size = 1, attention.all_head_size


def with_cross_attention(encoder, tokens):
    return encoder.prompt_proj(encoder._read(encoder.tokenise(DESCRIPTIONS, enc=True), tokens))


def to_the_class_token(encoder, tokens, grounding):
    return torch.cat([tokens[:, :1] + grounding[:, None], tokens[:, 1:]], dim=1)


WRONG = {
    "[CLS] kept": lambda e, x, text, g: e.compose(x, e.tokenise(MODIFICATIONS, enc=False)),
    "padding mask ignored": lambda e, x, text, g: e.compose(
        x, Tokens(text.input_ids, torch.ones_like(text.attention_mask))
    ),
    "vision eps 1e-5": lambda e, x, text, g: outputs(
        changed(e, lambda model: set_eps(model.vision_model, 1e-5))
    )["query"],
    "text eps 1e-5": lambda e, x, text, g: outputs(
        changed(e, lambda model: set_eps(model.text_encoder, 1e-5))
    )["query"],
    "one text head": lambda e, x, text, g: outputs(changed(e, one_head))["query"],
    "BSE: prompt with [CLS]": lambda e, x, text, g: e.compose(
        x, text, e.ground(e.tokenise(DESCRIPTIONS, enc=False))
    ),
    "BSE: prompt added to the class token only": lambda e, x, text, g: e.compose(
        to_the_class_token(e, x, g), text
    ),
    "BSE: prompt with cross-attention": lambda e, x, text, g: e.compose(x, text, with_cross_attention(e, x)),
    "BSE: prompt left out": lambda e, x, text, g: e.compose(x, text),
    "image of another item": lambda e, x, text, g: e.compose(x.roll(1, 0), text),
}


@pytest.mark.parametrize("mistake", JSON["difference_when_wrong"])
def test_a_mistake_lands_as_far_off_as_recorded(bse, mistake):
    text, grounding = bse.tokenise(MODIFICATIONS, enc=True), bse.ground(bse.tokenise(DESCRIPTIONS, enc=True))
    found = WRONG[mistake](bse, see(bse)[0], text, grounding)
    difference = largest(found, TENSORS["output.query_bse" if mistake.startswith("BSE") else "output.query"])
    assert difference > 10 * UNIT and difference > 0.5 * JSON["difference_when_wrong"][mistake]


# ---- files that are not as they should be


def test_every_weight_is_asked_for(load):
    for name in set(WEIGHTS) - {"text_encoder.embeddings.position_ids"}:
        (new,), unknown = rename({name: WEIGHTS[name]}, BLIP)
        with pytest.raises(
            ValueError, match=f"^[^\n]* lacks {re.escape(new.removeprefix('prompt_proj.'))}; pass a [^\n]*$"
        ):
            load({other: value for other, value in WEIGHTS.items() if other != name})
        assert not unknown and ("prompt_proj" in name) == new.startswith("prompt_proj")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        *(
            (name, name)
            for name in (
                "text_decoder.bert.x",
                "temperature",
                "queue",
                "vision_model_m.x",
                "itm_head_m.weight",
                "visual_encoder.position_ids",
                "visual_encoder.blocks.0.norm3.weight",
                "text_encoder.pooler.dense.bias",
            )
        ),
        ("prompt_proj.scale", "scale"),
        ("visual_encoder.norm.scale", "vision_model.post_layernorm.scale"),
    ],
)
def test_a_weight_too_much_is_named(load, name, said):
    with pytest.raises(ValueError, match=f"^[^\n]* also holds {re.escape(said)}; pass a [^\n]*$"):
        load({**WEIGHTS, name: torch.ones(2)})


@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        ("vision_proj.weight", (DIM, WIDTH - 1), "vision_proj.weight"),
        ("prompt_proj.weight", (WIDTH, TEXT_WIDTH - 1), "weight"),
        (
            "visual_encoder.blocks.1.attn.qkv.bias",
            (3 * WIDTH - 1,),
            "vision_model.encoder.layers.1.self_attn.qkv.bias",
        ),
        (
            "text_encoder.encoder.layer.0.crossattention.self.key.weight",
            (TEXT_WIDTH, TEXT_WIDTH),
            "text_encoder.encoder.layer.0.crossattention.self.key.weight",
        ),
    ],
)
def test_a_weight_of_another_shape_is_named(load, name, shape, said):
    with pytest.raises(ValueError, match=f"^[^\n]* has in another shape {re.escape(said)}; pass a [^\n]*$"):
        load({**WEIGHTS, name: torch.ones(shape)})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.pop("text_proj.bias"), "lacks text_proj.bias"),
        (lambda state: state.update({"text_decoder.x": torch.ones(1)}), "also holds text_decoder.x"),
        (
            lambda state: state.update({"text_proj.bias": torch.ones(3)}),
            "has in another shape text_proj.bias",
        ),
    ],
)
def test_a_folders_weights_are_accounted_for(folder, tmp_path, change, said):
    broken = copied(folder, tmp_path / "broken")
    state = load_file(broken / "model.safetensors")
    change(state)
    save_file(state, broken / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=f"^[^\n]*broken {said}; pass a BLIP for retrieval[^\n]*$"):
        load_encoder("blip", str(broken))


def test_what_is_no_blip_is_told_so(load, folder, tmp_path):
    with pytest.raises(
        ValueError, match=r"^[^\n]* lacks text_encoder.embeddings[^\n]*; pass a BLIP for retrieval[^\n]*$"
    ):
        load({"weight": torch.ones(1)})
    with pytest.raises(FileNotFoundError, match="^none/webvid-covr.ckpt does not exist; put a BLIP"):
        load_encoder("blip", "none/webvid-covr.ckpt")
    clip = copied(folder, tmp_path / "clip")
    (clip / "config.json").write_text(json.dumps({"model_type": "clip"}))
    with pytest.raises(ValueError, match="holds a 'clip' model, not 'blip'; pass a BLIP"):
        load_encoder("blip", str(clip))
    clip = copied(folder, tmp_path / "bare")
    (clip / "model.safetensors").unlink()
    with pytest.raises(
        FileNotFoundError,
        match=r"^[^\n]* is no complete Hugging Face folder [^\n]*; make or fetch that folder again.$",
    ):
        load_encoder("blip", str(clip))


def test_heads_are_asked_for_where_the_width_does_not_tell(load):
    with pytest.raises(
        ValueError,
        match=rf"^heads=0 does not divide a width of {TEXT_WIDTH}; pass the heads that this checkpoint",
    ):
        load(heads=None)
    text = load(heads=1)
    assert largest(outputs(text)["query"], TENSORS["output.query"]) > 0.1
    assert largest(outputs(load(vision_heads=1))["target"], TENSORS["output.target"]) > 0.01


def test_a_published_width_tells_its_heads():
    shapes = {
        "text_encoder.embeddings.word_embeddings.weight": (9, 768),
        "text_encoder.embeddings.position_embeddings.weight": (512, 768),
        "text_encoder.encoder.layer.0.intermediate.dense.weight": (5, 768),
        "vision_model.embeddings.position_embedding": (1, 577, 1024),
        "vision_model.embeddings.patch_embedding.weight": (1024, 3, 16, 16),
        "vision_model.encoder.layers.0.mlp.fc1.weight": (7, 1024),
        "text_proj.weight": (6, 768),
    }
    config = config_of({name: torch.empty(shape) for name, shape in shapes.items()}, "file")
    vision, text = config.vision_config, config.text_config
    assert (
        vision.num_attention_heads,
        text.num_attention_heads,
        vision.image_size,
        vision.intermediate_size,
    ) == (16, 12, 384, 7)
    assert (
        vision.num_hidden_layers,
        text.num_hidden_layers,
        text.encoder_hidden_size,
        config.image_text_hidden_size,
    ) == (1, 1, 1024, 6)
    assert (vision.layer_norm_eps, text.layer_norm_eps) == (1e-6, 1e-12)
    assert (text.hidden_dropout_prob, text.attention_probs_dropout_prob) == (0.1, 0.1)


# ---- texts


@pytest.mark.parametrize("known", [True, False])
def test_enc_takes_the_place_of_cls(load, tmp_path, known):
    encoder = load(tokenizer=build_tokenizer(tmp_path, enc=known))
    with_enc, without = (encoder.tokenise(MODIFICATIONS, enc=enc) for enc in (True, False))
    assert with_enc.input_ids[:, 0].tolist() == [ENC_ID] * NUM_TEXTS
    assert without.input_ids[:, 0].tolist() == [CONFIG["cls_id"]] * NUM_TEXTS
    assert torch.equal(with_enc.input_ids[:, 1:], without.input_ids[:, 1:])
    assert torch.equal(with_enc.attention_mask, without.attention_mask)


def test_texts_are_written_as_the_official_loaders_do(load, bse):
    encoder = load(max_words=3)
    ids = encoder.tokenise(['W5!  "w6" (w7) w8'], enc=False).input_ids
    assert ids.tolist() == [[2, 5, 6, 7, 3]]
    assert bse.tokenise(['W5!  "w6" (w7) w8'], enc=False).input_ids.tolist() == [[2, 5, 6, 7, 8, 3]]


def test_dense_texts_stay_whole_where_there_are_positions(load):
    state = {**WEIGHTS, "text_encoder.embeddings.position_embeddings.weight": torch.randn(160, TEXT_WIDTH)}
    text = " ".join(f"w{4 + i % 50}" for i in range(120))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = load(state, max_words=None, max_tokens=512).tokenise([text, "w4"], enc=True)
        official = load(state).tokenise([text], enc=True)
    assert whole.attention_mask.sum(1).tolist() == [122, 3] and official.attention_mask.sum(1).tolist() == [
        32
    ]


def test_texts_that_lose_tokens_are_counted(load):
    encoder = load(max_words=None, max_tokens=10)
    said = "2 of 3 texts lose 7 tokens, since max_tokens is 10; raise it or shorten the texts."
    with pytest.warns(UserWarning, match=f"^{re.escape(said)}$"):
        tokens = encoder.tokenise(["w5 " * 9, "w5 " * 8, "w5 " * 14], enc=False)
    assert (
        tokens.attention_mask.sum(1).tolist() == [10, 10, 10] and tokens.input_ids[:, -1].tolist() == [3] * 3
    )


# ---- invariances and shapes


def test_frames_are_squared_and_do_not_influence_each_other(bse):
    clips = np.random.default_rng(0).integers(0, 256, (2, 3, 20, 27, 3), dtype=np.uint8)
    tokens, features = bse.encode_tokens(clips), bse.encode_frames(clips)
    assert tokens.shape == (2, 3, NUM_TOKENS, WIDTH) and features.shape == (2, 3, DIM)
    assert torch.allclose(features.norm(dim=-1), torch.ones(2, 3))
    for i in range(2):
        for t in range(3):
            assert largest(bse.encode_tokens(clips[i : i + 1, t : t + 1])[0, 0], tokens[i, t]) < 1e-5
            assert largest(bse.encode_frames(clips[i : i + 1, t : t + 1])[0, 0], features[i, t]) < 1e-5
    assert largest(features[0, 0], features[0, 1]) > 1e-3 and largest(features[0], features[1]) > 1e-3
    assert largest(bse.encode_clips(clips), features.mean(1)) < 1e-6


def test_texts_neither_influence_each_other_nor_see_padding(bse):
    tokens = see(bse)[0]
    assert (
        largest(
            bse.encode_texts(MODIFICATIONS), torch.cat([bse.encode_texts([text]) for text in MODIFICATIONS])
        )
        < 1e-5
    )
    together = bse.tokenise(MODIFICATIONS, enc=True), bse.tokenise(DESCRIPTIONS, enc=True)
    expected, grounding = bse.compose(tokens, together[0], bse.ground(together[1])), bse.ground(together[1])
    for i in range(NUM_TEXTS):
        alone = bse.tokenise(DESCRIPTIONS[i : i + 1], enc=True)
        assert largest(bse.ground(alone)[0], grounding[i]) < 1e-5
        query = bse.compose(
            tokens[i : i + 1], bse.tokenise(MODIFICATIONS[i : i + 1], enc=True), bse.ground(alone)
        )
        assert largest(query[0], expected[i]) < 1e-5
    rows = torch.tensor([2, 0])
    assert largest(bse.compose(tokens[rows], together[0][rows], grounding[rows]), expected[rows]) < 1e-5


def test_wrong_shapes_say_what_to_pass(bse):
    tokens, texts = torch.zeros(NUM_TEXTS, NUM_TOKENS, WIDTH), bse.tokenise(MODIFICATIONS, enc=True)
    for wrong in (tokens[:1], tokens[:, None], tokens[..., : WIDTH - 16]):
        with pytest.raises(
            ValueError,
            match=rf"^image tokens are \([\d, ]+\) for {NUM_TEXTS} texts; "
            rf"pass \({NUM_TEXTS}, L, {WIDTH}\), those of one frame a",
        ):
            bse.compose(wrong, texts)
    for wrong in (tokens[:1, 0], tokens[:, :1], tokens[:, 0, : WIDTH - 16]):
        with pytest.raises(
            ValueError,
            match=rf"^grounding is \([\d, ]+\); pass \({NUM_TEXTS}, {WIDTH}\), one row a text, "
            r"as ground\(\) gives.$",
        ):
            bse.compose(tokens, texts, wrong)


def test_identity_is_of_what_decides_the_features(bse, load, folder, tmp_path):
    other = {**WEIGHTS, "vision_proj.bias": WEIGHTS["vision_proj.bias"] + 1}
    prompt = {**WEIGHTS, "prompt_proj.bias": WEIGHTS["prompt_proj.bias"] + 1}
    identities = [
        bse.identity,
        load(other).identity,
        load(prompt).identity,
        load(COVR).identity,
        load(heads=1).identity,
        load(vision_heads=1).identity,
        load(max_words=None).identity,
        load(max_tokens=9).identity,
        load(tokenizer="other").identity,
    ]
    for key in ("image_mean", "image_std"):
        file = copied(folder, tmp_path / key) / "preprocessor_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {key: [0.5, 0.5, 0.5]}))
        identities.append(load_encoder("blip", str(tmp_path / key)).identity)
    build_tokenizer(copied(folder, tmp_path / "words"), enc=False)
    identities += [
        load_encoder("blip", str(tmp_path / "words")).identity,
        load_encoder("blip", str(folder)).identity,
    ]
    assert (
        len({json.dumps(identity) for identity in identities}) == len(identities)
        and load().identity == bse.identity
    )


# ---- training


def test_trained_are_text_encoder_projection_and_prompt(load):
    for state, modules in (
        (WEIGHTS, ("text_encoder", "text_proj", "prompt_proj")),
        (COVR, ("text_encoder", "text_proj")),
    ):
        encoder = load(state)
        names = {id(parameter): name.removeprefix("model.") for name, parameter in encoder.named_parameters()}
        expected = {name for name in names.values() if name.split(".")[0] in modules}
        assert {names[id(parameter)] for parameter in encoder.trained_parameters()} == expected and expected
    with pytest.raises(ValueError, match="part 'vision' is not known; choose composed."):
        encoder.trained_parameters("vision")


def test_queries_are_differentiable(load):
    encoder = load()
    tokens = see(encoder)[0].requires_grad_()
    for parameter in encoder.trained_parameters():
        parameter.requires_grad_(True)
    texts, descriptions = encoder.tokenise(MODIFICATIONS, enc=True), encoder.tokenise(DESCRIPTIONS, enc=False)
    target = F.normalize(torch.randn(NUM_TEXTS, DIM, generator=torch.Generator().manual_seed(0)), dim=-1)
    (encoder.compose(tokens, texts, encoder.ground(descriptions)) * target).sum().backward()
    assert tokens.grad.abs().amax((1, 2)).min() > 1e-4
    for name, parameter in encoder.named_parameters():
        frozen = name.startswith(("model.vision_model", "model.vision_proj"))
        assert (parameter.grad is None) == frozen, name
        if not frozen and not name.endswith("key.bias"):  # softmax cancels the biases of keys
            assert parameter.grad.isfinite().all() and parameter.grad.abs().max() > 1e-6, name


def test_a_fresh_prompt_proj_begins_at_covr_and_learns(load, tmp_path):
    encoder = load(COVR)
    tokens, texts, descriptions = (
        see(encoder)[0],
        encoder.tokenise(MODIFICATIONS, enc=True),
        encoder.tokenise(DESCRIPTIONS, enc=True),
    )
    with pytest.raises(
        ValueError, match="^this BLIP has no prompt_proj, .*or call add_prompt_proj.. and train it.$"
    ):
        encoder.ground(descriptions)
    before = deepcopy(encoder.identity)
    encoder.add_prompt_proj()
    assert encoder.identity != before
    query = encoder.compose(tokens, texts, encoder.ground(descriptions))
    assert (
        torch.equal(query, encoder.compose(tokens, texts)) and largest(query, TENSORS["output.query"]) < UNIT
    )
    query[:, 0].sum().backward()
    assert encoder.prompt_proj.weight.grad.abs().max() > 1e-5
    with pytest.raises(ValueError, match="has a prompt_proj already"):
        encoder.add_prompt_proj()
    encoder.prompt_proj.load_state_dict({name: WEIGHTS[f"prompt_proj.{name}"] for name in ("weight", "bias")})
    encoder.save_pretrained(tmp_path)
    agrees(load_encoder("blip", str(tmp_path)))


def test_a_folder_keeps_no_prompt_proj_of_the_model_before(load, folder, tmp_path):
    again = copied(folder, tmp_path / "again")
    encoder = load(COVR)
    encoder.save_pretrained(again)
    agrees(load_encoder("blip", str(again)), grounded=False)


def test_the_class_loads_without_the_registry_too(folder):
    encoder = BlipEncoder.load(folder)
    assert isinstance(encoder, BlipEncoder) and all(
        parameter.requires_grad for parameter in encoder.parameters()
    )
