"""A second set of the encoders' fixtures, of other sizes: AIM, BLIP, BLIP-2 and LanguageBind.

`other_sizes.py` says what it is for and writes them. Weights are random and outputs are this repository's.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from golden import golden, save_golden, weights
from torch.nn import functional as F

from tfcovr_utils.encoders import load_encoder
from tfcovr_utils.encoders.aim import load_official
from tfcovr_utils.encoders.key_maps import AIM as AIM_KEYS
from tfcovr_utils.encoders.key_maps import rename
from tfcovr_utils.encoders.languagebind import build
from tfcovr_utils.encoders.tokens import Tokens

# Of the encoders: what the config says otherwise, each size of a weight, and the layers by their prefix.
AIM = {"width": 48, "layers": 3, "heads": 3, "patch_size": 12, "num_frames": 5, "num_classes": 7, "batch": 3}
AIM_SIZES = {32: 48, 96: 144, 128: 192, 8: 12, 4: 5, 6: 7}
AIM_IMAGES = {"aim_t1": (48, {10: 17}), "aim_t2": (36, {17: 10})}
BLIP = {"image_size": 30, "patch_size": 10, "vision_width": 48, "vision_layers": 3, "vision_heads": 3}
BLIP |= {"hidden_size": 36, "intermediate_size": 40, "num_attention_heads": 3, "num_hidden_layers": 3}
BLIP |= {"max_position_embeddings": 36, "vocab_size": 71, "embed_dim": 20, "dec_id": 69, "enc_id": 70}
BLIP |= {"text_lengths": [9, 14, 4, 3], "prompt_lengths": [12, 5, 17, 8]}
BLIP_SIZES = {32: 48, 96: 144, 128: 192, 24: 36, 48: 40, 60: 71, 16: 20, 8: 10, 17: 10}
BLIP2 = {"image_size": 18, "patch_size": 6, "vision_width": 48, "vision_layers": 3, "vision_heads": 3}
BLIP2 |= {"hidden_size": 40, "intermediate_size": 60, "num_attention_heads": 4, "num_hidden_layers": 2}
BLIP2 |= {"max_position_embeddings": 40, "vocab_size": 64, "embed_dim": 20, "num_query_token": 5}
BLIP2 |= {"vision_mlp_width": 115, "text_lengths": [9, 14, 4, 3]}
BLIP2_SIZES = {32: 48, 96: 144, 76: 115, 24: 40, 48: 60, 50: 64, 16: 20, 4: 5, 7: 6, 17: 10}
BIND_VISION = {"hidden_size": 48, "intermediate_size": 72, "num_hidden_layers": 3, "num_attention_heads": 3}
BIND_VISION |= {"image_size": 40, "patch_size": 10, "num_frames": 5}
BIND_TEXT = {"hidden_size": 36, "intermediate_size": 52, "num_hidden_layers": 3, "num_attention_heads": 3}
BIND_TEXT |= {"vocab_size": 70, "max_position_embeddings": 18}
BIND = {"projection_dim": 20, "bos_id": 68, "eos_id": 69, "pad_id": 69, "text_lengths": [9, 14, 4, 3]}
BIND_SIZES = {32: 48, 64: 72, 24: 36, 48: 52, 60: 70, 14: 18, 10: 17, 16: 20, 8: 10, 4: 5}


def resized(name: str, sizes: dict, layers: dict) -> dict[str, torch.Tensor]:
    """Random weights with the owners' mean and spread; an added layer has the shapes of the last but one."""
    found, state = weights(golden(name)[0]), {}
    for key, value in found.items():
        shape = [sizes.get(size, size) for size in value.shape]
        names, prefix = [key], next((prefix for prefix in layers if key.startswith(prefix)), None)
        if prefix:
            layer, _, rest = key.removeprefix(prefix).partition(".")
            more = [f"{prefix}{copy}.{rest}" for copy in range(int(layer), layers[prefix], 2)]
            names = [one for one in more if one == key or one not in found]
        for one in names:
            if value.is_floating_point():
                state[one] = value.mean() + value.std(correction=0) * torch.randn(shape)
            else:
                state[one] = torch.arange(shape[1])[None]  # positions
    return state


def texts(lengths: list, first: int, end: int, pad: int, words: int) -> Tokens:
    lengths = torch.tensor(lengths)[:, None]
    at = torch.arange(int(lengths.max()) + 2)[None]
    ids = torch.randint(4, words, (len(lengths), at.shape[1]))
    ids = torch.where(at < lengths - 1, ids, torch.where(at == lengths - 1, end, pad))
    ids[:, 0] = first
    return Tokens(ids, (at < lengths).long())


def write_aim(folder: Path) -> None:
    for name, (image_size, positions) in AIM_IMAGES.items():
        config = golden(name)[1]["config"] | AIM | {"image_size": image_size}
        state = resized(name, AIM_SIZES | positions, {"backbone.transformer.resblocks.": AIM["layers"]})
        with TemporaryDirectory() as temporary:
            torch.save(state, Path(temporary) / "official.pth")
            model = load_official(Path(temporary) / "official.pth", config["adapter_scale"], config["heads"])
        video = torch.randn(config["batch"], 3, config["num_frames"], image_size, image_size).requires_grad_()
        pixels = video.transpose(1, 2)
        features = model.backbone(pixels)
        tensors = {f"weights.{key}": value for key, value in state.items()} | {"input.video": video}
        tensors |= {"output.frame_features": features, "output.pooled": features.mean(1)}
        tensors["output.logits"] = model(pixels)
        if "output.grad.input" in golden(name)[0]:
            features.square().sum().backward()
            own = dict(model.named_parameters())
            for key, value in state.items():
                (renamed, *_), _ = rename({key: value}, AIM_KEYS)
                if key.startswith("backbone.") and renamed in own and own[renamed].grad is not None:
                    tensors[f"output.grad.{key}"] = own[renamed].grad
            tensors["output.grad.input"] = video.grad
        save_golden(folder, name, tensors, config, difference_when_wrong={})


@torch.no_grad()
def write_blip(folder: Path) -> None:
    said = golden("blip_ca")[1]
    layers = {"visual_encoder.blocks.": BLIP["vision_layers"]}
    layers["text_encoder.encoder.layer."] = BLIP["num_hidden_layers"]
    state, config = resized("blip_ca", BLIP_SIZES, layers), said["config"] | BLIP
    heads = {"heads": config["num_attention_heads"], "vision_heads": config["vision_heads"]}
    with TemporaryDirectory() as temporary:
        torch.save({"model": state}, Path(temporary) / "official.ckpt")
        encoder = load_encoder("blip", str(Path(temporary) / "official.ckpt"), **heads)
    special = [config[f"{name}_id"] for name in ("cls", "sep", "pad", "dec")]
    text, prompt = (texts(config[f"{name}_lengths"], *special) for name in ("text", "prompt"))
    text_enc, prompt_enc = (Tokens(each.input_ids.clone(), each.attention_mask) for each in (text, prompt))
    text_enc.input_ids[:, 0] = prompt_enc.input_ids[:, 0] = config["enc_id"]
    image = torch.randn(len(text), 3, config["image_size"], config["image_size"])
    tokens = encoder.model.vision_model(image).last_hidden_state
    tensors = {f"weights.{key}": value for key, value in state.items()} | {"input.image": image}
    tensors |= {"input.input_ids": text.input_ids, "input.attention_mask": text.attention_mask}
    tensors |= {"input.prompt_ids": prompt.input_ids, "input.prompt_attention_mask": prompt.attention_mask}
    tensors |= {"output.image_tokens": tokens, "output.query": encoder.compose(tokens, text_enc)}
    for name, each in (("query_bse", prompt_enc), ("query_bse_train_prompt", prompt)):
        tensors[f"output.{name}"] = encoder.compose(tokens, text_enc, encoder.ground(each))
    tensors["output.text_only"] = encoder._project(encoder._read(text))
    tensors["output.target"] = F.normalize(encoder.model.vision_proj(tokens[:, 0]), dim=-1)
    save_golden(folder, "blip_ca", tensors, config, difference_when_wrong=unmeasured(said))


@torch.no_grad()
def write_blip2(folder: Path) -> None:
    said = golden("blip2_qformer")[1]
    layers = {"visual_encoder.blocks.": BLIP2["vision_layers"]}
    layers["Qformer.bert.encoder.layer."] = BLIP2["num_hidden_layers"]
    state, config = resized("blip2_qformer", BLIP2_SIZES, layers), said["config"] | BLIP2
    heads = {"heads": config["num_attention_heads"], "vision_heads": config["vision_heads"]}
    with TemporaryDirectory() as temporary:
        path = Path(temporary) / "official.pth"
        torch.save({"model": state}, path)
        encoder = load_encoder("blip2", str(path), max_tokens=config["max_position_embeddings"], **heads)
    text = texts(
        config["text_lengths"], config["cls_id"], config["sep_id"], config["pad_id"], config["vocab_size"]
    )
    image = torch.randn(len(text), 3, config["image_size"], config["image_size"])
    tokens = encoder.model.vision_model(image).last_hidden_state
    tensors = {f"weights.{key}": value for key, value in state.items()} | {"input.image": image}
    tensors |= {"input.input_ids": text.input_ids, "input.attention_mask": text.attention_mask}
    tensors |= {"output.image_tokens": tokens, "output.text": encoder.read_text(text)}
    tensors |= {"output.vision": encoder.read_image(tokens), "output.composed": encoder.compose(tokens, text)}
    save_golden(folder, "blip2_qformer", tensors, config, difference_when_wrong=unmeasured(said))


@torch.no_grad()
def write_languagebind(folder: Path) -> None:
    said = golden("languagebind_video")[1]
    was = said["config"]
    config = was | BIND | {"vision": was["vision"] | BIND_VISION, "text": was["text"] | BIND_TEXT}
    layers = {
        f"{name}_model.encoder.layers.": config[name]["num_hidden_layers"] for name in ("vision", "text")
    }
    state = resized("languagebind_video", BIND_SIZES, layers)
    towers = {f"{name}_config": config[name] for name in ("vision", "text")}
    with TemporaryDirectory() as temporary:
        path = Path(temporary)
        (path / "config.json").write_text(json.dumps(towers | {"projection_dim": config["projection_dim"]}))
        torch.save(state, path / "official.bin")
        model = build(path / "config.json", path / "official.bin").eval()
    size = config["vision"]["image_size"]
    video = torch.randn(3, 3, config["vision"]["num_frames"], size, size)
    text = texts(
        config["text_lengths"], config["bos_id"], config["eos_id"], config["pad_id"], config["bos_id"]
    )
    pooled = model.pool(video.transpose(1, 2))
    found = {"video": model.clip.visual_projection(pooled)}
    found["text"] = model.clip.get_text_features(text.input_ids, text.attention_mask).pooler_output
    tensors = {f"weights.{key}": value for key, value in state.items()} | {"input.video": video}
    tensors |= {"input.input_ids": text.input_ids, "input.attention_mask": text.attention_mask}
    tensors |= {f"output.{name}_features": value for name, value in found.items()}
    tensors |= {f"output.{name}": F.normalize(value, dim=-1) for name, value in found.items()}
    tensors["output.video_pooled"] = pooled
    save_golden(folder, "languagebind_video", tensors, config, difference_when_wrong=unmeasured(said))


def unmeasured(said: dict) -> dict[str, float]:
    """No distance of a mistake is recorded: tests then ask that each lands beyond their tolerance."""
    return dict.fromkeys(said["difference_when_wrong"], 0.0)
