"""The default space under a study that lacks sources of a kind."""

import pytest
import yaml

from mtray.errors import ConfigError
from mtray.search.strategy.largest_recipes import largest_recipes, most_requested
from mtray.sweep_command import DEFAULT_SPACE, arguments, load

PAIRS = {"name": "pairs", "kind": "parallel", "languages": ["en", "uk"], "path": "pairs.tsv"}
MORE = {
    "mono": {"name": "mono", "kind": "mono", "languages": ["en"], "path": "mono.txt"},
    "replay": {"name": "chat", "kind": "instruct", "path": "chat.jsonl"},
}
SIZES = {"mono": "mono_ratio", "replay": "replay_fraction"}


@pytest.fixture
def options(tmp_path):
    def made(*kinds):
        study = {
            "name": "x", "model": "embedded", "sources": [PAIRS, *(MORE[kind] for kind in kinds)],
            "evaluation": {
                "comet": "none",
                "quality": [{"direction": "en-uk", "path": "dev.tsv"}],
                "abilities": {"a": {"measure": "choice", "path": "a.jsonl"}},
            },
        }  # fmt: skip
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
        return ["--study", str(tmp_path / "study.yaml")]

    return made


@pytest.mark.parametrize("kinds", [(), ("mono",), ("replay",), ("mono", "replay")])
def test_the_default_space_asks_only_for_what_there_is(options, kinds):
    study, space = load(arguments(options(*kinds)))
    asked = {kind for kind, size in SIZES.items() if size in space.parameters}
    assert asked == {*kinds} and "parallel_size" in space.parameters
    most_requested(largest_recipes(space), study)


def test_a_space_that_is_named_is_taken_as_it_is(options, tmp_path):
    copy = tmp_path / "space.yaml"
    copy.write_text(DEFAULT_SPACE.read_text(encoding="utf-8"), encoding="utf-8")
    study, space = load(arguments([*options(), "--space", str(copy)]))
    assert "replay_fraction" in space.parameters
    with pytest.raises(ConfigError, match="no source of kind 'mono'"):
        most_requested(largest_recipes(space), study)
