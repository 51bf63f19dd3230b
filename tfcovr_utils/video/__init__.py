"""Read, write, cut and preview clips: the only room that knows a video decoder or encoder.

`decoding` reads a clip and `frames` many; `encoding` writes and `cutting` cuts whole benchmarks; `inspection`
says what a file holds, `container` opens it, `stills` reads a clip of one frame, `request` checks what is
asked; `listing` finds videos in folders, `hashes` hashes them. No audio, no network, no labels, no models.
"""

from .decoding import read_clip
from .encoding import cut_clip, preview, write_clip
from .inspection import probe
from .request import VideoError, sample_indices
from .stills import is_picture

__all__ = ["VideoError", "cut_clip", "is_picture", "preview", "probe", "read_clip", "sample_indices"]
__all__ += ["write_clip"]
