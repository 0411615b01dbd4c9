"""A tiny model and its pairs; no network, and one thread."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def offline():
    """These models are too small to share among threads."""
    torch, _ = pytest.importorskip("torch"), pytest.importorskip("datasets")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        patch.setattr("datasets.config.HF_HUB_OFFLINE", True)
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(before)


@pytest.fixture(scope="session")
def toys(tmp_path_factory):
    """A folder with a model, `train.jsonl` and `test.jsonl`."""
    pytest.importorskip("trl")
    from helpers.toy_language import toy_folder

    return toy_folder(tmp_path_factory.mktemp("toys"))


@pytest.fixture(scope="session")
def mpo():
    """`mpo align` with some arguments."""
    from typer.testing import CliRunner

    from cli.app import app

    def run(*arguments):
        return CliRunner().invoke(app, ["align", *map(str, arguments)], catch_exceptions=False)

    return run
