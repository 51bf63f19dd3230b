"""BLIP-2's first stage: an EVA ViT, and a Q-Former that reads images, texts, or both together.

It reads out features and says what the official code trains for each; where the weights come from stands in blip2_files.
"""

import re
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import Blip2ForImageTextRetrieval
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from ..machine.files import replacing_files
from .base import Encoder, hash_weights, local_folder
from .blip2_files import SUFFIXES, read_hugging_face, read_official, resize_positions
from .hub import LateTokenizer
from .tokens import MAX_TOKENS, MAX_WORDS, Tokens, official_text, tokenise

# What the official code trains: weights by transformers' names.
PARTS = {
    "text": r"(embeddings|text_projection)\..+|qformer\.(?!.*(crossattention|_query)).+",
    "vision": r"(vision_model|vision_projection)\..+|query_tokens",
    "composed": r"(embeddings|qformer|text_projection)\..+",
}


class Blip2Encoder(Encoder):
    """BLIP-2's Q-Former on its ViT. A frame is the mean of its query tokens' unit vectors, a text the unit vector of [CLS]."""

    name = "blip2"
    mean, std = tuple(OPENAI_CLIP_MEAN), tuple(OPENAI_CLIP_STD)

    def __init__(
        self,
        model: Blip2ForImageTextRetrieval,
        tokenizer: LateTokenizer,
        max_words: int | None,
        max_tokens: int,
    ):
        super().__init__()
        self.model, self.tokenizer, self.max_words, self.max_tokens = model, tokenizer, max_words, max_tokens
        configs = (model.config.vision_config, model.config.qformer_config)
        self.image_size = configs[0].image_size
        if max_tokens > configs[1].max_position_embeddings:
            raise ValueError(
                f"max_tokens={max_tokens} is more than the {configs[1].max_position_embeddings} positions of this Q-Former; "
                "pass at most that many."
            )
        self.identity = {
            "family": self.name,
            "weights": hash_weights(model),
            "image_size": self.image_size,
            "mean": self.mean,
            "std": self.std,
            "heads": [config.num_attention_heads for config in configs],
            "activation": [config.hidden_act for config in configs],
            "norm_eps": [config.layer_norm_eps for config in configs],
            "tokenizer": tokenizer.source,
            "max_words": max_words,
            "max_tokens": max_tokens,
        }

    @classmethod
    def load(
        cls,
        weights: str | Path,
        *,
        tokenizer: str | None = None,
        image_size: int | None = None,
        max_words: int | None = MAX_WORDS,
        max_tokens: int = MAX_TOKENS,
        heads: int | None = None,
        vision_heads: int | None = None,
    ) -> "Blip2Encoder":
        """Load from a Hugging Face folder or hub id of Blip2ForImageTextRetrieval, or from an official file (.pth, .pt, .ckpt).

        tokenizer: hub id or folder, read when the first text comes; unless given the folder itself where it has one, else BERT's. image_size: pixels, the checkpoint's own unless given;
        positions are interpolated to it. heads, vision_heads: of the Q-Former and of the ViT in a file, their width / 64 and
        width / 88 unless given.
        """
        if Path(weights).suffix in SUFFIXES:
            model = read_official(weights, heads, vision_heads)
        elif heads or vision_heads:
            raise ValueError(
                f"heads={heads} and vision_heads={vision_heads} are for checkpoint files, but {weights} has a config.json "
                "that says them; leave both out."
            )
        else:
            model = read_hugging_face(str(weights))
        if image_size is not None:
            resize_positions(model, image_size)
        if tokenizer is None:
            own = Path(local_folder(str(weights)))
            tokenizer = str(weights) if (own / "tokenizer_config.json").exists() else "bert-base-uncased"
        return cls(model, LateTokenizer(tokenizer), max_words, max_tokens)

    @property
    def dim(self) -> int:
        """E, of the joint space."""
        return self.model.text_projection.out_features

    def encode_frames(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        return self.see(self.encode_tokens(frames).flatten(0, 1)).unflatten(0, frames.shape[:2])

    def encode_tokens(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Frames uint8 (N, T, H, W, 3) -> image tokens (N, T, L, Dv), the class token first: what `see` and `compose` read."""
        return self.model.vision_model(self.prepare(frames)).last_hidden_state.unflatten(0, frames.shape[:2])

    def encode_texts(self, texts: list[str]) -> torch.Tensor:
        return self.read_text(self.tokenise(texts))

    def tokenise(self, texts: list[str]) -> Tokens:
        """Write texts as the official loaders do and tokenise them, M texts to the longest; say how many lost tokens."""
        texts = [official_text(text, self.max_words) for text in texts]
        cut = sum(len(row) > self.max_tokens for row in self.tokenizer(texts)["input_ids"])
        if cut:
            warnings.warn(
                f"{cut} of {len(texts)} texts are longer than max_tokens={self.max_tokens} and lost their last tokens; "
                "raise max_tokens to keep them.",
                stacklevel=2,
            )
        return tokenise(texts, self.tokenizer, self.max_tokens)

    def read_text(self, texts: Tokens) -> torch.Tensor:
        """M texts alone -> (M, E), unit norm."""
        texts = texts.to(self.device)
        read = self.model.qformer(
            self.model.embeddings(texts.input_ids), query_length=0, attention_mask=texts.attention_mask
        )
        return F.normalize(self.model.text_projection(read.last_hidden_state[:, 0]), dim=-1)

    def see(self, tokens: torch.Tensor) -> torch.Tensor:
        """Image tokens (B, L, Dv) -> (B, E): the mean of `see_tokens`, not unit again."""
        return self.see_tokens(tokens).mean(1)

    def see_tokens(self, tokens: torch.Tensor) -> torch.Tensor:
        """Image tokens (B, L, Dv) -> what each query token saw (B, Q, E), unit norm."""
        queries = self.model.query_tokens.expand(len(tokens), -1, -1)
        seen = self.model.qformer(queries, encoder_hidden_states=tokens).last_hidden_state
        return F.normalize(self.model.vision_projection(seen), dim=-1)

    def compose(self, tokens: torch.Tensor, texts: Tokens) -> torch.Tensor:
        """Image tokens (B, L, Dv) and B texts -> (B, E): `compose_tokens` by the text's projection, unit each, then their mean."""
        return F.normalize(self.model.text_projection(self.compose_tokens(tokens, texts)), dim=-1).mean(1)

    def compose_tokens(self, tokens: torch.Tensor, texts: Tokens) -> torch.Tensor:
        """Image tokens (B, L, Dv) and B texts -> what each query token makes of both (B, Q, D), before any projection."""
        if len(tokens) != len(texts):
            raise ValueError(
                f"there are {len(tokens)} images and {len(texts)} texts; pass one text an image."
            )
        texts, queries = texts.to(self.device), self.model.query_tokens.expand(len(tokens), -1, -1)
        mask = torch.cat([texts.attention_mask.new_ones(queries.shape[:2]), texts.attention_mask], 1)
        read = self.model.qformer(
            self.model.embeddings(texts.input_ids, query_embeds=queries),
            query_length=queries.shape[1],
            attention_mask=mask,
            encoder_hidden_states=tokens,
        )
        return read.last_hidden_state[:, : queries.shape[1]]

    def trained_parameters(self, part: str) -> list[nn.Parameter]:
        """Give the parameters that the official code trains for `read_text` ("text"), `see` ("vision") or `compose` ("composed")."""
        if part not in PARTS:
            raise ValueError(f"part {part!r} is not known; choose one of {', '.join(PARTS)}.")
        return [
            parameter for name, parameter in self.model.named_parameters() if re.fullmatch(PARTS[part], name)
        ]

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a Hugging Face folder that `load` reads; the tokenizer and the two limits of a text are not in it."""
        with replacing_files(folder, "config.json") as temporary:
            self.model.save_pretrained(temporary)
