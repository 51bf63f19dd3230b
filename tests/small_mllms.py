"""Small checkpoints of the multimodal embedders, made of the real classes, in the published layouts."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextImageProcessor,
    LlavaNextModel,
    LlavaNextProcessor,
    MistralConfig,
    PreTrainedTokenizerFast,
    Qwen2Tokenizer,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
    Siglip2Config,
    Siglip2ImageProcessor,
    Siglip2Model,
    Siglip2Processor,
    Siglip2Tokenizer,
)

ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())
QWEN = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
ENDS = {"bos_token_id": 0, "eos_token_id": 0}  # within so few words; nothing is written here
PINPOINTS, TILE, PATCH = [[28, 56], [56, 28], [56, 56]], 28, 14


def qwen_tokenizer() -> Qwen2Tokenizer:
    return Qwen2Tokenizer(
        vocab={token: number for number, token in enumerate(ALPHABET + QWEN)},
        merges=[],
        extra_special_tokens=QWEN[1:],
        pad_token=QWEN[0],
        eos_token=QWEN[0],
        unk_token=QWEN[0],
    )


def byte_tokenizer(
    begin: str, end: str, special: list[str], pad: str | None = None
) -> PreTrainedTokenizerFast:
    """A letter a token, with a token in front of each text, as Llama's and Mistral's have."""
    words = [*ALPHABET, begin, end, *special]
    tokenizer = Tokenizer(models.BPE(vocab={token: number for number, token in enumerate(words)}, merges=[]))
    tokenizer.pre_tokenizer, tokenizer.decoder = (
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoders.ByteLevel(),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A", special_tokens=[(begin, words.index(begin))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=begin,
        eos_token=end,
        pad_token=pad,
        extra_special_tokens=[token for token in special if token != pad],
    )


def make_gme(folder: Path) -> Path:
    tokenizer = qwen_tokenizer()
    ids = dict(
        zip(
            ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id"),
            tokenizer.convert_tokens_to_ids([QWEN[5], QWEN[6], QWEN[3], QWEN[4]]),
        )
    )
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}
    config = Qwen2VLConfig(
        text_config={**TEXT, **ENDS, "vocab_size": len(tokenizer), "rope_parameters": rope},
        vision_config={"depth": 2, "embed_dim": 32, "num_heads": 2, "hidden_size": 32, "mlp_ratio": 2},
        tie_word_embeddings=True,
        **ids,
    )
    Qwen2VLForConditionalGeneration(config).save_pretrained(folder)
    Qwen2VLProcessor(Qwen2VLImageProcessor(), tokenizer, Qwen2VLVideoProcessor()).save_pretrained(folder)
    return folder


def make_qwen3_vl_embedding(folder: Path) -> Path:
    tokenizer = qwen_tokenizer()
    ids = dict(
        zip(
            ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id"),
            tokenizer.convert_tokens_to_ids([QWEN[5], QWEN[6], QWEN[3], QWEN[4]]),
        )
    )
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1], "mrope_interleaved": True}
    config = Qwen3VLConfig(
        text_config={**TEXT, **ENDS, "head_dim": 8, "vocab_size": len(tokenizer), "rope_parameters": rope},
        vision_config={
            "depth": 3,
            "hidden_size": 32,
            "num_heads": 2,
            "intermediate_size": 48,
            "out_hidden_size": 32,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0, 1],
        },
        tie_word_embeddings=True,
        **ids,
    )
    Qwen3VLForConditionalGeneration(config).save_pretrained(folder)
    images = Qwen2VLImageProcessor(patch_size=16, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    Qwen3VLProcessor(images, tokenizer, Qwen3VLVideoProcessor()).save_pretrained(folder)
    return folder


def _llava_parts(tokenizer, text_config) -> tuple[LlavaNextConfig, LlavaNextProcessor]:
    vision = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=TILE,
        patch_size=PATCH,
    )
    made = LlavaNextConfig(
        vision_config=vision,
        text_config=text_config,
        image_grid_pinpoints=PINPOINTS,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    images = LlavaNextImageProcessor(
        size={"shortest_edge": TILE},
        crop_size={"height": TILE, "width": TILE},
        image_grid_pinpoints=PINPOINTS,
    )
    return made, LlavaNextProcessor(
        images, tokenizer
    )  # without patch_size and the rest, as files of 2024 are


def make_e5_v(folder: Path) -> Path:
    tokenizer = byte_tokenizer(
        "<|begin_of_text|>", "<|eot_id|>", ["<|start_header_id|>", "<|end_header_id|>", "<image>"]
    )
    config, processor = _llava_parts(tokenizer, LlamaConfig(**TEXT, **ENDS, vocab_size=len(tokenizer)))
    LlavaNextForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def make_mm_embed(folder: Path, latents: int = 6, heads: int = 8) -> Path:
    """Two files of weights with the released names, and a config that names code and counts other words."""
    tokenizer = byte_tokenizer("<s>", "</s>", ["<image>", "<pad>"], pad="<pad>")
    words, dim = len(tokenizer) - 2, TEXT["hidden_size"]  # the language model knows neither <image> nor <pad>
    config, processor = _llava_parts(tokenizer, MistralConfig(**TEXT, **ENDS, vocab_size=words))
    state = {
        (
            "vision_tower.vision_model." + name.removeprefix("vision_tower.")
            if name.startswith("vision_tower.")
            else name
        ): value
        for name, value in LlavaNextModel(config).state_dict().items()
    }
    block, inner = "latent_attention_model.cross_attend_blocks.", heads * dim
    shapes = {
        "0.fn.to_q.weight": (inner, dim),
        "0.fn.to_kv.weight": (2 * inner, dim),
        "0.fn.to_out.weight": (dim, inner),
        **{
            f"{norm}.{part}": (dim,)
            for norm in ("0.norm", "0.norm_context", "1.norm")
            for part in ("weight", "bias")
        },
        "1.fn.net.0.weight": (8 * dim, dim),
        "1.fn.net.0.bias": (8 * dim,),
        "1.fn.net.2.weight": (dim, 4 * dim),
        "1.fn.net.2.bias": (dim,),
    }
    latent = {block + name: torch.randn(shape) * 0.3 for name, shape in shapes.items()}
    latent["latent_attention_model.latents"] = torch.randn(latents, dim)
    files = {"model-00001-of-00002.safetensors": state, "model-00002-of-00002.safetensors": latent}
    folder.mkdir(parents=True, exist_ok=True)
    for name, weights in files.items():
        save_file(
            {key: value.contiguous() for key, value in weights.items()}, folder / name, {"format": "pt"}
        )
    index = {"metadata": {}, "weight_map": {key: name for name, weights in files.items() for key in weights}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    config.save_pretrained(folder)
    published = json.loads((folder / "config.json").read_text())
    published["text_config"]["vocab_size"] = words + 64
    published |= {
        "architectures": ["NVMMEmbedModel"],
        "auto_map": {"AutoModel": "modeling_nvmmembed.NVMMEmbedModel"},
        "add_eos_token": True,
        "padding_side": "right",
        "global_image_patch_only": True,
        "retriever": "nvidia/NV-Embed-v1",
    }
    (folder / "config.json").write_text(json.dumps(published))
    (folder / "modeling_nvmmembed.py").write_text("raise RuntimeError('code of the hub was run')\n")
    processor.save_pretrained(folder)
    return folder


def make_siglip2(folder: Path) -> Path:
    words = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *"▁abcdefghijklmnopqrstuvwxyz0123456789.,"]
    tokenizer = Siglip2Tokenizer(
        vocab={token: number for number, token in enumerate(words)}, merges=[], padding_side="right"
    )
    tower = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = Siglip2Config(
        text_config={
            **tower,
            **ENDS,
            "vocab_size": len(tokenizer),
            "max_position_embeddings": 24,
            "projection_size": 32,
        },
        vision_config={**tower, "num_patches": 16, "patch_size": 16},
    )
    Siglip2Model(config).save_pretrained(folder)
    Siglip2Processor(Siglip2ImageProcessor(max_num_patches=16), tokenizer).save_pretrained(folder)
    return folder


MAKERS = {
    "gme": make_gme,
    "qwen3_vl_embedding": make_qwen3_vl_embedding,
    "e5_v": make_e5_v,
    "mm_embed": make_mm_embed,
    "siglip2": make_siglip2,
}


def relayout(folder: Path, to: Path, rename) -> Path:
    """The same folder with its weights under other names, or without those that `rename` gives no name."""
    to.mkdir(parents=True)
    for path in folder.iterdir():
        if path.suffix != ".safetensors" and not path.name.endswith("index.json"):
            (to / path.name).write_bytes(path.read_bytes())
    state = {}
    for path in folder.glob("*.safetensors"):
        state |= load_file(path)
    save_file(
        {new: value for name, value in state.items() if (new := rename(name))},
        to / "model.safetensors",
        {"format": "pt"},
    )
    return to
