"""Token stores of tests do not belong into the user's cache."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def store_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("store")
        patch.setenv("MTRAY_STORE", str(folder))
        yield folder
