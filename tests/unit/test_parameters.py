"""A parameter that has no meaning in a recipe is empty in every output, in a column of its own
type."""

import csv
import json
from io import BytesIO

import pyarrow.parquet as pq
import pytest
from records_factory import make_record, make_study
from rich.console import Console
from test_plots import Page

from mtray.report import held_out_results
from mtray.report.columnar_files import parquet_bytes
from mtray.report.export import FrontResult, export_front
from mtray.report.model_card import model_card
from mtray.report.parameters import parameters
from mtray.report.printing import stacked
from mtray.report.records import write_record
from mtray.report.tables import front_cells, front_sheet, show_front
from mtray.schema import Recipe
from mtray.search.execution.console import recipe_text

ADAPTERS = {"method": "lora", "lora_rank": 8, "lora_alpha": 12.0, "lora_dropout": 0.0}
FULL = dict.fromkeys(("lora_rank", "lora_alpha", "lora_dropout"))
# recipe -> the parameters that are other than given
CASES = {
    "the base model": (
        Recipe(parallel_size=0, frozen_layers=2),
        dict.fromkeys(Recipe.model_fields),
    ),
    "full": (Recipe(parallel_size=9, frozen_layers=2, freeze_policy="top", lora_rank=4), FULL),
    "nothing frozen": (
        Recipe(parallel_size=9, **ADAPTERS),
        {"freeze_policy": None, "freeze_embeddings": None},
    ),
    "both": (Recipe(parallel_size=9, freeze_policy="snr"), {**FULL, "freeze_policy": None}),
    "adapters": (
        Recipe(parallel_size=9, frozen_layers=1, reversion_alpha=0.5, **ADAPTERS),
        {"freeze_embeddings": None},
    ),
}


@pytest.mark.parametrize(("recipe", "empty"), CASES.values(), ids=list(CASES))
def test_what_has_no_meaning_is_none(recipe, empty):
    assert parameters(recipe) == recipe.model_dump() | empty


def rows_of_csv(result):
    with result.files["csv"].open() as file:
        return [{k: v or None for k, v in row.items()} for row in csv.DictReader(file)]


def rows_of_parquet(result):
    return pq.read_table(result.files["parquet"]).to_pylist()


def rows_of_json(result):
    points = json.loads(result.files["json"].read_text())["points"]
    return [point | point["recipe"] for point in points]


def rows_of_the_page(result):
    points = json.loads(Page(result.files["html"].read_text()).data)["front"]["points"]
    return [point | point["recipe"] for point in points]


def rows_of_the_table(result):
    head, rows = front_cells(result.front)
    numbered = [dict(zip(head, row, strict=True)) for row in rows]
    empty = dict.fromkeys(Recipe.model_fields)  # a column that no recipe sets is not there
    return [
        empty
        | {k: None if v == "-" else v for k, v in row.items()}
        | {"number": -1 if row["number"] == "base" else row["number"]}
        for row in numbered
    ]


def sides(folder):
    """Dev and test of the same records, as `mtray test` compares them."""
    records = [make_record(-1, 0.5, 1.0, "base"), *tuned()]
    side = held_out_results.side(folder, records, ["quality", "retention"])
    trials = {record.number: (record.number,) for record in records}
    return held_out_results.rows(side, side, [1, 2], trials, ["quality", "retention"])


def rows_of_test_parquet(result):
    found = held_out_results.HeldOut(
        study="s", run="r", objectives=("quality",), rows=sides(result.files["csv"].parent),
        touched=(), sets=(), repeated=0, notes=(),
    )  # fmt: skip
    return pq.read_table(BytesIO(held_out_results.parquet(found))).to_pylist()


def rows_of_test_json(result):
    rows = [row.model_dump(mode="json") for row in sides(result.files["csv"].parent)]
    return [row | row["recipe"] for row in rows]


OUTPUTS = {
    "front.csv": rows_of_csv, "front.parquet": rows_of_parquet, "front.json": rows_of_json,
    "the page": rows_of_the_page, "the table": rows_of_the_table,
    "test.parquet": rows_of_test_parquet, "test.json": rows_of_test_json,
}  # fmt: skip


def tuned():
    """One trained in full, one with adapters and frozen blocks; both on the front."""
    full = Recipe(parallel_size=100, learning_rate=2e-4)
    adapters = Recipe(parallel_size=100, frozen_layers=2, learning_rate=2e-4, **ADAPTERS)
    return [make_record(1, 0.6, 0.9, recipe=full), make_record(2, 0.7, 0.8, recipe=adapters)]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    for record in (make_record(-1, 0.5, 1.0, "base"), *tuned()):
        write_record(folder, record)
    return export_front(folder, make_study(), all_columns=True)


@pytest.mark.parametrize("read", OUTPUTS.values(), ids=list(OUTPUTS))
def test_every_output_leaves_it_empty(exported, read):
    rows = {int(row["number"]): row for row in read(exported)}
    assert {rows[-1][name] for name in Recipe.model_fields} == {None}
    assert rows[1]["lora_rank"] is rows[1]["freeze_policy"] is None
    assert float(rows[1]["learning_rate"]) == 2e-4
    shown = [rows[2][name] for name in ("lora_rank", "frozen_layers", "method")]
    assert list(map(str, shown)) == ["8", "2", "lora"]


@pytest.mark.parametrize("roles", [("base",), ("base", "search"), ("search",)])
def test_columns_have_the_same_types_whatever_rows_are_there(roles):
    own = {"schedule": "linear", "warmup": 0.1, "weight_decay": 0.0, "epochs": 1.0}
    own |= {
        "batch_examples": 8,
        "max_length": 64,
        "shots": 2,
        "template": "pool",
        "instructions": 4,
    }
    own |= {"noise_rate": 0.1, "noise_side": "source", "noise_level": "word"}
    trained = Recipe(parallel_size=5, learning_rate=1e-3, **own, **ADAPTERS)
    made = {"base": Recipe(parallel_size=0), "search": trained}
    rows = [{"number": 1, **parameters(made[role]), "bleu.en-uk": None} for role in roles]
    schema = pq.read_schema(BytesIO(parquet_bytes(rows)))
    types = {name: str(schema.field(name).type) for name in schema.names}
    kinds = {name: type(value) for name, value in made["search"].model_dump().items()}
    names = {int: "int64", float: "double", str: "string"}
    recipe = {name: names[kind] for name, kind in kinds.items()}
    assert types == {"number": "int64", "bleu.en-uk": "double", **recipe}


def test_a_narrow_table_and_a_card_list_what_has_a_meaning(exported):
    lines = "\n".join(stacked(front_sheet(exported.front)))
    assert lines.count("parallel_size") == 2 and lines.count("lora_rank 8") == 1
    assert "freeze_policy" not in model_card(tuned()[0], make_study(), "r", "model", "")
    card = model_card(tuned()[1], make_study(), "r", "adapter", "")
    assert "| `freeze_policy` | bottom |" in card and "| `lora_rank` | 8 |" in card


def test_the_log_names_no_parameter_without_a_meaning():
    recipe = Recipe(parallel_size=9, freeze_policy="top", lora_rank=4, learning_rate=2e-4)
    assert recipe_text(recipe) == "parallel 9 mono 0 replay 0 frozen 0 lr 0.0002"
    assert recipe_text(Recipe(parallel_size=0)) == "base model, untouched"


def test_a_piped_table_shows_a_dash(exported, capsys):
    show_front(FrontResult(exported.front, {}), Console(width=40))
    base = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("base "))
    assert base.split()[-5:] == ["-"] * 5
