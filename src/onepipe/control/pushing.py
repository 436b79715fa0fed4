"""The tables of what goes back to the CRMs. Instants are ISO texts in UTC; docs/decisions/0012 says why it is so.

edit -> push -> attempt -> journal: what is wanted, what became of it, each request before it is sent, and what the
next commit to the warehouse lands.
"""

PUSHING: tuple[str, ...] = (
    """CREATE TABLE stored (           -- records as they were read: what edits and pushes rest on
        stored_id INTEGER PRIMARY KEY,
        connection TEXT NOT NULL, source_id TEXT NOT NULL,
        payload TEXT NOT NULL, payload_hash TEXT NOT NULL,
        details TEXT NOT NULL,          -- JSON: name -> what that sub-request answered; absent: never fetched
        read_at TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX stored_of ON stored (connection, source_id)",
    """CREATE TABLE edit (
        edit_id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again: plans name them
        connection TEXT NOT NULL,
        source_id TEXT,                 -- NULL: of a record to be created
        draft TEXT,                     -- what holds the edits of one such record together
        op TEXT NOT NULL,               -- update, create, delete
        field TEXT NOT NULL,            -- empty for a delete
        slot TEXT NOT NULL,             -- the same for an id and its label: one open edit for each
        value TEXT,                     -- as people write it; NULL clears
        base_id INTEGER REFERENCES stored,
        seen_id INTEGER REFERENCES stored,  -- of the CRM's side, what a person saw who decided for ours
        reason TEXT NOT NULL, actor TEXT NOT NULL, note TEXT NOT NULL,
        state TEXT NOT NULL,            -- queued; pushing: a request may carry it; settled, dropped, replaced
        created_at TEXT NOT NULL, changed_at TEXT NOT NULL
    ) STRICT""",
    """CREATE UNIQUE INDEX one_open_edit ON edit (connection, coalesce(source_id, draft), slot)
        WHERE state IN ('queued', 'pushing')""",
    """CREATE TABLE push (              -- the outbox: one record's edits, or one call, in one run
        push_id INTEGER PRIMARY KEY AUTOINCREMENT,
        run_id TEXT NOT NULL, connection TEXT NOT NULL,
        source_id TEXT,                 -- NULL: until the CRM has told it
        draft TEXT,
        op TEXT NOT NULL,               -- update, create, delete, call
        asked TEXT NOT NULL,            -- JSON: what is wanted, as the plan says it; of a call its action and words
        reason TEXT NOT NULL, actor TEXT NOT NULL,
        state TEXT NOT NULL, message TEXT NOT NULL,
        lease INTEGER NOT NULL,         -- the newest lease that worked on it; the word of an older one counts no more
        tries INTEGER NOT NULL, next_at TEXT,
        created_at TEXT NOT NULL, changed_at TEXT NOT NULL,
        finished_at TEXT                -- NULL: open
    ) STRICT""",
    """CREATE UNIQUE INDEX one_open_push ON push (connection, coalesce(source_id, draft))
        WHERE finished_at IS NULL AND op <> 'call'""",
    """CREATE TABLE push_edit (
        push_id INTEGER NOT NULL REFERENCES push, edit_id INTEGER NOT NULL REFERENCES edit,
        PRIMARY KEY (push_id, edit_id)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE attempt (           -- one request; written down before it is sent
        push_id INTEGER NOT NULL REFERENCES push, n INTEGER NOT NULL,
        request TEXT NOT NULL,          -- JSON, whole, without a secret
        before TEXT NOT NULL,           -- JSON: what was read just before it
        lease INTEGER NOT NULL, sent_at TEXT NOT NULL,
        outcome TEXT,                   -- NULL: it may be on its way; answered, unapplied, lost
        answer TEXT, answered_at TEXT,
        late INTEGER NOT NULL DEFAULT 0,  -- told by a process that had lost its lease: kept, and without effect
        PRIMARY KEY (push_id, n)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE look (              -- what was looked for after a lost answer, and what was found
        look_id INTEGER PRIMARY KEY, push_id INTEGER NOT NULL REFERENCES push,
        at TEXT NOT NULL, found TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX look_of ON look (push_id)",
    """CREATE TABLE journal (           -- what the next commit lands, whichever process makes it
        journal_id INTEGER PRIMARY KEY AUTOINCREMENT,
        push_id INTEGER NOT NULL REFERENCES push,
        connection TEXT NOT NULL, source_id TEXT,
        told TEXT NOT NULL,             -- JSON: what the tables pushes, field_changes and conflicts are told
        read_id INTEGER REFERENCES stored,  -- what a read after the write found; NULL: nothing was read
        at TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX journal_of ON journal (connection, source_id)",
)

CONFLICTS: tuple[str, ...] = (
    "CREATE TABLE identity (name TEXT NOT NULL) STRICT",  # whose journal it is: a new file counts from 1 again
    "INSERT INTO identity VALUES (lower(hex(randomblob(8))))",
    """CREATE TABLE conflict (
        conflict_id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again: people's files name them
        connection TEXT NOT NULL,
        source_id TEXT, draft TEXT,     -- of a record to be created: the draft alone
        kind TEXT NOT NULL,             -- field, delete, lost: a create or a call that may have happened
        field TEXT NOT NULL, slot TEXT NOT NULL,
        push_id INTEGER,
        base TEXT, ours TEXT, theirs TEXT,  -- as people write them
        record_id INTEGER REFERENCES stored,  -- the CRM's side as read: what a person sees who decides
        reason TEXT NOT NULL,           -- why it is a conflict
        state TEXT NOT NULL,            -- open, resolved by a person, closed because it is none any more
        opened_at TEXT NOT NULL, resolved_at TEXT, resolution TEXT, actor TEXT,
        why TEXT NOT NULL,              -- why that person decided so
        change INTEGER NOT NULL         -- grows with every change to any: what is above is still to be landed
    ) STRICT""",
    "CREATE UNIQUE INDEX conflict_change ON conflict (change)",
    """CREATE UNIQUE INDEX one_open_conflict ON conflict (connection, coalesce(source_id, draft), kind, slot)
        WHERE state = 'open'""",
    "CREATE INDEX journal_of_push ON journal (push_id)",
)
