import importlib.util
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def scripted():
    """Scripted models, server and retriever: the module tests/support/scripted.py."""
    path = Path(__file__).parents[1] / "support" / "scripted.py"
    if "scripted" not in sys.modules:
        spec = importlib.util.spec_from_file_location("scripted", path)
        sys.modules["scripted"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["scripted"])
    return sys.modules["scripted"]
