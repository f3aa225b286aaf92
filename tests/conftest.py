from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)  # one worker a core: threads inside a worker would fight over them


@pytest.fixture(scope="session")
def golden() -> Path:
    """The recorded numbers that are kept with the tests."""
    return Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder beside the checkout with what is too large for it."""
    path = Path(__file__).parents[2] / "shared"
    if not path.is_dir():
        pytest.skip("../shared is not here: it holds recordings too large for the repository")
    return path
