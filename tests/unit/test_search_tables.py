"""Tables and the response surface of the search benchmark."""

import csv

import numpy as np
import pytest
from search_factory import rows

from mtray.errors import ConfigError

# after search_factory, which knows where they lie
from search_surface import own_surface, surface  # isort: skip
from search_tables import from_rows, read_rows, regmix  # isort: skip


@pytest.fixture
def problem():
    return from_rows("made-up", rows())


def test_a_table_knows_its_front_and_what_a_share_of_it_is_worth(problem):
    assert problem.senses == ("max", "max") and problem.shares == pytest.approx((1 / 3, 2 / 3, 1))
    assert problem.front.tolist() == [[4.2, 1], [3.2, 2], [2.2, 3], [1.2, 4], [0.2, 5]]
    assert problem.corner == pytest.approx([0.2 - 0.4, 1 - 0.4])
    assert problem.share_of_front(problem.front) == pytest.approx(1)
    assert problem.recovered(problem.front[:2]) == pytest.approx(2 / 5)
    # one point (2.2, 3) dominates 2.4 x 2.4 above the corner; the staircase of five has
    # .4 x 4.4 + 1 x (3.4 + 2.4 + 1.4 + .4)
    assert problem.share_of_front(problem.front[2:3]) == pytest.approx(5.76 / 9.36)
    assert problem.share_of_front(np.empty((0, 2))) == 0 == problem.recovered(np.empty((0, 2)))


def test_a_suggestion_stands_for_the_nearest_row_that_is_left(problem):
    assert problem.place({"p_x": 2, "p_y": 1.2}, set()) == "c2"
    assert problem.place({"p_x": 2, "p_y": 1.2}, {"c2"}) == "c3"
    assert problem.place({"p_x": 2, "p_y": 1.2}, {f"c{i}" for i in range(6)}) is None


def test_a_mixture_is_divided_by_its_sum():
    mixtures = {"a": (0.8, 0.2), "b": (0.5, 0.5)}
    table = [
        {"config": c, "fidelity": 1, "cost": 1, "p_u": u, "p_v": v, "min_a": u, "min_b": v}
        for c, (u, v) in mixtures.items()
    ]
    assert from_rows("mix", table).place({"p_u": 0.5, "p_v": 0.13}, set()) == "a"


def test_repeated_runs_are_drawn_and_their_mean_is_true():
    table = rows()
    table += [{**row, "max_a": row["max_a"] + 1} for row in table]
    problem = from_rows("twice", table)
    assert problem.truth("c1", 2) == pytest.approx([1.7, 4])
    drawn = {float(problem.observe("c1", 2, np.random.default_rng(s))[0]) for s in range(20)}
    assert sorted(drawn) == pytest.approx([1.2, 2.2])
    assert problem.errors[2] == pytest.approx([np.sqrt(0.5), 0])


def changed(index, **fields):
    table = rows()
    table[index] |= fields
    return table


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([], "no rows"),
        ([{k: v for k, v in r.items() if k != "cost"} for r in rows()], "missing columns: cost"),
        ([{k: v for k, v in r.items() if k != "max_b"} for r in rows()], "two objectives at least"),
        (changed(3, max_a=None), "row 3: max_a needs a number, found None"),
        (changed(3, max_a=float("nan")), "row 3: max_a needs a number, found nan"),
        (changed(2, cost=0), "cost must be above 0"),
        (changed(2, p_x=None), "row 2: p_x is empty"),
        (rows()[:-1], "config 'c5' has no row of fidelity 2"),
        ([{**r, "cost": 1.0 + (r["fidelity"] == 0)} for r in rows()], "must grow with fidelity"),
    ],
)
def test_a_table_that_does_not_do_is_refused(table, message):
    with pytest.raises(ConfigError, match=message):
        from_rows("table.csv", table)


def test_csv_and_parquet_are_the_same_table(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet

    with open(tmp_path / "t.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows()[0])
        writer.writeheader()
        writer.writerows(rows())
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows()), tmp_path / "t.parquet")
    assert read_rows(tmp_path / "t.csv") == read_rows(tmp_path / "t.parquet") == rows()
    with pytest.raises(ConfigError, match=r"ends in \.parquet or \.csv"):
        read_rows(tmp_path / "t.xlsx")


def test_the_surface_has_the_shape_it_claims():
    base = {"parallel_size": 1000, "mono_ratio": 0.5, "replay_fraction": 0.1,
            "frozen_layers": 1, "learning_rate": 6e-4}  # fmt: skip

    def at(share=1.0, **changes):
        return surface({**base, **changes}, share)

    sizes = [at(parallel_size=n) for n in (500, 1000, 2000, 4000)]
    quality, retention = np.array(sizes).T
    assert (np.diff(quality) > 0).all() and (np.diff(retention) < 0).all()
    # a doubling adds about as much each time: logarithmic
    assert np.ptp(np.diff(quality)) < 0.25 * np.diff(quality).mean()
    early = [at(share=s, learning_rate=7e-4, mono_ratio=0.0)[0] for s in (1e-6, 0.08, 1.0)]
    assert early[1] < early[0] < early[2], "hurts first, helps later"
    assert at(learning_rate=2e-3)[1] < at()[1] < at(mono_ratio=1.0)[1]
    assert at()[1] < at(replay_fraction=0.3)[1]


def test_the_surface_front_is_not_beaten():
    hills = own_surface()
    rng = np.random.default_rng(5)
    found = np.array([
        surface({"parallel_size": int(128 * 32 ** rng.random()), "mono_ratio": rng.random(),
                 "replay_fraction": 0.3 * rng.random(), "frozen_layers": int(rng.integers(6)),
                 "learning_rate": 1e-4 * 20 ** rng.random()}, 1.0)
        for _ in range(3000)
    ])  # fmt: skip
    better = (found[:, None] > hills.front[None] + 0.002).all(axis=2).any()
    assert not better and 0.8 < hills.share_of_front(found) < 1


def test_regmix_has_two_fidelities_of_the_same_mixtures(tmp_path):
    write_regmix(tmp_path)
    problem = regmix(tmp_path, ("pile_cc", "github"))
    assert len(problem.distributions) == 2 and problem.senses == ("min", "min")
    assert problem.shares[-1] == 1 and problem.alone("1") == 1
    assert problem.truth("1", 1) == pytest.approx([4.25, 3.59])
    assert problem.truth("1", 0) == pytest.approx([6.25, 5.59])


def test_regmix_whose_files_do_not_match_is_refused(tmp_path):
    write_regmix(tmp_path)
    file = tmp_path / "test_pile_loss_60m.csv"
    file.write_text(file.read_text().replace("\n2,", "\n3,"))
    with pytest.raises(ConfigError, match="mixtures and losses of 60m do not match"):
        regmix(tmp_path, ("pile_cc", "github"))


def write_regmix(folder):
    """Two mixtures, laid out as its authors have them."""
    for size, more in (("1m", 2.0), ("60m", 0.0)):
        (folder / f"test_mixture_{size}.csv").write_text(
            "index,train_the_pile_pile_cc,train_the_pile_github\n1,0.4,0.6\n2,0.9,0.1\n"
        )
        (folder / f"test_pile_loss_{size}.csv").write_text(
            "index,metric/the_pile_pile_cc_val_loss,metric/the_pile_github_val_loss\n"
            f"1,{4.25 + more},{3.59 + more}\n2,{4.05 + more},{3.99 + more}\n"
        )
