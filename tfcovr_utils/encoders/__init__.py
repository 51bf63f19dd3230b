"""Encoders turn decoded frames and texts into vectors; this room knows profiles, machine and video, and trains nothing.

`ENCODERS` in base.py is the registry, `Encoder` there is what each of them offers. One file an encoder: clip, aim (its network in
aim_model), blip, blip2, languagebind, captioner, siglip2; mllm is the base of qwen_vl (GME, Qwen3-VL-Embedding), e5v and mm_embed.
What the authors of a model published is read by clip_openai, blip_files and blip2_files with hub (folders and hub ids), loading
(checkpoint files), key_maps (old name of a weight -> new name) and catalogue (sizes, licences). tokens and positions serve several.
"""

from .base import ENCODERS, Encoder, load_encoder

__all__ = ["ENCODERS", "Encoder", "load_encoder"]
