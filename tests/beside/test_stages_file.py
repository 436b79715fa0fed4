"""stages.csv and people.csv as people and spreadsheets write them: what is read, and every fault with its line."""

from decimal import Decimal
from pathlib import Path

import pytest

import onepipe.beside.people as people
import onepipe.beside.stages as stages
from onepipe.beside.sheet import number

NAMES = ("acme", "acme-training", "emea-1", "emea-2")
HEAD = "connection,pipeline,stage,stage_group,status,weight\n"


def said(folder: Path, text: str | bytes, name: str = "stages.csv") -> Path:
    """A file with this text."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def faults(folder: Path, text: str | bytes) -> list[str]:
    """What is wrong with a stages.csv, without its folder."""
    _, found = stages.read(said(folder, text), NAMES)
    return sorted(str(fault).removeprefix(f"{folder}/") for fault in found)


def test_a_line_decides_by_name_glob_and_label(tmp_path: Path) -> None:
    """A group, a status and a weight, each of them if it stands there; a line without any decides nothing."""
    text = HEAD + "acme,Sales,Bid,Early,,\nemea-*,,Handed over,, Won ,0.5\n\nacme,,New,,,\n*,,Gone,,lost,0\n"
    lines, wrong = stages.read(said(tmp_path, text), NAMES)
    assert [] == wrong
    rows = [one.row for one in stages.decisions(lines, NAMES)]
    assert [
        ("acme", "Sales", "Bid", "Early", None, None),
        ("emea-1", None, "Handed over", None, "won", Decimal("0.5")),
        ("emea-2", None, "Handed over", None, "won", Decimal("0.5")),
        *((name, None, "Gone", None, "lost", Decimal(0)) for name in NAMES),
    ] == rows


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbfConnection;Stage;Weight\r\nacme;Bid;0,5\r\n;;\r\n\r\n",
        b"connection\tstage\tweight\nacme\tBid\t0.5\n",
        b'connection,stage,weight\n"acme","Bid","0.5",,\n',
        b"connection,stage,weight,deals,open_deals,read_as,decided\nacme,Bid,0.5,12,3,open,no\n",
        b"connection,stage,weight,\nacme,Bid,0.5,\n",
        b" connection , stage , weight \n acme , Bid , 0.5 \n",
    ],
    ids=["excel", "tabs", "quoted", "printed", "empty column", "blanks"],
)
def test_what_spreadsheets_save_is_read(tmp_path: Path, text: bytes) -> None:
    """Whatever stands between the cells, before the first and after the last."""
    lines, wrong = stages.read(said(tmp_path, text), NAMES)
    assert ([], [("acme", None, "Bid", None, None, Decimal("0.5"))]) == (
        wrong,
        [one.row for one in stages.decisions(lines, NAMES)],
    )


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    """With the line it stands in, and what might have been meant."""
    text = HEAD + "".join(
        line + "\n"
        for line in (
            "acne,,Bid,Early,,",
            "acme,,New,,wonn,1.5",
            ",,Won,Late,,",
            "acme,,,Late,,half",
            "acme,,Lost,Late,,0.12345",
            "acme,,Short",
            "acme,,Long,Late,,,beyond",
            "acme,,Minus,,,-0.1",
            "nobody-*,,Silent,,,",
        )
    )
    assert [
        "stages.csv:10: connection: no connection is named by 'nobody-*'; known: acme, acme-training, emea-1, emea-2",
        "stages.csv:2: connection: no connection is named by 'acne'; did you mean 'acme'?",
        "stages.csv:3: status: 'wonn' is no status; did you mean 'won'?",
        "stages.csv:3: weight: '1.5' is no number from 0 to 1, such as 0.5",
        "stages.csv:4: connection: it is missing; * means every connection",
        "stages.csv:5: stage: it is missing",
        "stages.csv:5: weight: 'half' is no number from 0 to 1, such as 0.5",
        "stages.csv:6: weight: '0.12345' has more than 4 decimals",
        "stages.csv:7: (line): it has 3 cells, and there are 6 columns",
        "stages.csv:8: (line): it has 7 cells, and there are 6 columns",
        "stages.csv:9: weight: '-0.1' is no number from 0 to 1, such as 0.5",
    ] == faults(tmp_path, text)


def test_columns_that_are_not_there_are_told(tmp_path: Path) -> None:
    """Unknown, missing and doubled headings, and nothing else: the cells below them mean nothing then."""
    assert [
        "stages.csv:1: (headings): the column 'connection' is missing",
        "stages.csv:1: (headings): the column 'stage' stands there twice",
        "stages.csv:1: (headings): there is no column 'conection'; did you mean 'connection'?",
    ] == faults(tmp_path, "conection,stage,stage\nx,y,z\n")
    assert [
        "stages.csv:1: (headings): the column 'connection' is missing",
        "stages.csv:1: (headings): the column 'stage' is missing",
    ] == faults(tmp_path, "")


def test_a_file_that_is_no_csv_is_told(tmp_path: Path) -> None:
    """Broken quotes with their line, another encoding by its name."""
    (told,) = faults(tmp_path, HEAD + 'acme,,"Bid"x,,won,\n')
    assert told.startswith("stages.csv:2: (line): this is no CSV: ")
    assert ["stages.csv:1: (file): it cannot be read: it is not in UTF-8; save it as CSV UTF-8"] == faults(
        tmp_path, HEAD.encode() + b"acme,,\xe9,,won,\n"
    )


@pytest.mark.parametrize(
    ("first", "second", "clash"),
    [
        ("acme,,Bid,A,,", "acme,,Bid,,won,", "acme"),
        ("acme,Sales,Bid,A,,", "acme,Sales,Bid,B,,", "acme"),
        ("acme,,Bid,A,,", "acme,Sales,Bid,B,,", "acme"),
        ("acme,Sales,Bid,A,,", "*,,Bid,B,,", "acme"),
        ("acme*,,Bid,A,,", "*-training,,Bid,B,,", "acme-training"),
        ("emea-*,,Bid,A,,", "*,,Bid,B,,", "emea-1 and 1 more"),
        ("acme,Sales,Bid,A,,", "acme,Service,Bid,B,,", None),
        ("acme,,Bid,A,,", "acme-training,,Bid,B,,", None),
        ("acme,,Bid,,,", "acme,,Bid,B,,", None),
        ("acme,,Bid,A,,", "acme,,bid,B,,", None),
    ],
)
def test_two_lines_that_mean_the_same_stage_are_told(
    tmp_path: Path, first: str, second: str, clash: str | None
) -> None:
    """Two globs that meet in a connection, and a line for every pipeline beside one for one of them, too."""
    told = f"stages.csv:3: connection: line 2 means the same in {clash}; keep one of them"
    assert ([told] if clash else []) == faults(tmp_path, f"{HEAD}{first}\n{second}\n")


def test_people_have_lines_of_their_own_kind(tmp_path: Path) -> None:
    """A person and a team for an owner's id, in all connections a glob means; the same faults."""
    text = "connection,owner_id,person,team,owner\nemea-*,7,Ann,North,a.b\nacme,007,,South,\nacme,8,,,\n"
    lines, wrong = people.read(said(tmp_path, text, "people.csv"), NAMES)
    assert [] == wrong
    assert [("emea-1", "7", "Ann", "North"), ("emea-2", "7", "Ann", "North"), ("acme", "007", None, "South")] == [
        one.row for one in people.decisions(lines, NAMES)
    ]
    text = "connection,owner_id,person\nemea-*,7,Ann\nemea-2,7,Bob\nacme,,Ann\nacme,9\n"
    _, wrong = people.read(said(tmp_path, text, "people.csv"), NAMES)
    assert [
        "people.csv:3: connection: line 2 means the same in emea-2; keep one of them",
        "people.csv:4: owner_id: it is missing",
        "people.csv:5: (line): it has 2 cells, and there are 3 columns",
    ] == sorted(str(fault).removeprefix(f"{tmp_path}/") for fault in wrong)


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.5", Decimal("0.5")), ("0,5", Decimal("0.5")), ("1", Decimal(1)), ("-2.50", Decimal("-2.50"))]
    + [(text, None) for text in ("", "half", "1.000,5", "1e3", "50%", ".5", "NaN", "\u0661")],
)
def test_numbers_are_exact_and_plain(text: str, value: Decimal | None) -> None:
    """A point or a comma before the decimals, and nothing that could be meant in two ways."""
    assert value == number(text)
