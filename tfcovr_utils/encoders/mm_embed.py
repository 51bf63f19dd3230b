"""MM-Embed: LLaVA-NeXT's vision in front of NV-Embed, a Mistral whose tokens all see each other, pooled behind latent attention."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from torch import nn
from torch.nn import functional as F
from transformers import BatchEncoding, LlavaNextModel, LlavaNextProcessor
from transformers.utils import cached_file

from .base import hash_weights
from .e5v import complete
from .key_maps import rename
from .loading import fill
from .mllm import MllmEncoder

HEADS = 8  # of NV-Embed's latent attention, which no shape tells
WIDENED = 4  # its feed-forward layer
LATENT = "latent_attention_model."
LATENT_NAMES = [
    (LATENT.replace(".", r"\.") + pattern, new)
    for pattern, new in (
        (r"latents", "latents"),
        (r"cross_attend_blocks\.0\.fn\.(to_q|to_kv|to_out)\.weight", r"\1.weight"),
        (r"cross_attend_blocks\.0\.norm\.(\w+)", r"norm_q.\1"),
        (r"cross_attend_blocks\.0\.norm_context\.(\w+)", r"norm_ctx.\1"),
        (r"cross_attend_blocks\.1\.norm\.(\w+)", r"norm_ff.\1"),
        (r"cross_attend_blocks\.1\.fn\.net\.0\.(\w+)", r"ff1.\1"),
        (r"cross_attend_blocks\.1\.fn\.net\.2\.(\w+)", r"ff2.\1"),
    )
]


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
    """The mean over a prompt's tokens behind its instruction. A picture is its whole view alone, 576 tokens and a line's end.

    heads: of the latent attention.
    """

    name, hub_id = "mm_embed", "nvidia/MM-Embed"
    model_class, processor_class = LlavaNextModel, LlavaNextProcessor
    ignored = LATENT.replace(".", r"\.") + ".+"  # read and accounted for by themselves
    query_start = "\nQuery: "

    def __init__(
        self,
        model: LlavaNextModel,
        processor: LlavaNextProcessor,
        instruction: str | None = None,
        *,
        latent: dict[str, torch.Tensor],
        heads: int = HEADS,
        **choices,
    ):
        super().__init__(complete(model, processor), processor, instruction, heads=heads, **choices)
        state, unknown = rename(latent, LATENT_NAMES)
        if "latents" not in state or "to_q.weight" not in state:
            raise ValueError(
                f"these weights have no latent attention, whose names begin with {LATENT}; pass a folder of the layout of "
                f"{self.hub_id}."
            )
        with torch.device("meta"):
            self.latent_attention = LatentAttention(*state["latents"].shape, len(state["to_q.weight"]), heads)
        self.latent_attention = self.latent_attention.to(model.dtype).to_empty(device="cpu")
        fill(
            self.latent_attention,
            state,
            unknown,
            "the latent attention",
            f"a folder of {self.hub_id}'s layout",
        )
        self.identity["latent_attention"] = hash_weights(self.latent_attention)

    @classmethod
    def read_files(cls, source: str, local_files_only: bool, dtype: torch.dtype) -> tuple:
        model, processor, told, _ = super().read_files(source, local_files_only, dtype)
        return model, processor, told, {"latent": tensors(weight_files(source, local_files_only), LATENT)}

    @classmethod
    def correct(cls, config, source: str, local_files_only: bool) -> None:
        """Count the words in the weights, which came from another language model than the config describes."""
        for words in tensors(
            weight_files(source, local_files_only), "language_model.embed_tokens.weight"
        ).values():
            config.text_config.vocab_size = len(words)

    def prompt(self, text: str | None, picture: str | None, query: bool) -> str:
        instruction = (
            f"Instruct: {self.instruction}{self.query_start}"
            if self.instruction
            else self.query_start.lstrip()
        )
        return (instruction if query else "") + ("<image>\n" if picture else "") + (text or "")

    def make_inputs(self, prompts: list[str], pictures: np.ndarray | None) -> BatchEncoding:
        """Tokens padded on the right, with as many image tokens as a picture has; `pooled` marks what is averaged."""
        tokenizer, config = self.processor.tokenizer, self.model.config
        each = (config.vision_config.image_size // config.vision_config.patch_size) ** 2 + 1
        image = self.processor.image_token
        rows = [self._tokens(prompt.replace(image, image * each)) for prompt in prompts]
        # The official length of an instruction counts the end token that its own tokenizing appends, so the newline goes with it.
        heads = [
            len(self._tokens(prompt.split(self.query_start)[0])) if self.query_start in prompt else 0
            for prompt in prompts
        ]
        longest = max(map(len, rows))
        places = torch.arange(longest).expand(len(rows), -1)
        mask = places < torch.tensor([[len(row)] for row in rows])
        ids = torch.tensor([row + [tokenizer.eos_token_id] * (longest - len(row)) for row in rows])
        inputs = {
            "input_ids": ids,
            "attention_mask": mask,
            "pooled": mask & (places >= torch.tensor(heads)[:, None]),
        }
        if pictures is not None:
            images = [Image.fromarray(picture) for picture in pictures]
            tiles = self.processor.image_processor(images, return_tensors="pt")["pixel_values"]
            inputs["pixel_values"] = torch.stack(
                [views[0] for views in tiles]
            )  # the first view is the whole picture
        return BatchEncoding(inputs)

    def read(self, inputs: BatchEncoding) -> torch.Tensor:
        model, dtype, ids = self.model, self.model.dtype, inputs["input_ids"]
        is_image = ids == model.config.image_token_id
        states = model.get_input_embeddings()(ids.masked_fill(is_image, 0))
        if "pixel_values" in inputs:
            layers = model.vision_tower(
                inputs["pixel_values"].to(dtype), output_hidden_states=True
            ).hidden_states
            seen = model.multi_modal_projector(
                layers[model.config.vision_feature_layer][:, 1:]
            )  # without the class token
            seen = torch.cat([seen, model.image_newline.to(dtype).expand(len(seen), 1, -1)], 1)
            states = states.masked_scatter(is_image[..., None], seen.to(states.dtype))
        # Four axes, so that it is taken as it is: with two, or without one, Mistral would look backwards only.
        mask = torch.zeros(len(ids), 1, *ids.shape[1:] * 2, dtype=dtype, device=ids.device)
        mask = mask.masked_fill(~inputs["attention_mask"][:, None, None], torch.finfo(dtype).min)
        states = model.language_model(
            inputs_embeds=states, attention_mask=mask, use_cache=False
        ).last_hidden_state
        states, pooled = self.latent_attention(states).float(), inputs["pooled"][..., None]
        return F.normalize((states * pooled).sum(1) / pooled.sum(1), dim=-1)

    def _tokens(self, text: str) -> list[int]:
        """A text's tokens with an end token behind them, whether or not the tokenizer appends it."""
        ids, end = self.processor.tokenizer(text)["input_ids"], self.processor.tokenizer.eos_token_id
        return ids if ids[-1:] == [end] else [*ids, end]


def weight_files(source: str, local_files_only: bool) -> list[str]:
    """Paths of a folder's or hub id's safetensors, one or several."""
    try:
        index = json.loads(
            Path(
                cached_file(source, "model.safetensors.index.json", local_files_only=local_files_only)
            ).read_text()
        )
    except OSError:
        return [cached_file(source, "model.safetensors", local_files_only=local_files_only)]
    return [
        cached_file(source, name, local_files_only=local_files_only)
        for name in sorted(set(index["weight_map"].values()))
    ]


def tensors(paths: list[str], prefix: str) -> dict[str, torch.Tensor]:
    """The weights whose names begin so."""
    found = {}
    for path in paths:
        with safe_open(path, "pt") as file:
            found |= {name: file.get_tensor(name) for name in file.keys() if name.startswith(prefix)}
    return found
