"""The small BLIP, its captioner and BLIP-2's Q-Former: how they are built, and how each reads pictures and
texts."""

from copy import deepcopy
from dataclasses import dataclass

import torch
from tokenizers import pre_tokenizers
from torch import nn
from torch.nn import functional as F
from transformers import (
    BertTokenizer,
    Blip2Config,
    Blip2ForImageTextRetrieval,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipForImageTextRetrieval,
)

from ...encoders.tokens import Tokens
from ...rendering.pretraining_pictures import SIZE
from ..kinds import Count, Depth, Positive, Width
from .captioned import Pretraining

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "[ENC]"]
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


@dataclass(frozen=True)
class BlipPretraining(Pretraining):
    """Size of the three models and of their training; they share widths and pictures."""

    text_layers: Depth = 2
    qformer_layers: Depth = 2  # the first with cross-attention
    query_tokens: Width = 8
    positions: Width = 256  # enough for a dense text of 120 words
    steps: Count = 3000
    qformer_steps: Count = 2000
    captioner_steps: Count = 1500
    batch: Count = 96
    temperature: Positive = 0.07


def build_word_tokenizer(texts: list[str]) -> BertTokenizer:
    """Make BERT's WordPiece (lower case) of the words of `texts`, ASCII's letters and BLIP's two tokens."""
    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    split = pre_tokenizers.BertPreTokenizer()
    known = {word for text in texts for word, _ in split.pre_tokenize_str(text.lower())}
    words = sorted({*letters, *(f"##{letter}" for letter in letters), *known} - set(SPECIAL))
    ordered = [*SPECIAL[:5], *words, *SPECIAL[5:]]  # [ENC] is the last, as in BLIP
    vocab = {token: place for place, token in enumerate(ordered)}
    return BertTokenizer(vocab=vocab, extra_special_tokens=SPECIAL[5:], model_max_length=512)


def build_blip(tokenizer: BertTokenizer, settings: BlipPretraining) -> tuple[nn.Module, nn.Module]:
    """Make the model that retrieves and the one that captions, with one ViT."""
    ids = {"bos_token_id": "[DEC]", "eos_token_id": "[SEP]", "sep_token_id": "[SEP]", "pad_token_id": "[PAD]"}
    text = {name: tokenizer.convert_tokens_to_ids(token) for name, token in ids.items()}
    text |= _reading(tokenizer, settings) | {"num_hidden_layers": settings.text_layers}
    text |= {"projection_dim": settings.projection, "initializer_range": 0.02}
    parts = {"text_config": text, "vision_config": _vision(settings)}
    dims = {"projection_dim": settings.projection, "image_text_hidden_size": settings.projection}
    config = BlipConfig(**parts, **dims)
    retrieval, captioner = BlipForImageTextRetrieval(config), BlipForConditionalGeneration(deepcopy(config))
    captioner.vision_model = retrieval.vision_model
    return retrieval, captioner


def build_blip2(tokenizer: BertTokenizer, settings: BlipPretraining, vit: nn.Module) -> nn.Module:
    """Make a Q-Former on a copy of a BLIP's ViT, which stays frozen."""
    qformer = {"use_qformer_text_input": True, "cross_attention_frequency": 2}
    qformer |= _reading(tokenizer, settings) | {"num_hidden_layers": settings.qformer_layers}
    parts = {"qformer_config": qformer, "vision_config": _vision(settings)}
    sizes = {"num_query_tokens": settings.query_tokens, "image_text_hidden_size": settings.projection}
    config = Blip2Config(**parts, **sizes)
    model = Blip2ForImageTextRetrieval(config)
    nn.init.normal_(model.query_tokens, std=0.02)
    model.vision_model.load_state_dict(vit.state_dict())
    model.vision_model.requires_grad_(False)
    return model


def _reading(tokenizer: BertTokenizer, settings: BlipPretraining) -> dict:
    sizes = {"encoder_hidden_size": settings.width, "max_position_embeddings": settings.positions}
    return settings.tower | sizes | NO_DROPOUT | {"vocab_size": len(tokenizer)}


def _vision(settings: BlipPretraining) -> dict:
    sizes = {"num_hidden_layers": settings.layers, "image_size": SIZE, "patch_size": settings.patch}
    as_blip = {"layer_norm_eps": 1e-6, "initializer_range": 0.02, "hidden_act": "gelu"}
    return settings.tower | sizes | as_blip


class BlipReader(nn.Module):
    """How BLIP reads for its losses: pictures and texts apart, both together, and captions."""

    def __init__(self, retrieval: nn.Module, captioner: nn.Module, tokenizer: BertTokenizer):
        super().__init__()
        self.retrieval, self.decoder = retrieval, captioner.text_decoder
        self.enc, self.dec = tokenizer.convert_tokens_to_ids(["[ENC]", "[DEC]"])

    def see(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Read pictures (B, 3, H, W) as image tokens (B, L, D) and embeddings (B, P)."""
        tokens = self.retrieval.vision_model(pixels).last_hidden_state
        return tokens, self.retrieval.vision_proj(tokens[:, 0])

    def read(self, texts: Tokens) -> torch.Tensor:
        """Embed texts alone, (M, P)."""
        return self.retrieval.text_proj(self._encode(texts))

    def compose(self, tokens: torch.Tensor, texts: Tokens) -> torch.Tensor:
        """Embed pictures and instructions read together, (B, P)."""
        return self.retrieval.text_proj(self._encode(start_with(self.enc, texts), tokens))

    def match(self, tokens: torch.Tensor, texts: Tokens) -> torch.Tensor:
        """Say whether pictures and captions belong together: logits (B, 2)."""
        return self.retrieval.itm_head(self._encode(start_with(self.enc, texts), tokens))

    def caption_loss(self, tokens: torch.Tensor, texts: Tokens) -> torch.Tensor:
        """Compute the decoder's loss on the captions of pictures."""
        return caption_loss(self.decoder, tokens, start_with(self.dec, texts))

    def _encode(self, texts: Tokens, tokens: torch.Tensor | None = None) -> torch.Tensor:
        read = {"attention_mask": texts.attention_mask, "encoder_hidden_states": tokens}
        return self.retrieval.text_encoder(texts.input_ids, **read).last_hidden_state[:, 0]


class Blip2Reader(nn.Module):
    """How the Q-Former reads for its losses: as `BlipReader`, without captions."""

    caption_loss = None

    def __init__(self, model: Blip2ForImageTextRetrieval):
        super().__init__()
        self.model = model

    def see(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Read pictures (B, 3, H, W) as image tokens (B, L, D) and embeddings (B, P)."""
        with torch.no_grad():
            tokens = self.model.vision_model(pixels).last_hidden_state
        queries = self.model.query_tokens.expand(len(tokens), -1, -1)
        seen = self.model.qformer(queries, encoder_hidden_states=tokens).last_hidden_state
        return tokens, F.normalize(self.model.vision_projection(seen), dim=-1).mean(1)

    def read(self, texts: Tokens) -> torch.Tensor:
        """Embed texts alone, (M, P)."""
        embedded = self.model.embeddings(texts.input_ids)
        read = self.model.qformer(embedded, query_length=0, attention_mask=texts.attention_mask)
        return self.model.text_projection(read.last_hidden_state[:, 0])

    def compose(self, tokens: torch.Tensor, texts: Tokens) -> torch.Tensor:
        """Embed pictures and instructions read together, (B, P)."""
        read = self.model.text_projection(self._read_jointly(tokens, texts))
        return F.normalize(read, dim=-1).mean(1)

    def match(self, tokens: torch.Tensor, texts: Tokens) -> torch.Tensor:
        """Say whether pictures and captions belong together: logits (B, 2)."""
        return self.model.itm_head(self._read_jointly(tokens, texts)).mean(1)

    def _read_jointly(self, tokens: torch.Tensor, texts: Tokens) -> torch.Tensor:
        queries = self.model.query_tokens.expand(len(tokens), -1, -1)
        mask = torch.cat([texts.attention_mask.new_ones(queries.shape[:2]), texts.attention_mask], 1)
        embedded = self.model.embeddings(texts.input_ids, query_embeds=queries)
        seen = {"query_length": queries.shape[1], "encoder_hidden_states": tokens}
        read = self.model.qformer(embedded, attention_mask=mask, **seen)
        return read.last_hidden_state[:, : queries.shape[1]]


def caption_loss(decoder: nn.Module, tokens: torch.Tensor, texts: Tokens) -> torch.Tensor:
    """Compute a decoder's cross-entropy of texts (B, L), given image tokens; the first token is given."""
    wanted = texts.input_ids.masked_fill(texts.attention_mask == 0, -100)
    wanted[:, 0] = -100
    read = {"attention_mask": texts.attention_mask, "encoder_hidden_states": tokens}
    return decoder(texts.input_ids, **read, labels=wanted).loss


def start_with(first: int, texts: Tokens) -> Tokens:
    """Put a token in place of the first of each text."""
    ids = texts.input_ids.clone()
    ids[:, 0] = first
    return Tokens(ids, texts.attention_mask)
