"""BLIP: frames and texts in one space, and an image and a modification read together by cross-attention, as in CoVR and BSE-CoVR."""

import hashlib
import json
import warnings
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from .base import Encoder, hash_weights
from .blip_files import BlipParts, read_blip, resize_positions, write_blip
from .hub import from_hub
from .tokens import Tokens, official_text, tokenise

ENC = "[ENC]"  # stands at position 0 of a text that is read together with an image


class BlipEncoder(Encoder):
    """BLIP for retrieval. N clips, T frames, L image tokens with the class token first, Dv the ViT's width, E the joint space."""

    name = "blip"

    def __init__(self, parts: BlipParts, tokenizer: str, max_words: int | None = 30, max_tokens: int = 64):
        super().__init__()
        self.model, self.prompt_proj = parts.model, parts.prompt_proj
        self.mean, self.std = tuple(parts.mean), tuple(parts.std)
        self.tokenizer_source, self.max_words = tokenizer, max_words
        if parts.tokenizer:
            self.tokenizer = parts.tokenizer
        vision, text = self.model.config.vision_config, self.model.config.text_config
        self.image_size = vision.image_size
        self.max_tokens = min(max_tokens, text.max_position_embeddings)
        self.identity = {
            "family": self.name,
            "weights": hash_weights(self.model),
            "image_size": self.image_size,
            "mean": self.mean,
            "std": self.std,
            "prompt_proj": hash_weights(self.prompt_proj) if self.prompt_proj else None,
            "heads": [vision.num_attention_heads, text.num_attention_heads],
            "activation": [vision.hidden_act, text.hidden_act],
            "norm_eps": [vision.layer_norm_eps, text.layer_norm_eps],
            "max_words": max_words,
            "max_tokens": self.max_tokens,
            "tokenizer": _hash_vocabulary(parts.tokenizer) if parts.tokenizer else tokenizer,
        }

    @classmethod
    def load(
        cls,
        weights: str,
        *,
        tokenizer: str = "Salesforce/blip-itm-base-coco",
        image_size: int | None = None,
        max_words: int | None = 30,
        max_tokens: int = 64,
        heads: tuple[int, int] | None = None,
    ) -> "BlipEncoder":
        """Load a Hugging Face folder or hub id of BlipForImageTextRetrieval, or an official file (.pth, .pt, .ckpt).

        tokenizer: hub id or folder, for weights that have none beside them; read when the first text comes. image_size:
        pixels, when not the checkpoint's. max_words, max_tokens: where texts are cut; None keeps all words, and no text can be
        longer than the encoder has positions. heads: of ViT and text encoder, when they are not the width / 64.
        """
        parts = read_blip(str(weights), heads)
        if image_size is not None:
            resize_positions(parts.model, image_size)
        return cls(parts, tokenizer, max_words, max_tokens)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return from_hub(AutoTokenizer.from_pretrained, self.tokenizer_source, whole=False)

    @property
    def dim(self) -> int:
        """E, of the joint space."""
        return self.model.text_proj.out_features

    def encode_frames(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Frames uint8 (N, T, H, W, 3) -> unit features of single frames (N, T, E)."""
        return F.normalize(self.model.vision_proj(self.encode_tokens(frames)[:, :, 0]), dim=-1)

    def encode_tokens(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Frames uint8 (N, T, H, W, 3) -> image tokens after the last norm (N, T, L, Dv)."""
        return self.model.vision_model(self.prepare(frames)).last_hidden_state.unflatten(0, frames.shape[:2])

    def encode_texts(self, texts: list[str]) -> torch.Tensor:
        """Texts alone -> unit features (M, E)."""
        return self._project(self._read(self.tokenise(texts, enc=False)))

    def tokenise(self, texts: list[str], enc: bool) -> Tokens:
        """Tokenise as the official loaders do; with `enc` [ENC] takes the place of [CLS]. Warns when tokens are cut."""
        texts = [official_text(text, self.max_words) for text in texts]
        lost = [len(ids) - self.max_tokens for ids in self.tokenizer(texts, verbose=False)["input_ids"]]
        if cut := [tokens for tokens in lost if tokens > 0]:
            warnings.warn(
                f"{len(cut)} of {len(texts)} texts lose {sum(cut)} tokens, since max_tokens is {self.max_tokens}; raise it "
                f"(to {self.model.config.text_config.max_position_embeddings} at most) or shorten the texts.",
                stacklevel=2,
            )
        tokens = tokenise(texts, self.tokenizer, self.max_tokens)
        if enc:
            tokens.input_ids[:, 0] = self._enc_id()
        return tokens

    def compose(
        self, tokens: torch.Tensor, texts: Tokens, grounding: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Read texts, with [ENC], by cross-attention to image tokens (B, L, Dv) -> unit queries (B, E); differentiable.

        grounding: (B, Dv), added to every image token, as BSE-CoVR does with a description of the query clip.
        """
        width = self.model.config.vision_config.hidden_size
        if tokens.ndim != 3 or len(tokens) != len(texts) or tokens.shape[-1] != width:
            raise ValueError(
                f"image tokens are {tuple(tokens.shape)} for {len(texts)} texts; pass ({len(texts)}, L, {width}), "
                "those of one frame a text."
            )
        if grounding is not None:
            if grounding.shape != (len(tokens), width):
                raise ValueError(
                    f"grounding is {tuple(grounding.shape)}; pass ({len(tokens)}, {width}), one row a text, "
                    "as ground() gives."
                )
            tokens = tokens + grounding[:, None]
        return self._project(self._read(texts, tokens))

    def ground(self, descriptions: Tokens) -> torch.Tensor:
        """Descriptions of query clips -> what `compose` adds to their image tokens (B, Dv).

        They are read without cross-attention. BSE-CoVR trained them with [CLS] and tests them with [ENC].
        """
        if self.prompt_proj is None:
            raise ValueError(
                "this BLIP has no prompt_proj, which only BSE-CoVR's checkpoints hold; load one of those, or call "
                "add_prompt_proj() and train it."
            )
        return self.prompt_proj(self._read(descriptions))

    def add_prompt_proj(self) -> None:
        """Make the layer that BSE-CoVR adds to CoVR, for training."""
        if self.prompt_proj is not None:
            raise ValueError(
                "this BLIP has a prompt_proj already; load a checkpoint without one, such as CoVR's, to begin anew."
            )
        config = self.model.config
        self.prompt_proj = nn.Linear(
            config.text_config.hidden_size, config.vision_config.hidden_size, device=self.device
        )
        # With zeros a description first adds nothing, so training begins at exactly CoVR's model; random weights would disturb
        # every image token that its cross-attention has learnt to read. The layer itself gets gradients from the first step on.
        nn.init.zeros_(self.prompt_proj.weight)
        nn.init.zeros_(self.prompt_proj.bias)
        self.identity["prompt_proj"] = hash_weights(self.prompt_proj)

    def trained_parameters(self, part: str = "composed") -> list[nn.Parameter]:
        """What official training trains: the text encoder, its projection and prompt_proj. ViT and vision_proj stay frozen."""
        if part != "composed":
            raise ValueError(f"part {part!r} is not known; choose composed.")
        modules = (self.model.text_encoder, self.model.text_proj, self.prompt_proj)
        return [parameter for module in modules if module is not None for parameter in module.parameters()]

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a folder that `load` reads back: weights, config, pixel statistics, and the tokenizer if it has been read."""
        write_blip(
            Path(folder), self.model, self.prompt_proj, self.mean, self.std, self.__dict__.get("tokenizer")
        )

    def _read(self, texts: Tokens, image_tokens: torch.Tensor | None = None) -> torch.Tensor:
        """The text encoder's state at the first token (M, D)."""
        texts = texts.to(self.device)
        return self.model.text_encoder(
            texts.input_ids, attention_mask=texts.attention_mask, encoder_hidden_states=image_tokens
        ).last_hidden_state[:, 0]

    def _project(self, states: torch.Tensor) -> torch.Tensor:
        return F.normalize(self.model.text_proj(states), dim=-1)

    def _enc_id(self) -> int:
        """The hub's tokenizers do not know [ENC], which is the last word of the official ones."""
        known = self.tokenizer.convert_tokens_to_ids(ENC)
        return (
            self.model.config.text_config.vocab_size - 1
            if known in (None, self.tokenizer.unk_token_id)
            else known
        )


def _hash_vocabulary(tokenizer: PreTrainedTokenizerBase) -> str:
    return hashlib.sha256(json.dumps(sorted(tokenizer.get_vocab().items())).encode()).hexdigest()[:16]
