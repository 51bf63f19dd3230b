"""Open a video file and walk over its packets and frames, with PyAV."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import av
import numpy as np

from .request import VideoError, check_file, clip_name

CONTAINERS = "mov,mp4,matroska,webm,avi,gif,mpegts,mpeg,flv,asf,ogg"  # no playlists, subtitles, still images
MAX_FRAME_PIXELS = 2**25  # 8K video; a damaged header must not claim all memory
SEEK_GAP_S = 5.0  # below this, decoding on is cheaper than seeking
SEEK_MARGIN_S = 1.0  # seek this much early: pictures that lead an open group need the group before


@contextmanager
def open_video(path):
    """Yield (container, video stream) of a file; what libav raises, here or in the body, becomes a VideoError."""
    check_file(path)
    limits = {"max_pixels": str(MAX_FRAME_PIXELS)}
    options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file", **limits}
    try:
        container = av.open(f"file:{os.fspath(path)}", options=options, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as error:
        is_other_kind = isinstance(error, av.error.ArgumentError)  # how libav says: not in format_whitelist
        cause = "it is of another kind" if is_other_kind else _cause(error)
        raise VideoError(
            f"{clip_name(path)} cannot be opened as a video ({cause}); fetch it again or convert it to mp4",
            "not a video",
        ) from None
    with container:
        stream = container.streams.best("video")
        if stream is None or stream.disposition & av.stream.Disposition.attached_pic:
            raise VideoError(
                f"{clip_name(path)} has no video stream, only sound or data; drop it", "no video stream"
            )
        if stream.codec_context is None:
            raise VideoError(
                f"{clip_name(path)} is of an unknown codec; convert it to H.264 mp4", "not a video"
            )
        if not 0 < stream.width * stream.height <= MAX_FRAME_PIXELS:
            raise VideoError(
                f"{clip_name(path)} has no believable frame size ({stream.width}x{stream.height});"
                f" expected 1 to {MAX_FRAME_PIXELS} pixels, so fetch it again",
                "bad frame size",
            )
        stream.codec_context.thread_count = 1  # parallelism is a clip for each worker, not threads in a clip
        stream.codec_context.options = limits
        try:
            yield container, stream
        except av.error.FFmpegError as error:
            raise VideoError(
                f"{clip_name(path)} is damaged ({_cause(error)}); fetch it again", "damaged"
            ) from None


def _cause(error) -> str:
    return getattr(error, "strerror", None) or str(error)


def walk_packets(path, container, stream, deadline) -> Iterator[av.Packet]:
    try:
        for packet in container.demux(stream):
            if time.monotonic() > deadline:
                raise VideoError(
                    f"{clip_name(path)} was not read in time; raise timeout_s or cut it into shorter clips",
                    "timeout",
                )
            yield packet
    except IndexError:  # from PyAV itself, where a damaged file grows another stream midway
        raise VideoError(
            f"{clip_name(path)} is damaged (its streams change); fetch it again", "damaged"
        ) from None


def walk_frames(path, container, stream, deadline) -> Iterator[av.VideoFrame]:
    for packet in walk_packets(path, container, stream, deadline):
        yield from packet.decode()


def walk_frames_from(path, container, stream, start_s, deadline) -> Iterator[av.VideoFrame]:
    """Decode from a frame shown at or before `start_s` on, going further back where no keyframe is near."""
    step_s = SEEK_MARGIN_S
    while start_s > SEEK_GAP_S and step_s < start_s:
        container.seek((stream.start_time or 0) + round((start_s - step_s) / stream.time_base), stream=stream)
        frames = walk_frames(path, container, stream, deadline)
        first = next(frames, None)
        if first is not None and first.pts is not None and shown_s(first, stream) <= start_s:
            yield first
            yield from frames
            return
        step_s *= 8
    if step_s > SEEK_MARGIN_S:
        container.seek((stream.start_time or 0) - round(SEEK_MARGIN_S / stream.time_base), stream=stream)
    yield from walk_frames(path, container, stream, deadline)


def shown_s(frame, stream) -> float:
    return float((frame.pts - (stream.start_time or 0)) * stream.time_base)


def quarter_turns(frame) -> int:
    return round(frame.rotation / 90) % 4


def upright(frame, reformatter) -> np.ndarray:
    """(H, W, 3) uint8 RGB, turned by the quarter turns that the metadata asks for, as players and decord do."""
    rgb = reformatter.reformat(
        frame, format="rgb24", threads=1
    )  # swscale's own threads cost more than they give
    return np.rot90(rgb.to_ndarray(), quarter_turns(frame))
