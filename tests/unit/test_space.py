"""Search spaces from YAML, and that no suggestion of a loaded space is refused later."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from mtray.errors import ConfigError
from mtray.schema import Recipe
from mtray.search_space.parameters import Choices, FloatRange, IntRange
from mtray.search_space.space import REQUIRED, Space, load_space

SMALL = """
parallel_size: {type: int, low: 256, high: 8192, log: true}
mono_ratio: {type: float, low: 0.0, high: 2.0, step: 0.5}
frozen_layers: {type: categorical, choices: [0, 2, 4]}
learning_rate: 0.002
"""


def put(folder, text):
    path = folder / "space.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_space_becomes_distributions(tmp_path):
    space = load_space(put(tmp_path, SMALL), {"learning_rate": 0.1, "replay_fraction": 0.25})
    assert space.distributions() == {
        "parallel_size": IntDistribution(256, 8192, log=True),
        "mono_ratio": FloatDistribution(0.0, 2.0, step=0.5),
        "frozen_layers": CategoricalDistribution((0, 2, 4)),
    }
    # the file's value goes before the study's default
    assert space.fixed == {"learning_rate": 0.002, "replay_fraction": 0.25}
    found = space.recipe({"parallel_size": 300, "mono_ratio": 0.5, "frozen_layers": 2})
    assert found == Recipe(
        parallel_size=300, mono_ratio=0.5, frozen_layers=2, learning_rate=0.002,
        replay_fraction=0.25,
    )  # fmt: skip


def test_the_largest_value(tmp_path):
    space = load_space(put(tmp_path, SMALL))
    found = [space.largest(n) for n in ("parallel_size", "frozen_layers", "learning_rate")]
    assert found == [8192, 4, 0.002]
    assert space.largest("replay_fraction") is None


def test_the_parameters_of_a_recipe(tmp_path):
    """One that is off may have no value, or one beyond its range: the search still needs one."""
    lines = """
method: {type: categorical, choices: [full, lora]}
lora_rank: {type: int, low: 32, high: 64, when: {method: {among: [lora]}}}
lora_alpha: {type: float, low: 16, high: 64, log: true, when: {method: {among: [lora]}}}
"""
    space = load_space(put(tmp_path, f"parallel_size: 64\nlearning_rate: 0.001\n{lines}"))
    full = space.recipe({"method": "full", "lora_rank": 40, "lora_alpha": 20.0})
    assert (full.lora_rank, full.lora_alpha) == (16, None)
    assert space.params(full) == {"method": "full", "lora_rank": 32, "lora_alpha": 16.0}
    params = {"method": "lora", "lora_rank": 40, "lora_alpha": 20.0}
    lora = space.recipe(params)
    assert space.params(lora) == params and lora.lora_scale == 0.5


WRONG = [
    ("alpha: 0.5", "the parameter 'alpha' is now called reversion_alpha"),
    (
        "mono_ratio: {type: float, low: 0, high: 1, when: {alpha: {above: 0.5}}}",
        "mono_ratio.when.alpha: the parameter 'alpha' is now called reversion_alpha",
    ),
    (
        "mono_ration: {type: float, low: 0, high: 1}",
        "unknown parameter 'mono_ration'; allowed: parallel_size, mono_ratio",
    ),
    ("mono_ratio: {type: float, low: 2, high: 1}", "mono_ratio.*: low 2.0 is above high 1.0"),
    (
        "mono_ratio: {type: float, low: 0, high: 1, log: true}",
        "a log scale needs low above 0, found 0",
    ),
    (
        "mono_ratio: {type: float, low: 0.1, high: 1, log: true, step: 0.1}",
        "a log scale takes no step",
    ),
    (
        "frozen_layers: {type: int, low: 1, high: 8, log: true, step: 2}",
        "a log scale takes no step",
    ),
    (
        "mono_ratio: {type: float, low: 0, hihg: 1}",
        "unknown key mono_ratio.hihg; allowed here: when, guess, low, high",
    ),
    ("mono_ratio: {type: float, low: 0}", "key mono_ratio.high is missing"),
    ("mono_ratio: {type: float, low: zero, high: 1}", "mono_ratio.low: .*found 'zero'"),
    ("mono_ratio: {type: float, low: 0, high: .inf}", "mono_ratio.high: .*finite"),
    ("mono_ratio: {type: float, low: .nan, high: 1}", "mono_ratio.low: .*finite"),
    ("frozen_layers: {type: int, low: 0, high: 2.5}", "frozen_layers.high: .*found 2.5"),
    ("frozen_layers: {type: int, low: 0, high: 2, step: 0}", "frozen_layers.step"),
    ("frozen_layers: {type: categorical, choices: []}", "frozen_layers.choices"),
    ("frozen_layers: {type: categorical, choices: [a]}", "frozen_layers: Input should be a valid"),
    (
        "mono_ratio: {type: real, low: 0, high: 1}",
        "mono_ratio.type: expected one of float, int, categorical, share, found 'real'",
    ),
    ("mono_ratio: {low: 0, high: 1}", "mono_ratio.type: expected one of float"),
    (
        "mono_ratio: [0, 1]",
        r"mono_ratio: expected a value or a mapping with `type`, found \[0, 1\]",
    ),
    ("mono_ratio: true", "mono_ratio: expected a value or a mapping with `type`, found True"),
    ("mono_ratio: null", "mono_ratio: expected a value or a mapping"),
    (
        "mono_ratio: {type: float, low: -1, high: 1}",
        "mono_ratio: .*greater than or equal to 0, found -1",
    ),
    ("replay_fraction: {type: float, low: 0, high: 1}", "replay_fraction: .*less than 1, found 1"),
    ("frozen_layers: {type: categorical, choices: [0, 1.5]}", "frozen_layers: .*found 1.5"),
    ("mono_ratio: {type: int, low: 0, high: 1}\nmono_ratio: 1", "key 'mono_ratio' occurs twice"),
]


@pytest.mark.parametrize("line, message", WRONG)
def test_mistakes_name_file_and_key(tmp_path, line, message):
    with pytest.raises(ConfigError, match=rf"space\.yaml.*{message}"):
        load_space(put(tmp_path, f"parallel_size: 64\nlearning_rate: 0.001\n{line}\n"))


@pytest.mark.parametrize("value", ["-1", "0", ".inf"])
def test_a_fixed_value_that_no_recipe_takes_is_named(tmp_path, value):
    text = f"parallel_size: {{type: int, low: 1, high: 2}}\nlearning_rate: {value}\n"
    with pytest.raises(
        ConfigError, match=rf"space\.yaml: learning_rate: .*, found {value.strip('.')}"
    ):
        load_space(put(tmp_path, text))


def test_defaults_of_the_study_that_no_recipe_takes_are_named(tmp_path):
    path = put(tmp_path, SMALL)
    with pytest.raises(ConfigError, match="defaults: unknown parameter 'replay'; allowed: par"):
        load_space(path, {"replay": 0.1})
    with pytest.raises(ConfigError, match=r"defaults: .*'alpha' is now called reversion_alpha"):
        load_space(path, {"alpha": 0.5})
    with pytest.raises(ConfigError, match=r"replay_fraction: .*found 1.5"):
        load_space(path, {"replay_fraction": 1.5})


@pytest.mark.parametrize("name", REQUIRED)
def test_what_every_recipe_needs_is_searched_or_fixed(tmp_path, name):
    """By the space or the study's defaults; no default of ours stands in for it."""
    lines = [f"{other}: {example}\n" for other, example in REQUIRED.items() if other != name]
    others = "mono_ratio: {type: float, low: 0, high: 1}\n" + "".join(lines)
    with pytest.raises(
        ConfigError, match=rf"space\.yaml: {name} is neither searched nor fixed; .*`{name}: {{type"
    ):
        load_space(put(tmp_path, others))
    value = {"parallel_size": 9, "learning_rate": 0.25}[name]
    assert load_space(put(tmp_path, others), {name: value}).fixed[name] == value
    assert load_space(put(tmp_path, f"{others}{name}: {value}\n")).fixed[name] == value
    assert name in load_space(put(tmp_path, f"{others}{name}: {REQUIRED[name]}\n")).parameters


def test_a_space_searches_something(tmp_path):
    with pytest.raises(ConfigError, match="every parameter is fixed"):
        load_space(put(tmp_path, "parallel_size: 64\nlearning_rate: 0.001\n"))
    with pytest.raises(ConfigError, match="expected keys and values"):
        load_space(put(tmp_path, ""))
    with pytest.raises(ConfigError, match=r"space\.yaml:1: .*constructor"):
        load_space(put(tmp_path, "parallel_size: !!python/object/apply:os.getpid []\n"))


bound = st.floats(-1e6, 1e6)


@settings(max_examples=80, deadline=None)
@given(bound, bound, st.booleans(), st.none() | st.floats(1e-3, 10))
def test_a_float_range_is_one_that_optuna_takes_or_an_error(low, high, log, step):
    spec = {"type": "float", "low": low, "high": high, "log": log, "step": step}
    if low > high or (log and (low <= 0 or step is not None)):
        with pytest.raises(ValueError):
            FloatRange.model_validate(spec)
    elif step is None:
        space = Space(parameters={"mono_ratio": FloatRange.model_validate(spec)})
        assert space.distributions()["mono_ratio"] == FloatDistribution(low, high, log=log)
        assert math.isfinite(space.largest("mono_ratio"))


def test_types():
    assert IntRange(type="int", low=1, high=1).step == 1
    assert Choices(type="categorical", choices=(0, 0.5)).choices == (0, 0.5)


CONDITIONAL = """
parallel_size: 100
learning_rate: 0.01
mono_ratio: {type: float, low: 0.0, high: 2.0}
replay_fraction: {type: float, low: 0.1, high: 0.3, when: {mono_ratio: {above: 0.5}}}
frozen_layers: {type: int, low: 1, high: 4, when: {replay_fraction: {above: 0, below: 0.2}}}
"""


def test_what_is_off_by_its_condition_has_the_default(tmp_path):
    space = load_space(put(tmp_path, CONDITIONAL))
    given = {"mono_ratio": 1.0, "replay_fraction": 0.15, "frozen_layers": 3}
    fixed = {"parallel_size": 100, "learning_rate": 0.01}
    assert space.recipe(given) == Recipe(**fixed, **given)
    assert space.recipe({**given, "mono_ratio": 0.5}) == Recipe(**fixed, mono_ratio=0.5)
    half = space.recipe({**given, "replay_fraction": 0.25})
    assert half == Recipe(**fixed, mono_ratio=1.0, replay_fraction=0.25)
    order = space.in_order()
    assert order.index("mono_ratio") < order.index("replay_fraction") < order.index("frozen_layers")


@pytest.mark.parametrize(
    "line, message",
    [
        ("mono_ratio: {above: 2}", "never holds for mono_ratio 0 to 2"),
        ("mono_ratio: {below: 3}", "always holds for mono_ratio 0 to 2"),
        ("mono_ratio: {}", "a condition needs one of above, below, among"),
        ("mono: {above: 1}", "when.mono: not another parameter; allowed: parallel_size"),
        ("frozen_layers: {above: 1}", "not another parameter"),
        ("learning_rate: {above: 1}", "learning_rate is fixed at 0.001; drop the condition"),
        ("mono_ratio: {more: 1}", "unknown key"),
    ],
)
def test_conditions_that_make_no_sense_are_named(tmp_path, line, message):
    text = (
        "parallel_size: 100\nlearning_rate: 0.001\nmono_ratio: {type: float, low: 0, high: 2}\n"
        f"frozen_layers: {{type: int, low: 0, high: 4, when: {{{line}}}}}\n"
    )
    with pytest.raises(ConfigError, match=message):
        load_space(put(tmp_path, text))


@pytest.mark.parametrize(
    "line",
    [
        "mono_ratio: {above: 0.5, below: 1}",  # neither end of the range is within
        "lora_rank: {above: 5, below: 15}",  # and off, it is 16
        "lora_rank: {above: 15}",
    ],
)
def test_conditions_that_can_hold_and_fail_are_taken(tmp_path, line):
    text = (
        "parallel_size: 100\nlearning_rate: 0.001\nmono_ratio: {type: float, low: 0, high: 2}\n"
        "lora_rank: {type: int, low: 2, high: 9, when: {mono_ratio: {above: 1}}}\n"
        f"frozen_layers: {{type: int, low: 0, high: 4, when: {{{line}}}}}\n"
    )
    assert load_space(put(tmp_path, text)).parameters["frozen_layers"].when


def test_conditions_in_a_circle(tmp_path):
    text = """
    parallel_size: 100
    learning_rate: 0.001
    mono_ratio: {type: float, low: 0, high: 2, when: {replay_fraction: {above: 0.1}}}
    replay_fraction: {type: float, low: 0, high: 0.3, when: {mono_ratio: {above: 1}}}
    """
    with pytest.raises(ConfigError, match=r"conditions are circular: .*mono_ratio"):
        load_space(put(tmp_path, text))


@pytest.mark.parametrize("name", REQUIRED)
def test_what_is_always_there_cannot_be_switched_off(tmp_path, name):
    lines = {n: f"{n}: {example}\n" for n, example in REQUIRED.items()}
    lines[name] = lines[name].replace("}", ", when: {mono_ratio: {above: 1}}}")
    text = "mono_ratio: {type: float, low: 0, high: 2}\n" + "".join(lines.values())
    with pytest.raises(ConfigError, match=f"{name} cannot be switched off"):
        load_space(put(tmp_path, text))


WORDS = """
parallel_size: {type: int, low: 10, high: 20}
learning_rate: 0.001
method: {type: categorical, choices: [full, lora]}
lora_rank: {type: int, low: 4, high: 64, log: true, when: {method: {among: [lora]}}}
freeze_policy: top
"""


def test_words_and_what_hangs_on_them(tmp_path):
    (tmp_path / "space.yaml").write_text(WORDS)
    space = load_space(tmp_path / "space.yaml", {"frozen_layers": 2})
    assert space.distributions()["method"].choices == ("full", "lora")
    assert space.parameters["method"].text() == "one of full, lora"
    assert space.fixed == {"learning_rate": 0.001, "freeze_policy": "top", "frozen_layers": 2}
    assert space.values("method") == ("full", "lora") and space.largest("method") == "full"
    given = {"parallel_size": 10, "lora_rank": 8}
    assert space.recipe({**given, "method": "lora"}).lora_rank == 8
    off = space.recipe({**given, "method": "full"})
    assert off.lora_rank == Recipe.model_fields["lora_rank"].default
    assert off.freeze_policy == "top" and off.frozen_layers == 2


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("[full, lora]", "[full, lora, lorra]", "method: Input should be 'full', 'lora' or"),
        ("among: [lora]", "among: [lorra]", "never holds for method one of full, lora"),
        ("among: [lora]", "above: 3", "never holds for method"),
        ("y: top", "y: middle", "freeze_policy: Input should be 'bottom', 'top'"),
    ],
)
def test_mistakes_in_words(tmp_path, old, new, message):
    (tmp_path / "space.yaml").write_text(WORDS.replace(old, new))
    with pytest.raises(ConfigError, match=rf"space\.yaml: .*{message}"):
        load_space(tmp_path / "space.yaml")
