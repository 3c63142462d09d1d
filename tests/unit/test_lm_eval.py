"""Tasks of the LM evaluation harness, defined here; skipped where it is not installed."""

import importlib.util
import json
import pickle
import subprocess
import sys
import textwrap

import pytest
from ability_factory import TOOLS
from tiny_models import byte_level, llama, metaspace

from mtray.data.stratified_sample import sample_indices
from mtray.errors import ConfigError, DataError, EvaluationError
from mtray.evaluation.abilities import build_ability
from mtray.evaluation.abilities.base import Context
from mtray.evaluation.abilities.lm_eval_tasks import TaskSpec, documents, filters, judged, loaded
from mtray.evaluation.inference.engine import run_requests
from mtray.evaluation.inference.requests import Output, Request
from mtray.schema import AbilitySpec

needs_harness = pytest.mark.skipif(
    importlib.util.find_spec("lm_eval") is None,
    reason='lm-eval is not installed: pip install "mtray[lm-eval]"',
)
QUESTIONS = [
    {"q": f"what is {i}", "choices": ["salt", "water", "a long one"], "label": i % 3}
    for i in range(12)
]
CHOICE = """
    task: {name}
    dataset_path: json
    dataset_kwargs: {{data_files: {{test: "{data}", train: "{data}"}}}}
    output_type: multiple_choice
    test_split: test
    fewshot_split: train
    doc_to_text: "Question: {{{{q}}}}\\nAnswer:"
    doc_to_choice: "{{{{choices}}}}"
    doc_to_target: label
    target_delimiter: "{delimiter}"
    metric_list:
      - {{metric: acc, aggregation: mean, higher_is_better: true}}
      - {{metric: acc_norm, aggregation: mean, higher_is_better: true}}
"""
GENERATED = """
    task: {name}
    dataset_path: json
    dataset_kwargs: {{data_files: {{test: "{data}"}}}}
    output_type: generate_until
    test_split: test
    doc_to_text: "Question: {{{{q}}}}\\nAnswer:"
    doc_to_target: "{{{{choices[label]}}}}"
    generation_kwargs: {{until: {until}, max_gen_toks: 7, do_sample: false}}
    metric_list:
      - {{metric: exact_match, aggregation: mean, higher_is_better: true}}
    filter_list:
      - name: plain
        filter: [{{function: take_first}}]
      - name: lower
        filter: [{{function: lowercase}}, {{function: take_first}}]
"""
GROUP = """
    group: mtray_both
    task: [mtray_choice, mtray_again]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of definitions with their data."""
    path = tmp_path_factory.mktemp("tasks")
    data = path / "questions.jsonl"
    data.write_text("\n".join(json.dumps(q) for q in QUESTIONS))
    tasks = {
        "mtray_choice": CHOICE.format(name="mtray_choice", data=data, delimiter=" "),
        "mtray_again": CHOICE.format(name="mtray_again", data=data, delimiter=" "),
        "mtray_glued": CHOICE.format(name="mtray_glued", data=data, delimiter=""),
        "mtray_lost": CHOICE.format(name="mtray_lost", data=path / "none.jsonl", delimiter=" "),
        "mtray_line": GENERATED.format(name="mtray_line", data=data, until='["\\n"]'),
        "mtray_text": GENERATED.format(name="mtray_text", data=data, until='["Question:"]'),
        "mtray_both": GROUP,
    }
    for name, text in tasks.items():
        (path / f"{name}.yaml").write_text(textwrap.dedent(text))
    return path


def build(folder, task="mtray_choice", size=100, **options):
    spec = AbilitySpec(measure="lm_eval", path=str(folder), task=task, size=size, **options)
    return build_ability(spec, Context("english", "labels", 16, byte_level()))


def answers(ability, right):
    """The right choice is the likeliest in the documents of `right`, the next one elsewhere."""
    found = []
    for i, request in enumerate(ability.requests):
        label = i // 3 % 3 if i // 3 in right else (i // 3 + 1) % 3
        found.append(Output(str(request.target), -1.0 if i % 3 == label else -9.0, 1))
    return found


@needs_harness
def test_multiple_choice_by_hand(folder):
    ability = build(folder)
    assert len(ability.requests) == 36
    assert ability.requests[4] == Request("Question: what is 1\nAnswer:", "water", 1)
    assert ability.floor == pytest.approx(1 / 3)
    assert ability.measure(answers(ability, range(9)), TOOLS).point == 0.75
    assert ability.measure(answers(ability, range(9)), TOOLS).n == 12
    # by length: ten characters of `a long one`
    equal = [Output(str(r.target), -8.0, 1) for r in ability.requests]
    extras = ability.extras(equal, TOOLS)
    assert list(extras) == ["acc_norm"] and extras["acc_norm"].point == pytest.approx(1 / 3)
    with pytest.raises(EvaluationError, match="36 requests but 1 outputs"):
        ability.measure(equal[:1], TOOLS)
    assert pickle.loads(pickle.dumps(ability)) == ability


@needs_harness
def test_filters_are_those_of_the_harness(folder):
    """What its private lists hold, and what they make of answers."""
    for task, names in [("mtray_choice", ["none"]), ("mtray_line", ["plain", "lower"])]:
        (found,) = loaded(TaskSpec(task, str(folder), 3, None))
        assert filters(found) == [f.name for f in found._filters] == names
        chosen = documents([found])
        outputs = [Output("Salt And", -1.0, 1) for _, same in chosen for _ in same]
        judged(chosen, outputs, names[0])
        ours = [dict(i.filtered_resps) for i in found.instances]
        for instance in found.instances:
            instance.filtered_resps = {}
        found.apply_filters()
        assert ours == [dict(i.filtered_resps) for i in found.instances] and len(ours[0]) > 0


@needs_harness
def test_size_metric_shots_and_floor(folder):
    ability = build(folder, size=5, metric="acc_norm", shots=2, floor=0.5)
    assert ability.floor == 0.5 and len(ability.requests) == 15
    assert ability.requests[0].prompt.count("Question:") == 3
    assert ability.measure(answers(ability, range(5)), TOOLS).signature.startswith(
        "acc_norm|lm-eval"
    )
    assert build(folder, size=5, metric="acc_norm", shots=2, floor=0.5) == ability


@needs_harness
def test_a_sample_of_every_task(folder):
    """Of ten of twelve documents; scored as they are asked."""
    places = sample_indices(12, 5)
    ability = build(folder, "mtray_both", size=5)
    asked = [int(r.prompt.split()[3]) for r in ability.requests[::3]]
    assert asked == places * 2 and asked[:5] != list(range(5))
    outputs = [
        Output(str(r.target), -1.0 if i % 3 == asked[i // 3] % 3 else -9.0, 1)
        for i, r in enumerate(ability.requests)
    ]
    assert ability.measure(outputs, TOOLS).point == 1.0
    assert build(folder, "mtray_both", size=5, take="first").requests[0].prompt[18:19] == "0"


@needs_harness
def test_a_part(folder):
    ability = build(folder)
    part = ability.part(0.5)
    assert part.kept == (0, 1, 3, 4, 6, 7, 9, 10) and len(part.requests) == 24
    assert part.requests[6:9] == ability.requests[9:12]
    whole = answers(ability, [0, 1, 2, 3])
    some = [o for i in part.kept for o in whole[3 * i : 3 * i + 3]]
    assert part.measure(some, TOOLS).point == 3 / 8
    # the whole is scored as before
    assert ability.measure(whole, TOOLS).point == pytest.approx(1 / 3)


@needs_harness
def test_a_group_is_all_its_tasks(folder):
    ability = build(folder, "mtray_both")
    assert len(ability.requests) == 72 and len(ability.kept) == 24
    assert ability.measure(answers(ability, range(12)), TOOLS).point == 0.5


@needs_harness
def test_generated_answers(folder):
    ability = build(folder, "mtray_line", size=3, take="first")
    asked = Request("Question: what is 0\nAnswer:", None, 7, may_begin_empty=True)
    assert ability.requests[0] == asked
    assert ability.floor == 0.0
    found = [Output(text, -1.0, 1) for text in ("salt", "Water", "a long")]
    assert ability.measure(found, TOOLS).point == pytest.approx(1 / 3)
    lower = build(folder, "mtray_line", size=3, take="first", filter="lower")
    assert lower.measure(found, TOOLS).point == pytest.approx(2 / 3)
    # an answer of several lines is cut where the task says
    text = build(folder, "mtray_text", size=1, take="first")
    assert not text.requests[0].one_line
    assert text.measure([Output("saltQuestion: what", -1.0, 1)], TOOLS).point == 1.0


@needs_harness
def test_as_the_harness_itself_scores(folder):
    """The same model through the harness's own class gives the same answers."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    # adds its begin token by itself, as the harness's class expects
    tokenizer = metaspace()
    model = llama(tokenizer)
    ability = build(folder)
    outputs = run_requests(model, tokenizer, ability.requests)
    theirs = simple_evaluate(
        HFLM(pretrained=model, tokenizer=tokenizer, device="cpu"),
        tasks=["mtray_choice"],
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
        bootstrap_iters=0,
        random_seed=None,
        numpy_random_seed=None,
        torch_random_seed=None,
    )
    samples = sorted(theirs["samples"]["mtray_choice"], key=lambda s: s["doc_id"])
    likelihoods = [float(r[0][0]) for s in samples for r in s["resps"]]
    assert [o.log_likelihood for o in outputs] == pytest.approx(likelihoods, abs=1e-3)
    value = ability.measure(outputs, TOOLS).point
    assert value == pytest.approx(theirs["results"]["mtray_choice"]["acc,none"])


@needs_harness
@pytest.mark.parametrize(
    ("task", "options", "error", "message"),
    [
        ("mtray_choise", {}, ConfigError, "unknown `task` 'mtray_choise'; near it: mtray_choice"),
        ("mtray_choice", {"metric": "f1"}, ConfigError, "found f1; allowed: acc, acc_norm"),
        ("mtray_choice", {"filter": "x"}, ConfigError, "unknown `filter` 'x'; allowed: none"),
        ("mtray_choice", {"limit": 5}, ConfigError, "does not know `limit`"),
        ("mtray_choice", {"shots": -1}, ConfigError, "`shots`"),
        ("mtray_glued", {}, ConfigError, "only what follows one space"),
        ("mtray_lost", {}, DataError, "task mtray_lost cannot be loaded"),
    ],
)
def test_wrong_options(folder, task, options, error, message):
    with pytest.raises(error, match=message):
        build(folder, task, **options)


def test_without_the_package():
    """In a process that cannot import it, the error says how to get it."""
    code = (
        "import sys; sys.modules['lm_eval'] = None\n"
        "from mtray.evaluation.abilities.lm_eval_tasks import TaskSpec, loaded\n"
        "from mtray.errors import ConfigError\n"
        "try: loaded(TaskSpec('hellaswag', '', 5, None))\n"
        "except ConfigError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert 'pip install "mtray[lm-eval]"' in done.stdout, done.stderr


def test_other_measures_need_a_path():
    with pytest.raises(ConfigError, match="measure choice needs `path`"):
        build_ability(AbilitySpec(measure="choice"), Context("x", "labels", 16, byte_level()))
