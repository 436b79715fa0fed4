"""The canonical opportunity: every column's name, type and meaning. The words of the house, without behaviour."""

from dataclasses import dataclass

MONEY = "DECIMAL(18,4)"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the canonical opportunity. `type` is DuckDB's; `meaning` becomes the column's COMMENT."""

    name: str
    type: str
    meaning: str


KEY = (
    Column("connection", "VARCHAR", "The connection's name in config.yaml; key together with source_id"),
    Column("connector", "VARCHAR", "Which CRM the row comes from"),
    Column("source_id", "VARCHAR", "The CRM's own id, as text"),
)

# What a mapping reads from a CRM's record, in the order of the published table.
MAPPED = (
    Column("name", "VARCHAR", "The deal's name, exactly as the CRM sends it"),
    Column("description", "VARCHAR", "The deal's description, exactly as the CRM sends it"),
    Column("amount", MONEY, "Total value of the deal in `currency`; NULL when the CRM says nothing, never 0 instead"),
    Column("currency", "VARCHAR", "ISO 4217; from the record, else from config.yaml, else NULL"),
    Column("unit_amount", MONEY, "Price per period, for CRMs that price so: amount = unit_amount x periods"),
    Column("period", "VARCHAR", "The period unit_amount is for: hour, day, month, year"),
    Column("periods", MONEY, "How many periods the deal runs"),
    Column("pipeline_id", "VARCHAR", "The CRM's own id of the pipeline"),
    Column("pipeline", "VARCHAR", "The pipeline's label"),
    Column("stage_id", "VARCHAR", "The CRM's own id of the stage"),
    Column("stage", "VARCHAR", "The stage's label"),
    Column("status", "VARCHAR", "open, won, lost or abandoned; NULL when it cannot be known"),
    Column("probability", "DECIMAL(5,4)", "Likelihood of winning, 0..1"),
    Column("expected_close_date", "DATE", "The day the deal is expected to close; a calendar date in no zone"),
    Column("closed_at", "TIMESTAMPTZ", "The instant the CRM says the deal closed, UTC"),
    Column("owner_id", "VARCHAR", "The CRM's own id of the owner"),
    Column("owner", "VARCHAR", "The owner's name"),
    Column("company_id", "VARCHAR", "The CRM's own id of the company"),
    Column("company", "VARCHAR", "The company's name"),
    Column("contact_id", "VARCHAR", "The CRM's own id of the main contact"),
    Column("contact", "VARCHAR", "The main contact's name"),
    Column("contact_email", "VARCHAR", "The main contact's e-mail address"),
    Column("contact_phone", "VARCHAR", "The main contact's phone number"),
    Column("lead_source", "VARCHAR", "Where the deal came from, the CRM's label"),
    Column("type", "VARCHAR", "The kind of deal, the CRM's label"),
    Column("lost_reason", "VARCHAR", "Why the deal was lost, the CRM's label"),
    Column("url", "VARCHAR", "The deal's page in the CRM, where the mapping has a template"),
    Column("tags", "VARCHAR[]", "Sorted, no duplicates; empty where the CRM has tags and the record none; else NULL"),
    Column("created_at", "TIMESTAMPTZ", "When the CRM says the record was created, UTC"),
    Column("updated_at", "TIMESTAMPTZ", "When the CRM says the record last changed, UTC"),
    Column("custom", "JSON", "Custom fields as an object, label or key -> value; NULL where the CRM was not asked"),
    Column("extra", "JSON", "What the CRM sends and no column reads: scalars, ids and names, under its own names"),
    Column("is_archived", "BOOLEAN", "Whether the CRM says the record is archived"),
)

# What the engine knows of the record, not the mapping.
OBSERVED = (
    Column("is_deleted", "BOOLEAN", "Whether the record is known to be deleted in the CRM; the row is never removed"),
    Column("deleted_at", "TIMESTAMPTZ", "When the deletion happened (tombstone) or was found, UTC"),
    Column("deleted_evidence", "VARCHAR", "tombstone, gone (the CRM said so) or absent (every way of asking failed)"),
    Column("closed_on", "DATE", "The day a deal that is not open closed; closed_on_evidence says how we know"),
    Column(
        "closed_on_evidence",
        "VARCHAR",
        "crm (its own day), observed (the day we saw it), first_seen (updated_at's day)",
    ),
    Column("first_seen_at", "TIMESTAMPTZ", "When we first fetched the record, by our clock, UTC"),
    Column("last_changed_at", "TIMESTAMPTZ", "When we last fetched a changed version, by our clock, UTC"),
    Column("mapping_version", "VARCHAR", "Which mapping read the row"),
    Column("payload_hash", "VARCHAR", "Which stored raw version the row was read from (raw.records.payload_hash)"),
)

OPPORTUNITY = KEY + MAPPED + OBSERVED

VERSION = (
    Column(
        "valid_from",
        "TIMESTAMPTZ",
        "From when this version held: the CRM's updated_at within the bounds of what we saw",
    ),
    Column("valid_to", "TIMESTAMPTZ", "Until when it held (exclusive); NULL for the current version"),
    Column("recorded_at", "TIMESTAMPTZ", "When we fetched this version, UTC"),
    Column("version", "BIGINT", "1, 2, 3 ... per record, without gaps"),
    Column("changed_fields", "VARCHAR[]", "The mapped columns that differ from the version before"),
    Column("change_origin", "VARCHAR", "source (the CRM), push (our own write read back) or deletion"),
)

STAGE = (
    Column("connection", "VARCHAR", "The connection's name in config.yaml"),
    Column("stage_id", "VARCHAR", "The CRM's own id of the stage; its label where it has none"),
    Column("stage", "VARCHAR", "The stage's label"),
    Column("pipeline_id", "VARCHAR", "The CRM's own id of the pipeline, where it has pipelines"),
    Column("pipeline", "VARCHAR", "The pipeline's label"),
    Column("position", "BIGINT", "Place in the pipeline, from 1, in the CRM's order"),
    Column("probability", "DECIMAL(5,4)", "The stage's default likelihood of winning, 0..1"),
    Column("status", "VARCHAR", "What a deal in this stage is: open, won or lost; NULL when the stage does not say"),
)


@dataclass(frozen=True, slots=True)
class Child:
    """A table of what belongs to an opportunity; `columns` are those that a mapping reads, in the published order."""

    name: str
    comment: str
    columns: tuple[Column, ...]

    @property
    def nested(self) -> Column:
        """The column that keeps a version's children within it: a list of structs, NULL where nobody was asked."""
        inner = ", ".join(f'"{column.name}" {column.type}' for column in (POSITION, *self.columns))
        return Column(self.name, f"STRUCT({inner})[]", self.comment)


POSITION = Column("position", "BIGINT", "Place among its deal's, from 1, in the CRM's order")

CHILDREN = {
    child.name: child
    for child in (
        Child(
            "line_items",
            "What a deal is made of: its lines, in the CRM's order",
            (
                Column("item_id", "VARCHAR", "The CRM's own id of the line"),
                Column("name", "VARCHAR", "What is sold"),
                Column("quantity", MONEY, "How many"),
                Column("unit_amount", MONEY, "The price of one, in the deal's currency"),
                Column("amount", MONEY, "The line's value; NULL without a quantity or a price"),
                Column("description", "VARCHAR", "What the CRM says of the line"),
            ),
        ),
        Child(
            "quotes",
            "Quotes made for a deal",
            (
                Column("quote_id", "VARCHAR", "The CRM's own id of the quote"),
                Column("amount", MONEY, "Its value in `currency`"),
                Column("currency", "VARCHAR", "ISO 4217; from the quote, else NULL"),
                Column("expires_on", "DATE", "The day until which it holds; a calendar date in no zone"),
                Column("created_at", "TIMESTAMPTZ", "When it was made, by the CRM, UTC"),
            ),
        ),
        Child(
            "documents",
            "Documents of a deal",
            (
                Column("document_id", "VARCHAR", "The CRM's own id of the document"),
                Column("name", "VARCHAR", "Its name"),
                Column("body", "VARCHAR", "Its text, as the CRM sends it"),
                Column("created_at", "TIMESTAMPTZ", "When it was made, by the CRM, UTC"),
                Column("updated_at", "TIMESTAMPTZ", "When it last changed, by the CRM, UTC"),
            ),
        ),
        Child(
            "notes",
            "Notes, e-mails and other entries in the history of a deal",
            (
                Column("note_id", "VARCHAR", "The CRM's own id of the entry"),
                Column("kind", "VARCHAR", "What it is, the CRM's word"),
                Column("title", "VARCHAR", "Its subject"),
                Column("body", "VARCHAR", "Its text, as the CRM sends it"),
                Column("author", "VARCHAR", "Who wrote it"),
                Column("created_at", "TIMESTAMPTZ", "When it was written, by the CRM, UTC"),
            ),
        ),
        Child(
            "contacts",
            "People and organisations of a deal beside its main contact",
            (
                Column("contact_id", "VARCHAR", "The CRM's own id of the contact"),
                Column("name", "VARCHAR", "The contact's name"),
                Column("email", "VARCHAR", "The contact's e-mail address"),
                Column("role", "VARCHAR", "What the contact is to the deal: delegate, additional"),
            ),
        ),
    )
}

NESTED = tuple(child.nested for child in CHILDREN.values())

STATUSES = ("open", "won", "lost", "abandoned")
