"""The multimodal embedders from their published layouts: against plain transcriptions, and as rows."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from small_benchmark import small_benchmark
from small_mllms import MAKERS, PATCH, TILE, relayout
from torch.nn import functional as F
from transformers import (
    LlavaNextForConditionalGeneration,
    LlavaNextProcessor,
    Qwen2VLForConditionalGeneration,
    Qwen3VLForConditionalGeneration,
    Siglip2Model,
    Siglip2Processor,
)

from tfcovr_utils.encoders import ENCODERS, hub, load_encoder, mllm
from tfcovr_utils.encoders.catalogue import PUBLISHED
from tfcovr_utils.encoders.qwen_vl import GmeEncoder, Qwen3VlEmbeddingEncoder
from tfcovr_utils.evaluation.scoring import evaluate
from tfcovr_utils.machine import memory
from tfcovr_utils.methods import METHODS, NotRun, Setting
from tfcovr_utils.methods.embedder_rows import EMBEDDER_ROWS
from tfcovr_utils.profiles import PROFILES, Profile

PROMPTED = [name for name in MAKERS if name != "siglip2"]
TEXTS = ["show with 2.5 twists", "tucked", "on the balance beam, and slower than before"]
FRAMES = np.random.default_rng(0).integers(0, 256, (3, 2, 40, 48, 3), dtype=np.uint8)  # (N, T, H, W, 3)
ASK = "Find the changed clip."
CLOSE = {"atol": 2e-5, "rtol": 0}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    torch.manual_seed(0)
    return {name: make(tmp_path_factory.mktemp("mllm") / name) for name, make in MAKERS.items()}


@pytest.fixture(scope="module", autouse=True)
def few_tokens():
    """Pictures of few tokens: the published least is 256 for GME, and 128 for a frame of Qwen3-VL's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GmeEncoder, "image_tokens", (4, 16))
        patch.setattr(Qwen3VlEmbeddingEncoder, "frame_tokens", (4, 16))
        yield


@pytest.fixture(scope="module")
def encoders(folders):
    return {name: load_encoder(name, str(folders[name])) for name in MAKERS}


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def picture(clip, frame=0):
    return Image.fromarray(FRAMES[clip, frame])


# ---- against plain transcriptions, one prompt at a time and without padding


def last_state(model, processor, prompt, images=None, **options):
    inputs = processor(text=[prompt], images=images, return_tensors="pt", **options)
    return F.normalize(model(**inputs, output_hidden_states=True).hidden_states[-1][0, -1], dim=0)


def chat(instruction, content, ending):
    parts = {"system": f"{instruction}<|im_end|>\n", "user": f"{content}<|im_end|>\n", "assistant": ending}
    return "".join(f"<|im_start|>{part}\n{said}" for part, said in parts.items())


@pytest.mark.parametrize(
    ("name", "whole", "default", "ending"),
    [
        ("gme", Qwen2VLForConditionalGeneration, "You are a helpful assistant.", "<|endoftext|>"),
        ("qwen3_vl_embedding", Qwen3VLForConditionalGeneration, "Represent the user's input.", ""),
    ],
)
def test_qwen_reads_its_chat_prompts_at_the_last_token(folders, name, whole, default, ending):
    encoder, model = (
        load_encoder(name, str(folders[name]), instruction=ASK),
        whole.from_pretrained(folders[name]).eval(),
    )
    image = "<|vision_start|><|image_pad|><|vision_end|>"
    frames, texts, both = (
        encoder.encode_frames(FRAMES),
        encoder.encode_texts(TEXTS),
        encoder.compose(FRAMES[:, :1], TEXTS),
    )
    for place, text in enumerate(TEXTS):
        for found, instruction, content, images in (
            (frames[place, 1], default, image, [picture(place, 1)]),
            (texts[place], ASK, text, None),
            (both[place], ASK, image + text, [picture(place)]),
        ):
            expected = last_state(model, encoder.processor, chat(instruction, content, ending), images)
            torch.testing.assert_close(found, expected, **CLOSE)


def test_qwen3_reads_a_clip_as_a_video_at_two_frames_a_second(folders, encoders):
    encoder, model = (
        encoders["qwen3_vl_embedding"],
        Qwen3VLForConditionalGeneration.from_pretrained(folders["qwen3_vl_embedding"]).eval(),
    )
    inputs = encoder.make_inputs([encoder.prompt(TEXTS[0], "video", query=True)], FRAMES[:1])
    words = encoder.processor.tokenizer.decode(inputs["input_ids"][0])
    assert (
        "<0.2 seconds>" in words and words.count("seconds") == 1
    )  # two frames are one step, at 0 s and at .5 s
    expected = F.normalize(model(**inputs, output_hidden_states=True).hidden_states[-1][:, -1], dim=-1)
    together, whole = encoder.compose(FRAMES, TEXTS), encoder.encode_clips(FRAMES)
    torch.testing.assert_close(together[:1], expected, **CLOSE)
    assert whole.shape == together.shape == (3, 32)
    assert (
        whole - encoder.encode_clips(FRAMES[:, ::-1].copy())
    ).abs().max() > 1e-3  # unlike a mean, it knows the order


@pytest.mark.parametrize("asked", ["summary", "modify"])
def test_e5v_asks_for_one_word(folders, asked):
    encoder = load_encoder("e5_v", str(folders["e5_v"]), asked=asked)
    model = LlavaNextForConditionalGeneration.from_pretrained(folders["e5_v"]).eval()
    processor = LlavaNextProcessor.from_pretrained(
        folders["e5_v"],
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        use_fast=False,
    )
    user, assistant = (f"<|start_header_id|>{who}<|end_header_id|>\n\n" for who in ("user", "assistant"))
    around = (user + "{}<|eot_id|>" + assistant + " \n").format
    shown = around(
        "<image>\nSummary above image in one word: "
        if asked == "summary"
        else "<image>\n Describe this image in one word:"
    )
    frames, texts, both = (
        encoder.encode_frames(FRAMES),
        encoder.encode_texts(TEXTS),
        encoder.compose(FRAMES[:, :1], TEXTS),
    )
    for place, text in enumerate(TEXTS):
        said = around(f"{text}\nSummary above sentence in one word: ")
        modified = around(f'<image>Modify this image with "{text}", desribe modified image in one word:')
        for found, prompt, images in (
            (frames[place, 1], shown, [picture(place, 1)]),
            (texts[place], said, None),
            (both[place], modified, [picture(place)]),
        ):
            torch.testing.assert_close(found, last_state(model, processor, prompt, images), **CLOSE)


def mm_embed_by_hand(encoder, state, prompt, image, left_out):
    """The released code's steps for one prompt, whose first `left_out` tokens are not averaged."""
    model, tokenizer, side = encoder.model, encoder.processor.tokenizer, (TILE // PATCH) ** 2
    before, *after = prompt.split("<image>")
    parts = [model.get_input_embeddings()(torch.tensor(tokenizer(before)["input_ids"]))]
    if after:
        views = encoder.processor.image_processor([image], return_tensors="pt")["pixel_values"][0][:1]
        patches = model.vision_tower(views, output_hidden_states=True).hidden_states[-2][0, 1:]
        parts += [model.multi_modal_projector(patches), state["image_newline"][None]]
        assert len(parts[1]) == side
    ids = (tokenizer(after[0], add_special_tokens=False)["input_ids"] if after else []) + [
        tokenizer.eos_token_id
    ]
    states = torch.cat([*parts, model.get_input_embeddings()(torch.tensor(ids))])[None]
    layers = model.language_model.layers
    for layer in layers:
        layer.self_attn.is_causal = False
    model.language_model.config.is_causal = False
    hidden = model.language_model(inputs_embeds=states).last_hidden_state[0]
    model.language_model.config.is_causal = True
    for layer in layers:
        layer.self_attn.is_causal = True

    state = {name.removeprefix("latent_attention_model."): value for name, value in state.items()}
    norm = lambda x, name: F.layer_norm(x, x.shape[-1:], state[name + ".weight"], state[name + ".bias"])  # noqa: E731
    block, heads = "cross_attend_blocks.", 8
    queries = norm(hidden, block + "0.norm") @ state[block + "0.fn.to_q.weight"].T
    keys, values = (
        norm(state["latents"], block + "0.norm_context") @ state[block + "0.fn.to_kv.weight"].T
    ).chunk(2, -1)
    read = [
        torch.softmax(q @ k.T / q.shape[-1] ** 0.5, -1) @ v
        for q, k, v in zip(*(x.chunk(heads, -1) for x in (queries, keys, values)))
    ]
    hidden = hidden + torch.cat(read, -1) @ state[block + "0.fn.to_out.weight"].T
    wide, gate = (
        norm(hidden, block + "1.norm") @ state[block + "1.fn.net.0.weight"].T
        + state[block + "1.fn.net.0.bias"]
    ).chunk(2, -1)
    hidden = (
        hidden
        + (wide * F.gelu(gate)) @ state[block + "1.fn.net.2.weight"].T
        + state[block + "1.fn.net.2.bias"]
    )
    return F.normalize(hidden[left_out:].mean(0), dim=0)


def test_mm_embed_averages_all_but_the_instruction(folders):
    encoder = load_encoder("mm_embed", str(folders["mm_embed"]), instruction=ASK)
    state = {
        key: value
        for path in folders["mm_embed"].glob("*.safetensors")
        for key, value in load_file(path).items()
    }
    # Its first and its last token, and a newline that the released code counts to it: the end token of the
    # instruction by itself.
    left_out = len(f"Instruct: {ASK}") + 2
    frames, texts, both = (
        encoder.encode_frames(FRAMES),
        encoder.encode_texts(TEXTS),
        encoder.compose(FRAMES[:, :1], TEXTS),
    )
    for place, text in enumerate(TEXTS):
        torch.testing.assert_close(
            frames[place, 1], mm_embed_by_hand(encoder, state, "<image>\n", picture(place, 1), 0), **CLOSE
        )
        asked = f"Instruct: {ASK}\nQuery: "
        torch.testing.assert_close(
            texts[place], mm_embed_by_hand(encoder, state, asked + text, None, left_out), **CLOSE
        )
        with_picture = (encoder, state, f"{asked}<image>\n{text}", picture(place))
        torch.testing.assert_close(both[place], mm_embed_by_hand(*with_picture, left_out), **CLOSE)
        assert (both[place] - mm_embed_by_hand(*with_picture, 0)).abs().max() > 1e-3


def test_mm_embed_sees_both_ways(encoders):
    """The first token's state depends on the last word, in a batch with padding."""
    encoder, states = encoders["mm_embed"], []
    hook = encoder.model.language_model.register_forward_hook(
        lambda module, inputs, output: states.append(output.last_hidden_state)
    )
    for text in ("tuckeds", "tuckedx"):
        encoder.encode_texts([text, TEXTS[2]])
    hook.remove()
    assert (states[0][0, 0] - states[1][0, 0]).abs().max() > 1e-4


def test_siglip2_equals_its_class(folders, encoders):
    model, processor = (
        Siglip2Model.from_pretrained(folders["siglip2"]).eval(),
        Siglip2Processor.from_pretrained(folders["siglip2"]),
    )
    texts = processor(
        text=[text.upper() for text in TEXTS], padding="max_length", max_length=24, return_tensors="pt"
    )
    expected = model.get_text_features(input_ids=texts["input_ids"]).pooler_output
    torch.testing.assert_close(encoders["siglip2"].encode_texts(TEXTS), expected, **CLOSE)
    expected = model.get_image_features(
        **encoders["siglip2"].images([picture(0, 1)], return_tensors="pt")
    ).pooler_output[0]
    torch.testing.assert_close(encoders["siglip2"].encode_frames(FRAMES)[0, 1], expected, **CLOSE)
    wide = encoders["siglip2"].images(
        [Image.fromarray(np.tile(FRAMES[0, 0], (1, 3, 1)))], return_tensors="pt"
    )["spatial_shapes"][0]
    assert wide[1] > 2 * wide[0]  # pictures keep their shape


# ---- what holds for all


@pytest.mark.parametrize("name", PROMPTED)
def test_features_are_unit_and_do_not_depend_on_their_batch(encoders, name):
    encoder = encoders[name]
    for read, inputs in (
        (encoder.encode_texts, (TEXTS,)),
        (encoder.compose, (FRAMES[:, :1], TEXTS)),
        (encoder.encode_frames, (FRAMES,)),
    ):
        together = read(*inputs)
        alone = torch.cat([read(*(part[place : place + 1] for part in inputs)) for place in range(3)])
        torch.testing.assert_close(together, alone, **CLOSE)
        torch.testing.assert_close(together.norm(dim=-1), torch.ones(together.shape[:-1]))
        assert (together[0] - together[1]).abs().max() > 1e-3
    inputs = encoder.make_inputs([encoder.prompt(text, None, query=True) for text in TEXTS], None)
    padded = ~inputs["attention_mask"].bool()
    side = slice(None, 1) if name != "mm_embed" else slice(-1, None)
    assert padded.any() and padded[:, side].sum() == 2 and not padded.all(0).any()


@pytest.mark.parametrize("name", [name for name in PROMPTED if name != "e5_v"])
def test_an_instruction_is_recorded_and_changes_queries_alone(folders, encoders, name):
    plain, told = encoders[name], load_encoder(name, str(folders[name]), instruction=ASK)
    assert told.identity["instruction"] == ASK and told.identity != plain.identity
    assert (plain.encode_texts(TEXTS) - told.encode_texts(TEXTS)).abs().max() > 1e-3
    assert torch.equal(plain.encode_frames(FRAMES), told.encode_frames(FRAMES))


# Names in files: (pattern of what this transformers writes, name in the layout), by family and layout.
LAYOUTS = {
    ("gme", "old"): [
        (r"(?:model\.)?(visual\..+)", r"\1"),
        (r"model\.(?:language_model\.)?(.+)", r"model.\1"),
    ],
    ("gme", "new"): [
        (r"(?:model\.)?(visual\..+)", r"model.\1"),
        (r"model\.(?:language_model\.)?(.+)", r"model.language_model.\1"),
    ],
    ("qwen3_vl_embedding", "bare"): [(r"model\.(.+)", r"\1")],
    ("e5_v", "old"): [
        (r"(?:model\.)?vision_tower\.(?:vision_model\.)?(.+)", r"vision_tower.vision_model.\1"),
        (r"(?:language_model\.)?lm_head\.weight", "language_model.lm_head.weight"),
        (r"(?:model\.)?language_model\.(?:model\.)?(.+)", r"language_model.model.\1"),
        (r"(?:model\.)?(.+)", r"\1"),
    ],
    ("e5_v", "new"): [
        (r"(?:model\.)?vision_tower\.(?:vision_model\.)?(.+)", r"model.vision_tower.\1"),
        (r"(?:language_model\.)?lm_head\.weight", "lm_head.weight"),
        (r"(?:model\.)?language_model\.(?:model\.)?(.+)", r"model.language_model.\1"),
        (r"(?:model\.)?(.+)", r"model.\1"),
    ],
}


@pytest.mark.parametrize(("name", "layout"), list(LAYOUTS))
def test_files_of_older_and_of_newer_names_are_the_same_model(folders, encoders, tmp_path, name, layout):
    def rename(key):
        return next(
            match.expand(new)
            for pattern, new in LAYOUTS[name, layout]
            if (match := re.fullmatch(pattern, key))
        )

    other = relayout(folders[name], tmp_path / layout, rename)
    names = set(load_file(other / "model.safetensors"))
    assert len(names) == len(load_file(folders[name] / "model.safetensors"))
    assert all(key.startswith(("model.", "lm_head")) for key in names) == (layout == "new")
    assert load_encoder(name, str(other)).identity == encoders[name].identity


@pytest.mark.parametrize("name", list(MAKERS))
def test_no_name_is_left_over_or_missing(folders, tmp_path, name):
    some = "norm" if name != "mm_embed" else "norm_context.bias"
    names = [key for path in folders[name].glob("*.safetensors") for key in load_file(path)]
    lost = next(key for key in names if (some in key and "bias" in key) or key.endswith("norm.weight"))
    with pytest.raises((ValueError, FileNotFoundError), match=r"lacks .*(norm|bias)"):
        load_encoder(
            name, str(relayout(folders[name], tmp_path / "less", lambda key: None if key == lost else key))
        )
    with pytest.raises((ValueError, FileNotFoundError), match="also holds .*adapter.weight"):
        load_encoder(
            name,
            str(
                relayout(
                    folders[name], tmp_path / "more", lambda key: "adapter.weight" if key == lost else key
                )
            ),
        )


def test_a_file_without_a_head_is_whole(folders, tmp_path):
    """As Qwen3-VL-Embedding-8B's is, whose words are not tied to a head."""
    bare = relayout(folders["e5_v"], tmp_path / "bare", lambda key: None if "lm_head" in key else key)
    assert load_encoder("e5_v", str(bare)).identity == load_encoder("e5_v", str(folders["e5_v"])).identity


def test_a_hubs_code_is_not_run(folders):
    assert "auto_map" in json.loads((folders["mm_embed"] / "config.json").read_text())
    assert (folders["mm_embed"] / "modeling_nvmmembed.py").exists() and load_encoder(
        "mm_embed", str(folders["mm_embed"])
    )


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [("e5_v", {"asked": "politely"}, "asked 'politely'"), ("e5_v", {"instruction": ASK}, "no instruction")],
)
def test_choices_that_are_none_are_refused(folders, name, options, said):
    with pytest.raises(ValueError, match=said):
        load_encoder(name, str(folders[name]), **options)
    with pytest.raises(ValueError, match="one frame together with a text"):
        load_encoder(name, str(folders[name])).compose(FRAMES, TEXTS)


def test_bfloat16_is_another_encoder_close_by(folders, encoders, monkeypatch):
    monkeypatch.setitem(mllm.DTYPES, "float32", torch.bfloat16)  # as on a GPU
    half = load_encoder("gme", str(folders["gme"]))
    assert half.identity != encoders["gme"].identity and half.encode_texts(TEXTS).dtype == torch.float32
    assert (
        F.cosine_similarity(
            half.compose(FRAMES[:, :1], TEXTS), encoders["gme"].compose(FRAMES[:, :1], TEXTS)
        ).min()
        > 0.99
    )


# ---- memory


def test_a_batch_is_as_large_as_memory_and_halves_where_a_gpu_is_full(folders, monkeypatch):
    encoder, seen = load_encoder("gme", str(folders["gme"])), []
    expected, read = encoder.encode_texts(TEXTS * 3), encoder.read
    assert encoder.batch_sizes == {(): mllm.MAX_BATCH}
    inputs = encoder.make_inputs([encoder.prompt(TEXTS[2], None, query=True)], None)
    monkeypatch.setattr(mllm, "free_memory", lambda device: 40e6)
    assert 1 < mllm.estimate_batch_size(encoder.model, inputs) < mllm.MAX_BATCH
    monkeypatch.setattr(mllm, "free_memory", lambda device: 1)
    assert mllm.estimate_batch_size(encoder.model, inputs) == 1

    def two_fit(inputs):
        seen.append(len(inputs["input_ids"]))
        if seen[-1] > 2:
            raise torch.cuda.OutOfMemoryError("full")
        return read(inputs)

    encoder.read, encoder.batch_sizes = two_fit, {(): 8}
    torch.testing.assert_close(encoder.encode_texts(TEXTS * 3), expected, **CLOSE)
    assert seen == [8, 4, 2, 2, 2, 2, 1] and encoder.batch_sizes == {(): 2}


def test_what_memory_cannot_hold_is_refused_in_one_sentence(folders, monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda device=None: 1000)
    with pytest.raises(
        MemoryError,
        match=r"^the weights of \S+ alone take 0.0 GB of memory, where 0.0 GB are free; [^\n]*\.$",
    ):
        load_encoder("gme", str(folders["gme"]))
    with pytest.raises(
        MemoryError, match=r"royokong/e5-v alone take 16.7 GB"
    ):  # before anything is asked of the hub
        load_encoder("e5_v", "royokong/e5-v")


def test_size_and_licence_are_said_before_a_download(monkeypatch, capsys):
    def read(folder):
        if folder.local_files_only:
            raise OSError("not in the cache")
        return capsys.readouterr().err

    monkeypatch.setattr(hub, "model_info", lambda source, timeout: None)
    monkeypatch.setattr(memory, "free_memory", lambda device=None: 10**12)
    assert hub.from_hub(read, "nvidia/MM-Embed") == (
        "nvidia/MM-Embed: 8180 million parameters, 16.4 GB, licence CC-BY-NC-4.0; "
        "fetching what is not in the cache yet.\n"
    )
    assert hub.from_hub(read, "openai/clip-vit-base-patch16", whole=False) == ""  # its tokenizer alone


def test_every_published_default_is_known_with_its_licence():
    default = Profile("paper")
    for name in (*MAKERS, "languagebind"):
        assert getattr(default, f"{name}_weights") in PUBLISHED and name in ENCODERS


# ---- rows


@pytest.fixture(scope="module")
def here(folders, tmp_path_factory):
    clips = tmp_path_factory.mktemp("clips")
    weights = {name: str(folder) for name, folder in folders.items()}
    return Setting(
        small_benchmark(clips),
        clips,
        replace(PROFILES["smoke"], frames=2),
        weights=weights,
        store_dir=tmp_path_factory.mktemp("store"),
    )


@pytest.mark.parametrize("name", [method.name for method in EMBEDDER_ROWS])
def test_a_row_runs(here, name):
    fitted = METHODS[name].fit(here)
    queries = here.benchmark.queries.merge(
        here.benchmark.modifications[["modification_id", "text"]], on="modification_id"
    ).iloc[:5]
    query_emb, clip_emb = fitted.embed_queries(queries), fitted.embed_gallery(queries["query_clip"].tolist())
    assert query_emb.shape == clip_emb.shape and (query_emb - clip_emb).abs().max() > 1e-3
    torch.testing.assert_close(query_emb.norm(dim=1), torch.ones(5))
    torch.testing.assert_close(clip_emb.norm(dim=1), torch.ones(5))
    torch.testing.assert_close(fitted.embed_queries(queries.iloc[::-1]).flip(0), query_emb, atol=1e-5, rtol=0)
    json.dumps(fitted.facts)


def test_a_row_is_scored(here):
    table = evaluate(METHODS["siglip2-zs"].fit(here), here.benchmark)
    assert table["ap@50"].notna().all() and (table["coverage"] == 1).all()


def test_a_query_is_read_once_and_a_broken_clip_is_nan(here, tmp_path, monkeypatch):
    queries = here.benchmark.queries.merge(
        here.benchmark.modifications[["modification_id", "text"]], on="modification_id"
    ).iloc[:3]
    setting = replace(here, store_dir=tmp_path)
    first = METHODS["gme-zs"].fit(setting).embed_queries(queries)
    monkeypatch.setattr(GmeEncoder, "compose", lambda *_: pytest.fail("read again"))
    assert torch.equal(METHODS["gme-zs"].fit(setting).embed_queries(queries), first)
    monkeypatch.undo()
    monkeypatch.setattr(GmeEncoder, "image_tokens", (4, 16))
    clips = here.benchmark.clips.copy()
    lost = clips["clip_id"] == queries["query_clip"].iloc[0]
    clips.loc[lost, "path"] = "gone.mp4"
    kept = (
        METHODS["gme-zs"]
        .fit(replace(setting, benchmark=replace(here.benchmark, clips=clips)))
        .embed_queries(queries)
    )
    assert kept.isnan().any(1).tolist() == (queries["query_clip"] == queries["query_clip"].iloc[0]).tolist()


@pytest.mark.parametrize("name", [method.name for method in EMBEDDER_ROWS])
def test_a_rendered_benchmark_fetches_nothing_by_itself(here, name, monkeypatch):
    monkeypatch.setattr(hub, "from_hub", lambda *_: pytest.fail("asked the hub"))
    said = r"no small weights in place of \S+: \d+ million parameters, .*To run it: `tfcovr score .*`\.$"
    with pytest.raises(NotRun, match=said):
        METHODS[name].fit(replace(here, weights={}))


@pytest.mark.parametrize("bad", ["data/weights/none", "e5_v"])
def test_weights_that_will_not_do_leave_a_row_that_is_not_run(here, folders, bad):
    with pytest.raises(NotRun) as error:
        METHODS["gme-zs"].fit(replace(here, weights={"gme": str(folders.get(bad, bad))}))
    assert "\n" not in str(error.value) and bad.split("/")[-1] in str(error.value)
