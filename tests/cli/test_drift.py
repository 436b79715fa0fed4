"""`drift`: new, vanished and retyped source fields, in one report, and no noise."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import onepipe.warehouse.samples as samples
from onepipe.sandbox import Sandbox
from tests.cli.place import Place, connection, write

ROWS = 20


@pytest.fixture(scope="module")
def drifted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Two CRMs synced twice; between, one of them got a field and lost one, and another changed its type."""
    folder = tmp_path_factory.mktemp("drifted")
    with Sandbox(rows=ROWS, seed=7, crms=("overplane", "onautomate")) as crms:
        write(folder, connection(crms, "overplane"), connection(crms, "onautomate"))
        place = Place(folder)
        assert 0 == place.run("sync").code
        crm = crms["overplane"]
        with crm.lock:
            for row in crm.rows.values():
                row["campaign"] = {"id": "c1", "label": "Spring", "access_token": "s3cr3t-word"}
                row["probability"] = str(row["probability"])
                del row["opportunity_amount"]
        calm = crms["onautomate"]
        for key in list(calm.records)[:5]:
            calm.update(key, name=f"Renamed {key}")
        assert 0 == place.run("sync").code
    yield place


def found(place: Place, name: str, *words: str) -> dict[str, dict[str, Any]]:
    """What drifted in one connection, by field."""
    (one,) = place.run("drift", name, *words, "--json").json["connections"]
    return {line["field"]: line for line in one["drift"]}


@pytest.mark.long
def test_one_report_lists_new_vanished_and_retyped_fields_with_samples(drifted: Place) -> None:
    """Behaviour 32: all three kinds, each with its types, how many records hold it, and values such as it has."""
    told = found(drifted, "overplane")
    assert {"campaign": "new", "opportunity_amount": "vanished", "probability": "retyped"} == {
        field: line["kind"] for field, line in told.items() if line["resource"] == "opportunity"
    }
    probability = told["probability"]
    assert (["number"], ["text"]) == (probability["before"]["types"], probability["since"]["types"])
    assert probability["since"]["samples"][0].startswith('"')
    assert (ROWS, ROWS) == (told["campaign"]["since"]["held"], told["campaign"]["since"]["records"])
    assert (0, True) == (
        told["opportunity_amount"]["since"]["held"],
        0 < len(told["opportunity_amount"]["before"]["samples"]) <= 3,
    )


def test_a_field_that_the_mapping_reads_is_marked(drifted: Place) -> None:
    """Whoever looks after the tables sees at once which drift is theirs, and what it does."""
    told = found(drifted, "overplane")
    assert (["amount"], "a mapped field vanished: amount will be NULL") == (
        told["opportunity_amount"]["columns"],
        told["opportunity_amount"]["meaning"],
    )
    assert (True, ["probability"]) == (told["probability"]["important"], told["probability"]["columns"])
    assert (False, None) == (told["campaign"]["important"], told["campaign"]["meaning"])
    text = drifted.run("drift", "overplane").out
    assert "overplane, opportunity opportunity_amount: a mapped field vanished: amount will be NULL." in text


def test_optional_fields_are_no_drift(drifted: Place) -> None:
    """What a CRM leaves out or sends as null of five changed deals, it may well leave out of those."""
    assert {} == found(drifted, "onautomate")
    assert "no drift" in drifted.run("drift", "onautomate").out


def test_drift_is_no_failure_unless_asked_to_be_one(drifted: Place) -> None:
    """Exit code 0; with --fail 1, where there is drift."""
    assert [0, 1, 0] == [
        drifted.run("drift").code,
        drifted.run("drift", "--fail").code,
        drifted.run("drift", "onautomate", "--fail").code,
    ]


def test_since_a_run_or_a_day(drifted: Place) -> None:
    """A run means from its beginning; a day before everything leaves nothing to compare with."""
    second, first = (one["run_id"] for one in drifted.run("runs", "--connection", "overplane", "--json").json["runs"])
    assert {"campaign", "opportunity_amount", "probability"} == set(found(drifted, "overplane", "--since", second))
    assert {} == found(drifted, "overplane", "--since", first)
    told = drifted.run("drift", "overplane", "--since", "2020-01-01")
    assert (0, True) == (told.code, "nothing to compare" in told.out)
    assert 2 == drifted.run("drift", "--since", "yesterday").code
    assert f"did you mean '{second}'?" in drifted.run("drift", "--since", second[:-1]).err


def test_samples_are_short_and_show_no_secret() -> None:
    """A value whose name or form is that of a secret is hidden, long ones are cut, numbers keep their digits."""
    words = "x" * 31 + " " + "y" * 40
    text = f'{{"a": 1.10, "api_key": "abc", "t": "{words}", "o": {{"id": 3, "access_token": "s3cr3t"}}, '
    text += '"l": [{"p": 2}, {"p": null}]}'
    assert ("1.10",) == samples.of([text], ("a",))
    assert ("***",) == samples.of([text], ("api_key",))
    assert ('{"id": 3, "access_token": "***"}',) == samples.of([text], ("o",))
    assert ("2",) == samples.of([text], ("l", "[]", "p"))
    (cut,) = samples.of([text], ("t",))
    assert len(cut) <= samples.LENGTH and "y" not in cut


def test_a_project_without_a_warehouse_is_told_the_first_step(tmp_path: Path, crms: Sandbox) -> None:
    """Exit code 2, and what to do."""
    write(tmp_path, connection(crms, "capsule"))
    told = Place(tmp_path).run("drift")
    assert (2, True) == (told.code, "onepipe sync" in told.err)
