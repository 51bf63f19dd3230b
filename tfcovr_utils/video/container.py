"""Open a video file and walk over its packets and frames, with PyAV."""

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from .request import check_file, clip_error

CONTAINERS = "mov,mp4,matroska,webm,avi,gif,mpegts,mpeg,flv,asf,ogg"  # no playlists, subtitles, still images
MAX_FRAME_PIXELS = 2**25  # 8K video; a damaged header must not claim all memory
SEEK_GAP_S = 5.0  # below this, decoding on is cheaper than seeking
SEEK_MARGIN_S = 1.0  # seek this much early: pictures that lead an open group need the group before


@contextmanager
def open_video(path, deadline: float = math.inf) -> Iterator["Video"]:
    """Yield a file as a Video; what libav raises, in the body too, becomes a VideoError."""
    check_file(path)
    limits = {"max_pixels": str(MAX_FRAME_PIXELS)}
    options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file", **limits}
    try:
        container = av.open(f"file:{os.fspath(path)}", options=options, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as error:
        is_other_kind = isinstance(error, av.error.ArgumentError)  # how libav says: not in format_whitelist
        cause = "it is of another kind" if is_other_kind else _cause(error)
        problem = f"cannot be opened as a video ({cause}); fetch it again or convert it to mp4"
        raise clip_error(path, problem) from None
    with container:
        stream = container.streams.best("video")
        if stream is None or stream.disposition & av.stream.Disposition.attached_pic:
            raise clip_error(path, "has no video stream, only sound or data; drop it")
        if stream.codec_context is None:
            raise clip_error(path, "is of an unknown codec; convert it to H.264 mp4")
        check_frame_size(path, stream.width, stream.height)
        stream.codec_context.thread_count = 1  # parallelism is a clip for each worker, not threads in a clip
        stream.codec_context.options = limits
        try:
            yield Video(path, container, stream, deadline)
        except av.error.FFmpegError as error:
            raise clip_error(path, f"is damaged ({_cause(error)}); fetch it again") from None


def check_frame_size(path, width: int, height: int) -> None:
    """Refuse a size that no clip has, before memory is allocated for it."""
    if not 0 < width * height <= MAX_FRAME_PIXELS:
        expected = f"expected 1 to {MAX_FRAME_PIXELS} pixels, so fetch it again"
        raise clip_error(path, f"has no believable frame size ({width}x{height}); {expected}")


def _cause(error) -> str:
    return getattr(error, "strerror", None) or str(error)


class Video:
    """An open video file, read until `deadline`, a time of the monotonic clock."""

    def __init__(self, path, container, stream, deadline: float):
        self.path, self.container, self.stream, self.deadline = path, container, stream, deadline
        self.start_pts = stream.start_time or 0
        self.declared_s = (container.duration or 0) / av.time_base
        self.rate = stream.average_rate or stream.guessed_rate
        self._reformatter = VideoReformatter()

    def packets(self) -> Iterator[av.Packet]:
        """Yield the stream's packets from where the container is."""
        try:
            for packet in self.container.demux(self.stream):
                if time.monotonic() > self.deadline:
                    problem = "was not read in time; raise timeout_s or cut it into shorter clips"
                    raise clip_error(self.path, problem)
                yield packet
        except IndexError:  # from PyAV itself, where a damaged file grows another stream midway
            raise clip_error(self.path, "is damaged (its streams change); fetch it again") from None

    def frames(self) -> Iterator[av.VideoFrame]:
        """Decode from where the container is."""
        for packet in self.packets():
            yield from packet.decode()

    def frames_from(self, start_s: float) -> Iterator[av.VideoFrame]:
        """Decode from a frame shown at or before `start_s` on, going further back if no keyframe is near."""
        step_s = SEEK_MARGIN_S
        while start_s > SEEK_GAP_S and step_s < start_s:
            self.seek(start_s - step_s)
            frames = self.frames()
            first = next(frames, None)
            if first is not None and first.pts is not None and self.shown_s(first) <= start_s:
                yield first
                yield from frames
                return
            step_s *= 8
        if step_s > SEEK_MARGIN_S:
            self.seek(-SEEK_MARGIN_S)
        yield from self.frames()

    def seek(self, seconds: float) -> None:
        """Go to the keyframe before a time after the start of the video."""
        self.container.seek(self.start_pts + round(seconds / self.stream.time_base), stream=self.stream)

    def shown_s(self, frame) -> float:
        """When a frame is shown, in seconds from the start of the video."""
        return float((frame.pts - self.start_pts) * self.stream.time_base)

    def upright(self, frame) -> np.ndarray:
        """Convert to (H, W, 3) uint8 RGB, turned as the metadata asks, as players and decord do."""
        # swscale's own threads cost more than they give.
        rgb = self._reformatter.reformat(frame, format="rgb24", threads=1)
        return np.rot90(rgb.to_ndarray(), quarter_turns(frame))


def quarter_turns(frame) -> int:
    """How many quarter turns the metadata asks for."""
    return round(frame.rotation / 90) % 4
