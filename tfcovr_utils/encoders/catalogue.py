"""Weights that others published: their sizes and licences, printed before a download."""

from typing import NamedTuple


class Published(NamedTuple):
    """Parameters in millions, gigabytes of the owner's files, and the licence that the owner names."""

    parameters: int
    gigabytes: float
    licence: str


PUBLISHED = {
    "openai/clip-vit-base-patch16": Published(150, 0.6, "MIT"),
    "Salesforce/blip-itm-large-coco": Published(446, 1.8, "BSD-3-Clause"),
    "Salesforce/blip2-itm-vit-g-coco": Published(1173, 4.7, "BSD-3-Clause (LAVIS)"),
    "Salesforce/blip-image-captioning-large": Published(470, 1.9, "BSD-3-Clause"),
    "LanguageBind/LanguageBind_Video_FT": Published(529, 2.1, "MIT"),
    "Alibaba-NLP/gme-Qwen2-VL-2B-Instruct": Published(2209, 4.4, "Apache-2.0"),
    "royokong/e5-v": Published(
        8355, 16.7, "not named on the hub; its code is Apache-2.0, its Llama 3 has Meta's licence"
    ),
    "nvidia/MM-Embed": Published(8180, 16.4, "CC-BY-NC-4.0"),
    "Qwen/Qwen3-VL-Embedding-2B": Published(2127, 4.3, "Apache-2.0"),
    "Qwen/Qwen3-VL-Embedding-8B": Published(8145, 16.3, "Apache-2.0"),
    "google/siglip2-base-patch16-naflex": Published(375, 1.5, "Apache-2.0"),
    "google/siglip2-so400m-patch16-naflex": Published(1136, 4.5, "Apache-2.0"),
}


def describe_published(hub_id: str) -> str:
    """Describe published weights in one line.

    >>> describe_published("nvidia/MM-Embed")
    'nvidia/MM-Embed: 8180 million parameters, 16.4 GB, licence CC-BY-NC-4.0'
    """
    if hub_id not in PUBLISHED:
        return f"{hub_id}: size and licence are on its page on the hub"
    parameters, gigabytes, licence = PUBLISHED[hub_id]
    return f"{hub_id}: {parameters} million parameters, {gigabytes} GB, licence {licence}"
