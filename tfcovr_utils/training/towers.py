"""The text branch of BLIP-2's Q-Former, E_text, by which the official stage 2 reads texts.

It is BERT without token types: the same weights serve a BERT folder, a BLIP-2 folder and the official
checkpoints. Its query branch and cross-attention never meet a text and are not built.
"""

import torch
from torch import nn

from ..encoders.key_maps import below, rename
from ..encoders.tokens import Tokens

BERT = "bert-base-uncased"  # the official code starts its text branch from it
TEXTS_AT_ONCE = 32  # texts of like length share a pass, so that short ones are not padded to the longest
BERT_SIZES = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
BERT_SIZES += ("max_position_embeddings", "layer_norm_eps")

# Names in BERT, and below `Qformer.bert.` in the official files (LAVIS, CoVR, TF-CoVR) -> names here.
BERT_TEXT = [
    (r"embeddings\.LayerNorm\.(\w+)", r"qformer.layernorm.\1"),
    (r"embeddings\.(word|position)_embeddings\.weight", r"embeddings.\1_embeddings.weight"),
    (r"encoder\.layer\.(\d+)\.attention\.self\.(.+)", r"qformer.encoder.layer.\1.attention.attention.\2"),
    (r"encoder\.layer\.(.+)", r"qformer.encoder.layer.\1"),
]
QFORMER_TEXT = below("Qformer.bert.", BERT_TEXT, "")


class TextTower(nn.Module):
    """The text branch: (input_ids, attention_mask), both (M, L), -> hidden state at [CLS] (M, D)."""

    def __init__(self, config):
        from transformers.models.blip_2 import modeling_blip_2 as blip_2  # slow to import

        super().__init__()
        self.config = config
        self.embeddings = blip_2.Blip2TextEmbeddings(config)
        self.qformer = blip_2.Blip2QFormerModel(config)
        for layer in self.qformer.encoder.layer:
            del layer.intermediate_query, layer.output_query
            if layer.has_cross_attention:
                del layer.crossattention

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Read texts by their token at [CLS]."""
        embedded = self.embeddings(input_ids)
        return self.qformer(embedded, query_length=0, attention_mask=attention_mask).last_hidden_state[:, 0]


def tower_config(**sizes):
    """Make the configuration of a text branch; `sizes` as in BERT's config, which are the defaults."""
    from transformers import Blip2QFormerConfig

    # Without the option the text layers are left out.
    return Blip2QFormerConfig(**sizes | {"use_qformer_text_input": True})


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

    return _load(AutoTokenizer, weights)


def load_text_tower(weights: str = BERT) -> TextTower:
    """Load the text branch from the hub or a folder, of BERT's layout or BLIP-2's, in eval mode."""
    from transformers import AutoConfig, BertModel, Blip2TextModelWithProjection

    config = _load(AutoConfig, weights)
    if config.model_type == "blip-2":
        config.qformer_config.use_qformer_text_input = True  # named otherwise in some files of the hub
        state = _load(Blip2TextModelWithProjection, weights, config=config).state_dict()
        tower = TextTower(config.qformer_config)
    elif config.model_type == "bert":
        state, _ = rename(_load(BertModel, weights, add_pooling_layer=False).state_dict(), BERT_TEXT)
        tower = TextTower(tower_config(**{name: getattr(config, name) for name in BERT_SIZES}))
    else:
        found = f"a model of type {config.model_type!r}"
        raise ValueError(f"{weights} holds {found}; expected bert or blip-2, for example {BERT}.")
    tower.load_state_dict({name: state[name] for name in tower.state_dict()})  # no text meets the others
    return tower.eval()


def _load(cls: type, weights: str, **options):
    try:
        return cls.from_pretrained(weights, **options)
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"the text model {weights} could not be loaded ({type(error).__name__}); where there is a "
            f"network, run `hf download {weights} --local-dir FOLDER`, copy FOLDER here, and give it as "
            "--text-weights."
        ) from error
