"""The text branch of BLIP-2's Q-Former, which the official stage 2 reads texts by.

It is BERT without token types: the same weights serve a BERT folder, a BLIP-2 folder and the official
checkpoints. Its query branch and cross-attention never meet a text and are not built.
"""

import torch
from torch import nn

from ..encoders.key_maps import rename
from ..encoders.tokens import Tokens

BERT = "bert-base-uncased"  # what the official code starts its text branch from
TEXTS_AT_ONCE = 32  # texts of like length share a pass, so that short ones are not padded to the longest

# Names in the official files (LAVIS, CoVR, TF-CoVR) -> names here.
QFORMER_TEXT = [
    (r"Qformer\.bert\.embeddings\.LayerNorm\.(\w+)", r"qformer.layernorm.\1"),
    (r"Qformer\.bert\.embeddings\.(word|position)_embeddings\.weight", r"embeddings.\1_embeddings.weight"),
    (
        r"Qformer\.bert\.encoder\.layer\.(\d+)\.attention\.self\.(.+)",
        r"qformer.encoder.layer.\1.attention.attention.\2",
    ),
    (r"Qformer\.bert\.encoder\.layer\.(.+)", r"qformer.encoder.layer.\1"),
]


class TextTower(nn.Module):
    """The text branch: (input_ids, attention_mask), both (M, L), -> hidden state at [CLS] (M, D)."""

    def __init__(self, config):
        from transformers.models.blip_2.modeling_blip_2 import (
            Blip2QFormerModel,
            Blip2TextEmbeddings,
        )  # slow to import

        super().__init__()
        self.config = config
        self.embeddings = Blip2TextEmbeddings(config)
        self.qformer = Blip2QFormerModel(config)
        for layer in self.qformer.encoder.layer:
            del layer.intermediate_query, layer.output_query
            if layer.has_cross_attention:
                del layer.crossattention

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        embedded = self.embeddings(input_ids)
        return self.qformer(embedded, query_length=0, attention_mask=attention_mask).last_hidden_state[:, 0]


def tower_config(**sizes):
    """The configuration of a text branch; `sizes` as in BERT's config, which are the defaults."""
    from transformers import Blip2QFormerConfig

    return Blip2QFormerConfig(
        **sizes | {"use_qformer_text_input": True}
    )  # without it the text layers are left out


def read_tokens(tower: nn.Module, tokens: Tokens) -> torch.Tensor:
    """Run a tower over texts, (M, D) in their order, each pass cut to its own longest text."""
    length = tokens.attention_mask.sum(1)
    order = length.argsort()
    features = []
    for rows in order.split(TEXTS_AT_ONCE):
        longest = int(length[rows[-1]])
        features.append(tower(tokens.input_ids[rows, :longest], tokens.attention_mask[rows, :longest]))
    return torch.cat(features)[order.argsort()]


def load_tokenizer(weights: str = BERT):
    """Load BERT's tokenizer from the hub or a folder."""
    from transformers import AutoTokenizer

    return _fetched(AutoTokenizer.from_pretrained, weights)


def load_text_tower(weights: str = BERT) -> TextTower:
    """Load the text branch from the hub or a folder, of BERT's layout or BLIP-2's, in eval mode."""
    from transformers import AutoConfig, BertModel, Blip2TextModelWithProjection

    config = _fetched(AutoConfig.from_pretrained, weights)
    if config.model_type == "blip-2":
        config.qformer_config.use_qformer_text_input = (
            True  # some hub files spell it otherwise, and would lose the text layers
        )
        model = _fetched(Blip2TextModelWithProjection.from_pretrained, weights, config=config)
        tower, state = TextTower(config.qformer_config), model.state_dict()
    elif config.model_type == "bert":
        sizes = (
            "vocab_size",
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "intermediate_size",
            "max_position_embeddings",
            "layer_norm_eps",
        )
        tower = TextTower(tower_config(**{name: getattr(config, name) for name in sizes}))
        bert = _fetched(BertModel.from_pretrained, weights, add_pooling_layer=False)
        state, _ = rename(
            {f"Qformer.bert.{key}": value for key, value in bert.state_dict().items()}, QFORMER_TEXT
        )
    else:
        raise ValueError(
            f"{weights} holds a model of type {config.model_type!r}; expected bert or blip-2, for example {BERT}."
        )
    own = tower.state_dict()
    tower.load_state_dict({key: state[key] for key in own})  # what is left over no text meets
    return tower.eval()


def _fetched(load, weights: str, **options):
    try:
        return load(weights, **options)
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"the text model {weights} could not be loaded ({type(error).__name__}); where there is a network, run `hf download "
            f"{weights} --local-dir FOLDER`, copy FOLDER here, and give it as --text-weights."
        ) from error
