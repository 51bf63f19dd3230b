"""BLIP: frames and texts in one space, and both read together by cross-attention, as in CoVR and BSE-CoVR."""

import json
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..machine.hashing import hash_text
from .base import Encoder, hash_weights
from .blip_files import EXPECTED, BlipParts, read_file, read_folder, write_blip
from .hub import LateTokenizer, read_file_or_folder
from .tokens import MAX_WORDS, Tokens, tokenise_officially

ENC = "[ENC]"  # at position 0 of a text that is read together with an image


class BlipEncoder(Encoder):
    """BLIP for retrieval. L image tokens, the class token first; Dv the ViT's width; E the joint space."""

    name = "blip"

    def __init__(
        self,
        parts: BlipParts,
        tokenizer: str,
        max_words: int | None = MAX_WORDS,
        max_tokens: int = 64,
        written_as: str = "tfcovr",
    ):
        super().__init__()
        self.model, self.prompt_proj = parts.model, parts.prompt_proj
        self.mean, self.std = parts.mean, parts.std
        vision, text = self.model.config.vision_config, self.model.config.text_config
        self.written_as = written_as
        self.tokenizer, self.max_words = LateTokenizer(tokenizer, parts.tokenizer), max_words
        self.image_size, self.max_tokens = vision.image_size, min(max_tokens, text.max_position_embeddings)
        vocabulary = sorted(parts.tokenizer.get_vocab().items()) if parts.tokenizer else None
        choices = {"image_size": self.image_size, "max_words": max_words, "max_tokens": self.max_tokens}
        choices |= {"written_as": written_as} if written_as != "tfcovr" else {}
        choices["prompt_proj"] = hash_weights(self.prompt_proj) if self.prompt_proj else None
        choices["tokenizer"] = hash_text(json.dumps(vocabulary)) if vocabulary else tokenizer
        self.identify(self.model, vision, text, **choices)

    @classmethod
    def load(
        cls,
        weights: str,
        tokenizer: str = "Salesforce/blip-itm-base-coco",
        max_words: int | None = MAX_WORDS,
        max_tokens: int = 64,
        written_as: str = "tfcovr",
        **heads: int,
    ) -> "BlipEncoder":
        """Load a Hugging Face folder or hub id of BlipForImageTextRetrieval, or an official checkpoint file.

        tokenizer: hub id or folder, for weights without one; loaded when the first text comes. max_words,
        max_tokens: where texts are cut; None keeps all words. written_as: of `tokens.WRITERS`. heads:
        options of `read_file`.
        """
        parts = read_file_or_folder(weights, EXPECTED, read_file, read_folder, **heads)
        return cls(parts, tokenizer, max_words, max_tokens, written_as)

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

    def tokenise(self, texts: list[str], enc: bool, written_as: str = "") -> Tokens:
        """Tokenise as the official loaders do, with [ENC] in place of [CLS] if `enc`; warn of cuts."""
        cuts = self.max_words, self.max_tokens
        tokens = tokenise_officially(texts, self.tokenizer, *cuts, written_as or self.written_as)
        if enc:
            tokenizer = self.tokenizer.loaded
            known = tokenizer.convert_tokens_to_ids(ENC)
            # The hub's tokenizers do not know [ENC], which is the last word of the official ones.
            last = self.model.config.text_config.vocab_size - 1
            tokens.input_ids[:, 0] = last if known in (None, tokenizer.unk_token_id) else known
        return tokens

    def compose(
        self, tokens: torch.Tensor, texts: Tokens, grounding: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Read texts, with [ENC], by cross-attention to image tokens (B, L, Dv) -> unit queries (B, E).

        grounding: (B, Dv), added to every image token, as BSE-CoVR does with a description of the query clip.
        """
        width = self.model.config.vision_config.hidden_size
        if tokens.ndim != 3 or len(tokens) != len(texts) or tokens.shape[-1] != width:
            raise ValueError(
                f"image tokens are {tuple(tokens.shape)} for {len(texts)} texts; "
                f"pass ({len(texts)}, L, {width}), those of one frame a text."
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
                "this BLIP has no prompt_proj, which only BSE-CoVR's checkpoints hold; load one of those, "
                "or call add_prompt_proj() and train it."
            )
        return self.prompt_proj(self._read(descriptions))

    def add_prompt_proj(self) -> None:
        """Make the layer that BSE-CoVR adds to CoVR, for training."""
        if self.prompt_proj is not None:
            raise ValueError("this BLIP has a prompt_proj already; load a checkpoint without one.")
        widths = self.model.config.text_config.hidden_size, self.model.config.vision_config.hidden_size
        self.prompt_proj = nn.Linear(*widths, device=self.device)
        # With zeros training begins at exactly CoVR's model; random weights would disturb the image tokens
        # that its cross-attention has learnt to read. The layer gets gradients from the first step.
        nn.init.zeros_(self.prompt_proj.weight)
        nn.init.zeros_(self.prompt_proj.bias)
        self.identity["prompt_proj"] = hash_weights(self.prompt_proj)

    def trained_parameters(self, part: str = "composed") -> list[nn.Parameter]:
        """Return what official training trains: all but ViT and vision_proj."""
        if part != "composed":
            raise ValueError(f"part {part!r} is not known; choose composed.")
        modules = (self.model.text_encoder, self.model.text_proj, self.prompt_proj)
        return [parameter for module in modules if module is not None for parameter in module.parameters()]

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a folder that `load` reads, with the tokenizer if it has been loaded."""
        tokenizer = vars(self.tokenizer).get("loaded")
        write_blip(Path(folder), BlipParts(self.model, self.prompt_proj, self.mean, self.std, tokenizer))

    def _read(self, texts: Tokens, image_tokens: torch.Tensor | None = None) -> torch.Tensor:
        """The text encoder's state at the first token (M, D)."""
        texts = texts.to(self.device)
        return self.model.text_encoder(
            texts.input_ids, attention_mask=texts.attention_mask, encoder_hidden_states=image_tokens
        ).last_hidden_state[:, 0]

    def _project(self, states: torch.Tensor) -> torch.Tensor:
        return F.normalize(self.model.text_proj(states), dim=-1)
