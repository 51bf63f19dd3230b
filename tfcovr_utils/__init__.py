"""Composed video retrieval from notebooks: give a clip and an instruction, find the clips that satisfy both.

`open_study` is the front door; the folders are rooms, and each may import only from those before it:
profiles, machine, video, labels, sources, texts, benchmark, metrics, rendering, encoders, embedding,
training, methods, evaluation, plots, study, explorer, reproduce, cli.
"""

__all__ = ["Study", "open_study"]


def __getattr__(name: str):
    """Import the front door when it is asked for, so that the command line starts at once."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import study

    return getattr(study, name)
