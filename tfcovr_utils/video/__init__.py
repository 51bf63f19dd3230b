"""Read, write, cut and preview clips: the only package that knows a decoder or an encoder of video.

`reading` and `writing` are what others use; `inspection` vouches for a file before it is read, `container` opens
it, `picture` reads what is one frame, `request` says in a sentence what is wrong. No audio, no network, nothing kept on disk.
"""

from .decoding import read_clip
from .inspection import ClipInfo, probe
from .picture import is_picture
from .request import VideoError, sample_indices
from .writing import cut_clip, preview, write_clip

__all__ = [
    "ClipInfo",
    "VideoError",
    "cut_clip",
    "is_picture",
    "preview",
    "probe",
    "read_clip",
    "sample_indices",
    "write_clip",
]
