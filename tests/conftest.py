import os
from pathlib import Path

import pytest

# before any test imports a hub client: nothing in the tests may wait for a network
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(scope="session")
def data():
    """The folder of the public data sets; without it the test is skipped."""
    folder = os.environ.get("LRAT_SIM_DATA")
    if not folder:
        pytest.skip("LRAT_SIM_DATA does not name the folder of the public data sets")
    if not Path(folder).is_dir():
        pytest.fail(f"LRAT_SIM_DATA names {folder}, which is no folder")
    return Path(folder)
