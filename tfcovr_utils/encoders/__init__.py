"""Encoders turn decoded frames and texts into vectors. They train nothing and know no benchmark.

`ENCODERS` in base is the registry; `Encoder` there is what each of them offers. One file an encoder: clip,
aim (its network in aim_model), blip, blip2, languagebind, captioner, siglip2; mllm is the base of qwen_vl
(GME and Qwen3-VL-Embedding), e5v and mm_embed. Published weights: clip_openai and blip_files
read them with hub (folders, hub ids), loading (checkpoint files), key_maps (names of weights), catalogue
(sizes, licences).
"""

from .base import ENCODERS, Encoder, load_encoder

__all__ = ["ENCODERS", "Encoder", "load_encoder"]
