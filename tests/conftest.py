"""Token stores of tests do not belong into the user's cache, and no call of Ray starts a cluster
unless a test asks for one."""

import os

import pytest

os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"  # before Ray is imported


@pytest.fixture(scope="session", autouse=True)
def store_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("store")
        patch.setenv("MTRAY_STORE", str(folder))
        yield folder
