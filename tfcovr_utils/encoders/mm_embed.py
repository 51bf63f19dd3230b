"""MM-Embed: LLaVA-NeXT's vision in front of NV-Embed, a bidirectional Mistral with latent attention."""

import re

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from torch import nn
from torch.nn import functional as F
from transformers import BatchEncoding, LlavaNextModel, LlavaNextProcessor

from ..machine.files import read_json
from .base import hash_weights
from .e5v import complete_processor
from .hub import HubFolder
from .key_maps import LATENT_ATTENTION, rename
from .loading import fill, read_shapes
from .mllm import MllmEncoder, layout_of

HEADS = 8  # of NV-Embed's latent attention, which no shape tells
WIDENED = 4  # its feed-forward layer
LATENT = "latent_attention_model."


class LatentAttention(nn.Module):
    """Each token reads from the latents, then goes through a gated layer; states (B, L, D) to the same."""

    def __init__(self, latents: int, dim: int, inner: int, heads: int):
        super().__init__()
        self.heads = heads
        self.latents = nn.Parameter(torch.zeros(latents, dim))
        self.norm_q, self.norm_ctx, self.norm_ff = (nn.LayerNorm(dim) for _ in range(3))
        self.to_q, self.to_kv, self.to_out = (
            nn.Linear(*sizes, bias=False) for sizes in ((dim, inner), (dim, 2 * inner), (inner, dim))
        )
        self.ff1, self.ff2 = nn.Linear(dim, 2 * WIDENED * dim), nn.Linear(WIDENED * dim, dim)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """States (B, L, D) -> the same shape."""
        keys, values = self.to_kv(self.norm_ctx(self.latents)).chunk(2, dim=-1)
        split = [
            part.unflatten(-1, (self.heads, -1)).transpose(-3, -2)
            for part in (self.to_q(self.norm_q(states)), keys, values)
        ]
        queries, keys, values = (part.expand(len(states), -1, -1, -1) for part in split)
        read = F.scaled_dot_product_attention(queries, keys, values)
        states = states + self.to_out(read.transpose(-3, -2).flatten(-2))
        kept, gate = self.ff1(self.norm_ff(states)).chunk(2, dim=-1)
        return states + self.ff2(kept * F.gelu(gate))


class MMEmbedEncoder(MllmEncoder):
    """The mean over a prompt's tokens behind its instruction. A picture is 576 tokens and a line end."""

    name, hub_id = "mm_embed", "nvidia/MM-Embed"
    model_class, processor_class = LlavaNextModel, LlavaNextProcessor
    ignored = re.escape(LATENT) + ".+"  # loaded on its own, every key accounted for
    query_start = "\nQuery: "

    def __init__(self, model, processor, instruction: str | None = None, *, latent: dict, **choices):
        complete_processor(processor, model)
        super().__init__(model, processor, instruction, heads=HEADS, **choices)
        state, unknown = rename(latent, LATENT_ATTENTION)
        given, expected = f"the {LATENT.rstrip('.')} of these weights", layout_of(self.hub_id)
        latents, inner = read_shapes(state, ["latents", "to_q.weight"], given, expected)
        with torch.device("meta"):
            self.latent_attention = LatentAttention(*latents, inner[0], HEADS)
        self.latent_attention = self.latent_attention.to(model.dtype).to_empty(device="cpu")
        fill(self.latent_attention, state, unknown, given, expected)
        self.identity["latent_attention"] = hash_weights(self.latent_attention)

    @classmethod
    def read_folder(cls, folder: HubFolder, dtype: torch.dtype) -> tuple:
        """Read the latent attention too."""
        model, processor, _ = super().read_folder(folder, dtype)
        return model, processor, {"latent": read_below(folder, LATENT)}

    @classmethod
    def correct(cls, config, folder: HubFolder) -> None:
        """Count the words in the weights; the config describes another language model."""
        for words in read_below(folder, "language_model.embed_tokens.weight").values():
            config.text_config.vocab_size = len(words)

    def prompt(self, text: str | None, picture: str | None, query: bool) -> str:
        """Write a prompt; only a query has the instruction."""
        start = f"Instruct: {self.instruction}" if self.instruction else ""
        start = f"{start}{self.query_start}".lstrip() if query else ""
        return start + ("<image>\n" if picture else "") + (text or "")

    def make_inputs(self, prompts: list[str], pictures: np.ndarray | None) -> BatchEncoding:
        """Make pixels, and tokens padded on the right; `pooled` marks the tokens that are averaged."""
        tokenizer, config = self.processor.tokenizer, self.model.config
        each = (config.vision_config.image_size // config.vision_config.patch_size) ** 2 + 1
        image = self.processor.image_token
        rows = [self._tokens(prompt.replace(image, image * each)) for prompt in prompts]
        # The official length of an instruction counts an end token, so the newline behind it is skipped too.
        parts = [prompt.split(self.query_start) for prompt in prompts]
        skipped = [len(self._tokens(start)) if rest else 0 for start, *rest in parts]
        longest = max(map(len, rows))
        places = torch.arange(longest).expand(len(rows), -1)
        mask = places < torch.tensor([[len(row)] for row in rows])
        padded = [row + [tokenizer.eos_token_id] * (longest - len(row)) for row in rows]
        inputs = {
            "input_ids": torch.tensor(padded),
            "attention_mask": mask,
            "pooled": mask & (places >= torch.tensor(skipped)[:, None]),
        }
        if pictures is not None:
            images = [Image.fromarray(picture) for picture in pictures]
            tiles = self.processor.image_processor(images, return_tensors="pt")["pixel_values"]
            whole = [views[0] for views in tiles]  # the other views are parts of the picture
            inputs["pixel_values"] = torch.stack(whole)
        return BatchEncoding(inputs)

    def read(self, inputs: BatchEncoding) -> torch.Tensor:
        """One batch -> unit features (B, D)."""
        model, dtype, ids = self.model, self.model.dtype, inputs["input_ids"]
        is_image = ids == model.config.image_token_id
        states = model.get_input_embeddings()(ids.masked_fill(is_image, 0))
        if "pixel_values" in inputs:
            tower = model.vision_tower(inputs["pixel_values"].to(dtype), output_hidden_states=True)
            patches = tower.hidden_states[model.config.vision_feature_layer][:, 1:]  # without the class token
            images = model.multi_modal_projector(patches)
            images = torch.cat([images, model.image_newline.to(dtype).expand(len(images), 1, -1)], 1)
            states = states.masked_scatter(is_image[..., None], images.to(states.dtype))
        # Mistral would attend backwards only with a mask of two axes or none; it takes four axes as they are.
        mask = torch.zeros(len(ids), 1, *ids.shape[1:] * 2, dtype=dtype, device=ids.device)
        mask = mask.masked_fill(~inputs["attention_mask"][:, None, None], torch.finfo(dtype).min)
        output = model.language_model(inputs_embeds=states, attention_mask=mask, use_cache=False)
        states, pooled = self.latent_attention(output.last_hidden_state).float(), inputs["pooled"][..., None]
        return F.normalize((states * pooled).sum(1) / pooled.sum(1), dim=-1)

    def _tokens(self, text: str) -> list[int]:
        """A text's tokens with an end token behind them, whether or not the tokenizer appends it."""
        ids, end = self.processor.tokenizer(text)["input_ids"], self.processor.tokenizer.eos_token_id
        return ids if ids[-1:] == [end] else [*ids, end]


def read_below(folder: HubFolder, prefix: str) -> dict[str, torch.Tensor]:
    """Read the weights whose names begin with `prefix`, from one file of safetensors or several."""
    index = folder.find("model.safetensors.index.json")
    shards = sorted(set(read_json(index)["weight_map"].values())) if index else ["model.safetensors"]
    state = {}
    for shard in shards:
        with safe_open(folder.path(shard), "pt") as file:
            names = file.keys()  # the file itself cannot be iterated over
            state |= {name: file.get_tensor(name) for name in names if name.startswith(prefix)}
    return state
