"""What is freed is kept: importing the package must be enough."""
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import numpy as np
{first}
np.ones(2**25)  # 256 MiB
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    np.ones(2**25)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(first):
    return int(subprocess.run([sys.executable, "-c", FAULTS.format(first=first)], capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="the setting is glibc's")
def test_freed_blocks_are_used_again():
    assert 4 * faults("import tfcovr_utils") < faults("")
