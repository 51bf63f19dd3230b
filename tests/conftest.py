"""Fixtures that several test files share."""

import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="session")
def rendered(tmp_path_factory):
    """Frames of eight sources and their facts."""
    from tfcovr_utils.rendering import pretraining_pictures as pictures

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFCOVR_DATA", str(tmp_path_factory.mktemp("data")))
        frames, facts = pictures.render_pictures(8, workers=1, progress=False)
        again, _ = pictures.render_pictures(8, workers=1, progress=False)
        assert again.filename == frames.filename
    return frames, facts


@pytest.fixture(scope="session")
def held_out():
    """Frames of sources that nothing else is rendered from, and their facts."""
    from tfcovr_utils.rendering import pretraining_pictures as pictures

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "source_name", lambda source: f"held-out-{source:04d}")
        parts = [pictures._render_source(source, 0) for source in range(4)]
    facts = pd.concat([facts for _, facts in parts], ignore_index=True)
    assert set(facts.source_video) == {f"held-out-{source:04d}" for source in range(4)}
    return np.concatenate([frames for frames, _ in parts])[::2], facts[::2]
