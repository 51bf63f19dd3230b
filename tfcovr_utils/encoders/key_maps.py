"""Names of weights: one table for each layout that others save, from its names to transformers' or ours.

A table is a list of (pattern of a whole name, new name). In a new name {qkv} marks a tensor that stacks
queries, keys and values on its first axis, and {T} one that is stored transposed. None drops a weight.
"""

import re

import torch

Table = list[tuple[str, str | None]]


def below(prefix: str, table: Table, new_prefix: str) -> Table:
    """Put prefixes in front of the patterns and the new names of a table."""
    return [(re.escape(prefix) + pattern, new and new_prefix + new) for pattern, new in table]


_BLOCKS = [
    (r"transformer\.resblocks\.(\d+)\.attn\.in_proj_(\w+)", r"encoder.layers.\1.self_attn.{qkv}_proj.\2"),
    (r"transformer\.resblocks\.(\d+)\.attn\.out_proj\.(\w+)", r"encoder.layers.\1.self_attn.out_proj.\2"),
    (r"transformer\.resblocks\.(\d+)\.ln_([12])\.(\w+)", r"encoder.layers.\1.layer_norm\2.\3"),
    (r"transformer\.resblocks\.(\d+)\.mlp\.c_fc\.(\w+)", r"encoder.layers.\1.mlp.fc1.\2"),
    (r"transformer\.resblocks\.(\d+)\.mlp\.c_proj\.(\w+)", r"encoder.layers.\1.mlp.fc2.\2"),
]

# OpenAI CLIP's `visual.*` without that prefix -> CLIPVisionModel.
OPENAI_VISION = [
    (r"conv1\.weight", "embeddings.patch_embedding.weight"),
    (r"class_embedding", "embeddings.class_embedding"),
    (r"positional_embedding", "embeddings.position_embedding.weight"),
    (r"ln_pre\.(\w+)", r"pre_layrnorm.\1"),  # misspelt so in transformers
    (r"ln_post\.(\w+)", r"post_layernorm.\1"),
    *_BLOCKS,
]
# OpenAI CLIP -> CLIPModel. Without `visual.*` it is the text half of an RN50.
OPENAI_CLIP = [
    *below("", _BLOCKS, "text_model."),
    *below("visual.", OPENAI_VISION, "vision_model."),
    (r"token_embedding\.weight", "text_model.embeddings.token_embedding.weight"),
    (r"positional_embedding", "text_model.embeddings.position_embedding.weight"),
    (r"ln_final\.(\w+)", r"text_model.final_layer_norm.\1"),
    (r"text_projection", "text_projection.weight{T}"),
    (r"visual\.proj", "visual_projection.weight{T}"),
    (r"logit_scale", "logit_scale"),
    (r"input_resolution|context_length|vocab_size", None),  # sizes that the archives repeat
]

# A recogniser's checkpoint of AIM, or TF-CoVR's stage 1 -> AimClassifier.
AIM = [
    *below("backbone.", OPENAI_VISION, "backbone.tower."),
    (r"backbone\.temporal_embedding", "backbone.temporal_embedding"),
    (
        r"backbone\.transformer\.resblocks\.(\d+)\.((?:T_Adapter_in|T_Adapter|S_Adapter|MLP_Adapter)\.D_fc[12]\.\w+)",
        r"backbone.adapters.\1.\2",
    ),
    (r"cls_head\.fc_cls\.(\w+)", r"fc_cls.\1"),
]

# The ViT that BLIP and BLIP-2 share.
_BLIP_VISION = [
    (r"visual_encoder\.cls_token", "vision_model.embeddings.class_embedding"),
    (r"visual_encoder\.pos_embed", "vision_model.embeddings.position_embedding"),
    (r"visual_encoder\.patch_embed\.proj\.(\w+)", r"vision_model.embeddings.patch_embedding.\1"),
    (r"visual_encoder\.blocks\.(\d+)\.norm([12])\.(\w+)", r"vision_model.encoder.layers.\1.layer_norm\2.\3"),
    (r"visual_encoder\.blocks\.(\d+)\.attn\.qkv\.(\w+)", r"vision_model.encoder.layers.\1.self_attn.qkv.\2"),
    (
        r"visual_encoder\.blocks\.(\d+)\.attn\.proj\.(\w+)",
        r"vision_model.encoder.layers.\1.self_attn.projection.\2",
    ),
    (r"visual_encoder\.blocks\.(\d+)\.mlp\.(fc[12])\.(\w+)", r"vision_model.encoder.layers.\1.mlp.\2.\3"),
]
# BLIP, CoVR, ECDE and BSE-CoVR -> BlipForImageTextRetrieval and prompt_proj. What is dropped serves training
# alone.
BLIP = [
    *_BLIP_VISION,
    (r"visual_encoder\.norm\.(\w+)", r"vision_model.post_layernorm.\1"),
    (r"text_encoder\.embeddings\.position_ids", None),
    (
        r"(visual_encoder|vision_proj|text_encoder|text_proj)_m\..+|(image|text|idx|ptr)_queue|temp|loss\..+",
        None,
    ),
    (r"((?:text_encoder|vision_proj|text_proj|itm_head|prompt_proj)\..+)", r"\1"),
]
# LAVIS's BLIP-2, whose names CoVR-2 and TF-CoVR keep -> Blip2ForImageTextRetrieval.
LAVIS = [
    (
        r"(.*\.)?position_ids|Qformer\.cls\..+|temp",
        None,
    ),  # counters, the language head, the losses' temperature
    *_BLIP_VISION,
    (r"ln_vision\.(\w+)", r"vision_model.post_layernorm.\1"),
    (r"Qformer\.bert\.embeddings\.LayerNorm\.(\w+)", r"qformer.layernorm.\1"),
    (r"Qformer\.bert\.embeddings\.(word|position)_embeddings\.weight", r"embeddings.\1_embeddings.weight"),
    (
        r"Qformer\.bert\.encoder\.layer\.(\d+)\.(attention|crossattention)\.self\.(.+)",
        r"qformer.encoder.layer.\1.\2.attention.\3",
    ),
    (r"Qformer\.bert\.encoder\.layer\.(.+)", r"qformer.encoder.layer.\1"),
    (r"query_tokens", "query_tokens"),
    (r"(vision|text)_proj\.(\w+)", r"\1_projection.\2"),
    (r"itm_head\.(\w+)", r"itm_head.\1"),
]

# LanguageBind Video -> LanguageBindVideo.
LANGUAGEBIND = [
    (
        r"vision_model\.encoder\.layers\.(\d+)\.(temporal_(?:embedding|attn\..+|layer_norm1\..+))",
        r"temporal.\1.\2",
    ),
    (r"(?:vision|text)_model\.embeddings\.position_ids", None),
    (r"((?:vision_model|text_model)\..+|(?:visual|text)_projection\.weight|logit_scale)", r"clip.\1"),
]

# The latent attention of MM-Embed -> LatentAttention.
LATENT_ATTENTION = below(
    "latent_attention_model.",
    [
        (r"latents", "latents"),
        (r"cross_attend_blocks\.0\.fn\.(to_q|to_kv|to_out)\.weight", r"\1.weight"),
        (r"cross_attend_blocks\.0\.norm\.(\w+)", r"norm_q.\1"),
        (r"cross_attend_blocks\.0\.norm_context\.(\w+)", r"norm_ctx.\1"),
        (r"cross_attend_blocks\.1\.norm\.(\w+)", r"norm_ff.\1"),
        (r"cross_attend_blocks\.1\.fn\.net\.0\.(\w+)", r"ff1.\1"),
        (r"cross_attend_blocks\.1\.fn\.net\.2\.(\w+)", r"ff2.\1"),
    ],
    "",
)


def rename(state: dict[str, torch.Tensor], table: Table) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Rename weights by the first row that matches each; also return the names that no row matches.

    >>> rename({"text_proj.bias": 1, "temp": 2, "extra": 3}, LAVIS)
    ({'text_projection.bias': 1}, ['extra'])
    """
    renamed, unknown = {}, []
    for name, value in state.items():
        matches = ((match, new) for pattern, new in table if (match := re.fullmatch(pattern, name)))
        match, new = next(matches, (None, None))
        if match is None:
            unknown.append(name)
        elif new is not None:
            new = match.expand(new)
            if "{qkv}" in new:
                renamed |= {new.replace("{qkv}", letter): part for letter, part in zip("qkv", value.chunk(3))}
            else:
                renamed[new.removesuffix("{T}")] = value.T if new.endswith("{T}") else value
    return renamed, unknown
