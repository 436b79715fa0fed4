"""What a connector is. A CRM is one class in one file of `connectors/`; this package is the whole interface.

A connector holds facts and verbs. It does not log, retry, sleep, keep state or rename fields: the engine and the
mapping do. A verb that a class does not define is a thing that CRM cannot do.
"""

from onepipe.connector.facts import Facts, Window, rows, utc
from onepipe.connector.reads import Parameter, Read, read
from onepipe.connector.verbs import REQUIRED, VERBS, Connector, Open
from onepipe.connector.writes import (
    Action,
    Change,
    Items,
    Request,
    Writes,
    action,
    given,
    id_number,
    relation,
    xml_body,
)
from onepipe.decode import Record, json_facts, json_page, json_record, refusal, xml_json, xml_page, xml_record
from onepipe.errors import (
    AuthRefused,
    BadPayload,
    Gone,
    Incomplete,
    PagingLoop,
    RateLimited,
    Rejected,
    Unavailable,
    UsageError,
)
from onepipe.http import Answer, Http, part
from onepipe.merge import Habits, Scale, Step
from onepipe.paging import Page, Token, by_cursor, by_key, by_offset, by_page, by_part
from onepipe.quotas import Quota

# All that a connector file needs; it imports nothing else of ours.
__all__ = [
    "REQUIRED",
    "VERBS",
    "Action",
    "Answer",
    "AuthRefused",
    "BadPayload",
    "Change",
    "Connector",
    "Facts",
    "Gone",
    "Habits",
    "Http",
    "Incomplete",
    "Items",
    "Open",
    "Page",
    "PagingLoop",
    "Parameter",
    "Quota",
    "RateLimited",
    "Read",
    "Record",
    "Rejected",
    "Request",
    "Scale",
    "Step",
    "Token",
    "Unavailable",
    "UsageError",
    "Window",
    "Writes",
    "action",
    "by_cursor",
    "by_key",
    "by_offset",
    "by_page",
    "by_part",
    "given",
    "id_number",
    "json_facts",
    "json_page",
    "json_record",
    "part",
    "read",
    "refusal",
    "relation",
    "rows",
    "utc",
    "xml_body",
    "xml_json",
    "xml_page",
    "xml_record",
]
