"""Command line: render the benchmark, or check a rendering."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from ..profiles import get_profile
from .build import benchmark_dir, build, check


def main(given: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tfcovr_utils.rendering", description=__doc__)
    parser.add_argument("--profile", default="mini", help="smoke, mini or sim")
    parser.add_argument(
        "--out", type=Path, help="folder to write; default: one under data/ named by profile and content"
    )
    parser.add_argument("--seed", type=int, default=0, help="the rendering's seed")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--check", action="store_true", help="render nothing; compare the files with the manifest"
    )
    arguments = parser.parse_args(given)
    try:
        profile = replace(get_profile(arguments.profile), render_seed=arguments.seed)
        if arguments.check:
            found = check(arguments.out or benchmark_dir(profile))
            for fault, clip_ids in found.items():
                print(f"{fault}: {len(clip_ids)}", *clip_ids[:10])
            return int(any(found.values()))
        print(build(profile, arguments.out, arguments.workers))
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
