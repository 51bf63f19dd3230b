"""BLIP-2's first stage: an EVA ViT, and a Q-Former that reads images, texts, or both together.

Weights come from Hugging Face folders and the official checkpoints of LAVIS, CoVR-2 and TF-CoVR.
"""

import re
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoConfig, Blip2Config, Blip2ForImageTextRetrieval
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from ..machine.files import replacing_files
from .base import Encoder, local_folder
from .blip_files import bert_sizes, fill_retrieval, load_retrieval
from .hub import HubFolder, LateTokenizer, read_file_or_folder
from .key_maps import LAVIS, rename
from .loading import WrongWeights, read_shapes, read_tensors, vit_sizes
from .tokens import MAX_TOKENS, MAX_WORDS, Tokens, tokenise_officially

EXPECTED = (
    "a checkpoint of BLIP-2's first stage, such as LAVIS's blip2_finetune_coco.pth or the hub's "
    "Salesforce/blip2-itm-vit-g-coco"
)
VISION_HEAD_WIDTH = 88  # of EVA's ViT-g
# What the official code trains: weights by transformers' names.
PARTS = {
    "text": r"(embeddings|text_projection)\..+|qformer\.(?!.*(crossattention|_query)).+",
    "vision": r"(vision_model|vision_projection)\..+|query_tokens",
    "composed": r"(embeddings|qformer|text_projection)\..+",
}


class Blip2Encoder(Encoder):
    """BLIP-2's Q-Former on its ViT. L image tokens, Dv the ViT's width, E the joint space."""

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
        vision, qformer = model.config.vision_config, model.config.qformer_config
        self.image_size = vision.image_size
        if max_tokens > qformer.max_position_embeddings:
            raise ValueError(
                f"max_tokens={max_tokens} is more than the {qformer.max_position_embeddings} positions "
                "of this Q-Former; pass at most that many."
            )
        cuts = {"max_words": max_words, "max_tokens": max_tokens}
        self.identify(model, vision, qformer, image_size=self.image_size, tokenizer=tokenizer.source, **cuts)

    @classmethod
    def load(
        cls,
        weights: str | Path,
        tokenizer: str | None = None,
        max_words: int | None = MAX_WORDS,
        max_tokens: int = MAX_TOKENS,
        **heads: int,
    ) -> "Blip2Encoder":
        """Load a Hugging Face folder or hub id of Blip2ForImageTextRetrieval, or an official checkpoint file.

        tokenizer: hub id or folder, loaded when the first text comes; by default the folder itself if it has
        one, else BERT's. max_words, max_tokens: where texts are cut; None keeps all words. heads: options of
        `read_file`.
        """
        model = read_file_or_folder(weights, EXPECTED, read_file, read_folder, **heads)
        if tokenizer is None:
            has_own = (Path(local_folder(str(weights))) / "tokenizer_config.json").exists()
            tokenizer = str(weights) if has_own else "bert-base-uncased"
        return cls(model, LateTokenizer(tokenizer), max_words, max_tokens)

    @property
    def dim(self) -> int:
        """E, of the joint space."""
        return self.model.text_projection.out_features

    def encode_frames(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Frames uint8 (N, T, H, W, 3) -> features of single frames (N, T, E), not unit."""
        return self.read_image(self.encode_tokens(frames).flatten(0, 1)).unflatten(0, frames.shape[:2])

    def encode_tokens(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Frames uint8 (N, T, H, W, 3) -> image tokens (N, T, L, Dv)."""
        return self.model.vision_model(self.prepare(frames)).last_hidden_state.unflatten(0, frames.shape[:2])

    def encode_texts(self, texts: list[str]) -> torch.Tensor:
        """Texts alone -> unit features (M, E)."""
        return self.read_text(self.tokenise(texts))

    def tokenise(self, texts: list[str]) -> Tokens:
        """Tokenise as the official loaders do. Warns when tokens are cut."""
        return tokenise_officially(texts, self.tokenizer, self.max_words, self.max_tokens)

    def read_text(self, texts: Tokens) -> torch.Tensor:
        """M texts alone -> (M, E), unit norm."""
        texts = texts.to(self.device)
        embedded = self.model.embeddings(texts.input_ids)
        read = self.model.qformer(embedded, query_length=0, attention_mask=texts.attention_mask)
        return F.normalize(self.model.text_projection(read.last_hidden_state[:, 0]), dim=-1)

    def read_image(self, tokens: torch.Tensor) -> torch.Tensor:
        """Image tokens (B, L, Dv) -> (B, E): the mean of the query tokens' unit vectors."""
        queries = self.model.query_tokens.expand(len(tokens), -1, -1)
        read = self.model.qformer(queries, encoder_hidden_states=tokens).last_hidden_state
        return F.normalize(self.model.vision_projection(read), dim=-1).mean(1)

    def compose(self, tokens: torch.Tensor, texts: Tokens) -> torch.Tensor:
        """Image tokens (B, L, Dv) and B texts -> (B, E): the mean of the query tokens' unit vectors."""
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
        read = read.last_hidden_state[:, : queries.shape[1]]
        return F.normalize(self.model.text_projection(read), dim=-1).mean(1)

    def trained_parameters(self, part: str) -> list[nn.Parameter]:
        """Return what the official code trains for `read_text`, `read_image` ("vision") or `compose`."""
        if part not in PARTS:
            raise ValueError(f"part {part!r} is not known; choose one of {', '.join(PARTS)}.")
        named = self.model.named_parameters()
        return [parameter for name, parameter in named if re.fullmatch(PARTS[part], name)]

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a Hugging Face folder that `load` reads, without a tokenizer and the limits of texts."""
        with replacing_files(folder, "config.json") as temporary:
            self.model.save_pretrained(temporary)


def read_folder(folder: HubFolder) -> Blip2ForImageTextRetrieval:
    """Read a folder or a hub id."""
    config = folder.load(AutoConfig)
    if config.model_type != "blip-2":
        raise WrongWeights(f"{folder.source} holds a model of type {config.model_type!r}; pass {EXPECTED}.")
    config.qformer_config.use_qformer_text_input = True  # misspelt in some of the hub's files
    return load_retrieval(folder, Blip2ForImageTextRetrieval, config, EXPECTED)


def read_file(
    file: Path, heads: int | None = None, vision_heads: int | None = None
) -> Blip2ForImageTextRetrieval:
    """Read an official checkpoint. heads, vision_heads: of Q-Former and ViT, by default width / 64, / 88."""
    state, unknown = rename(_join_biases(read_tensors(file)), LAVIS)
    names = "query_tokens", "text_projection.bias"
    queries, projection = read_shapes(state, names, str(file), EXPECTED)
    of_vit = {"given": vision_heads, "option": "vision_heads", "head_width": VISION_HEAD_WIDTH}
    config = Blip2Config(
        vision_config=vit_sizes(state, "vision_model.", "position_embedding", str(file), EXPECTED, of_vit),
        qformer_config=bert_sizes(state, "embeddings", "qformer.encoder.layer", heads, str(file), EXPECTED)
        | {"use_qformer_text_input": True},
        num_query_tokens=queries[1],
        image_text_hidden_size=projection[0],
    )
    model = Blip2ForImageTextRetrieval(config)
    fill_retrieval(model, state, unknown, file, EXPECTED)
    return model


def _join_biases(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Join EVA's attention biases, of queries and of values, with zeros between them for the keys."""
    joined = dict(state)
    for name in state:
        value_name = name.replace("q_bias", "v_bias")
        if name.endswith(".attn.q_bias") and value_name in state:
            query, value = joined.pop(name), joined.pop(value_name)
            joined[name.replace("q_bias", "qkv.bias")] = torch.cat([query, torch.zeros_like(query), value])
    return joined
