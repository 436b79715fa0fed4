"""Every failure the simulation ever found, as a story: a seed tells another one once the making of stories changes."""

from tests.simulation.story import Act, Story

LIST_ALL = "/opportunities/list_all*"

NAMED: dict[str, Story] = {
    "a disk that was full while the work file was made left one without tables, which no later run could open": Story(
        12, "capsule", 12, acts=[Act(full=("a statement runs", number)) for number in (20, 24, 30)]
    ),
    "a scan of which nothing was merged yet went on with the next run's time as its cursor": Story(
        105,
        "administrate",
        26,
        options={"limit_cap": 5},
        acts=[Act(crash=("before the raw write", 1)), Act(pause=90000, before=["burst", "update"])],
    ),
    "a run that ended between Tactile's list and the rows it hides was taken for read to its end": Story(
        116,
        "tactile",
        25,
        options={"era": "head", "limit_cap": 3},
        acts=[Act(options={"max_requests": number}) for number in (7, 3)],
    ),
    "one refused answer to list_all was taken for an account that has none": Story(
        116,
        "tactile",
        25,
        options={"era": "head"},
        acts=[Act(faults=[{"kind": kind, "path": LIST_ALL}]) for kind in ("refused_200", "error_envelope")],
    ),
    "a spool that could not be written was written once more, and that error hid the first": Story(
        156, "tactile", 23, options={"limit_cap": 4}, acts=[Act(full=("a file is made durable", 1))]
    ),
    "a count that was off was taken for looked into although the run was killed before it read anything": Story(
        115,
        "administrate",
        17,
        options={"limit_cap": 5},
        acts=[Act(), Act(before=["delete", "insert"], crash=("after a commit", 3))],
    ),
    "a count that was off was taken for looked into although the read that had to explain it failed": Story(
        16,
        "tactile",
        19,
        options={"limit_cap": 4, "era": "head"},
        acts=[Act(during={1: ["burst"], 5: ["bring_back"]}, faults=[{"kind": "empty_page", "nth": 8, "count": 6}])],
    ),
    "a count that moved while everything was read was taken for looked into": Story(
        86, "tactile", 8, options={"era": "head", "tie_seed": 1}, acts=[Act(during={4: ["insert", "bring_back"]})]
    ),
    "a count was taken for looked into although the sweep had explained it, and another row had gone meanwhile": Story(
        533695680,
        "administrate",
        10,
        options={"limit_cap": 5},
        acts=[Act(), Act(before=["delete"], during={9: ["delete"]})],
    ),
    "a tombstone was taken for older than a record whose stamp lies in the future": Story(
        533695943, "capsule", 12, acts=[Act(before=["future"] * 12), Act(before=["delete"] * 3)]
    ),
    "a first load in two runs was not complete because its rows that no list shows are not counted": Story(
        535179151, "tactile", 17, options={"limit_cap": 3, "era": "head"}, acts=[Act(options={"max_requests": 7})]
    ),
    "the list of one pipeline was answered in the place of another one's, whose deals nobody missed": Story(
        536995688,
        "onautomate",
        10,
        options={"limit_cap": 7},
        acts=[Act(faults=[{"kind": "cycle", "nth": 3, "count": 6}])],
    ),
    "a token refused where the stages were asked for was taken for an account without such a list": Story(
        11, "tactile", 12, options={"era": "doc"}, acts=[Act(faults=[{"kind": "refused_200"}]), Act()]
    ),
}

# Rules that chance puts to the test too seldom: each story fails when its rule is taken out.
RULES: dict[str, Story] = {
    "pages by offset must join: deletions between two requests pull unread rows behind our place": Story(
        1,
        "capsule",
        24,
        options={"limit_cap": 3, "order": "id"},
        acts=[Act(during={9: ["delete", "delete", "delete"]})],
    ),
    "the cursor is committed together with the rows that it stands for": Story(
        10,
        "administrate",
        10,
        acts=[
            Act(),
            Act(before=["update", "insert"], crash=("after the slice was noted", 1)),  # edits that nothing has read,
            Act(pause=900, crash=("after a commit", 3)),  # and a cursor that stands far behind them
        ],
    ),
    "a run reads back behind its cursor: a transaction may become visible late": Story(
        15, "administrate", 10, acts=[Act(), Act(before=["late", "late", "late"]), Act(before=["late", "late"])]
    ),
    "what a list does not show is asked for by id before it is called deleted": Story(
        36, "tactile", 14, acts=[Act(), Act(before=["special", "special", "special"], options={"sweep": True})]
    ),
}
