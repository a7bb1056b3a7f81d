"""The short version of `make faults`: real processes, real damage, all must hold."""

import json
import types

import pytest

from experiments.errors import UserError
from experiments.faults import row, table, workers
from experiments.faults.row import Row, Verdict

made_up = types.SimpleNamespace()


@pytest.mark.slow
def test_a_minute_of_faults_all_held(tmp_path):
    result = table.faults(length="quick", workdir=str(tmp_path))
    lines = (tmp_path / "faults.jsonl").read_text().splitlines()
    assert {json.loads(line)[0] for line in lines} == {
        name
        for name, one in table.rows().items()
        if one.num_quick and name not in result["not_run"]
    }
    again = table.faults(length="quick", workdir=str(tmp_path))  # nothing left to do
    assert again == result
    assert (tmp_path / "faults.jsonl").read_text().splitlines() == lines


def test_a_table_with_a_row_that_did_not_hold_is_an_error(monkeypatch, tmp_path):
    bad = Row("a fault", "told", 1, 1, lambda *_: [Verdict(detected=False)])
    monkeypatch.setattr(table, "KINDS", ("made_up",))
    monkeypatch.setattr(table.importlib, "import_module", lambda name: made_up)
    made_up.ROWS = (bad,)
    done = ["a fault", 0, 0, [list(Verdict(detected=False))], 1.0]
    (tmp_path / table.DONE).write_text(json.dumps(done) + "\n")
    with pytest.raises(UserError, match="a fault: this did not hold"):
        table.faults(kinds=("made_up",), workdir=str(tmp_path))
    assert "| NO |" in (tmp_path / "faults.md").read_text()


def test_a_row_holds_only_if_everything_went_well():
    one = Row("fault", "nothing lost", 1, 1, lambda *_: [], max_lost=9)
    good = Verdict(detected=True, survived=True, bit_equal=True, lost=9)
    assert row.held(one, [good])
    assert not row.held(one, [])
    for bad in ({"detected": False}, {"survived": False}, {"lost": 10}):
        assert not row.held(one, [good, good._replace(**bad)])


@pytest.mark.slow
def test_a_worker_that_dies_or_hangs_is_told_and_replaced():
    told = {}
    workers.run(
        misbehave,
        [("die",), ("raise",), ("hang",), ("work",)],
        lambda arguments, result, wrong: told.update({arguments[0]: (result, wrong)}),
        num_workers=1,
        seconds=15,
    )
    assert told["die"] == (None, "died")
    assert "ZeroDivisionError" in told["raise"][1]
    assert told["hang"] == (None, "took more than 15 s")
    assert told["work"] == ("done", "")


def misbehave(how):
    import os
    import time

    if how == "die":
        os._exit(1)
    if how == "raise":
        return 1 / 0
    if how == "hang":
        time.sleep(60)
    return "done"
