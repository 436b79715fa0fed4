"""Bytes to records. A page is split without parsing its records; XML becomes JSON here, at the door.

`json_page`, `json_record`, `json_facts` and `xml_page`, `xml_record` are what connectors use. All raise BadPayload
when the answer is not what was promised; a missing record path is an error, never an empty page.
"""

from onepipe.decode.jsons import json_facts, json_page, json_record
from onepipe.decode.numbers import long_numbers_quoted, plain_json
from onepipe.decode.words import refusal
from onepipe.decode.xmls import xml_json, xml_page, xml_record
from onepipe.records import Page, Record

__all__ = [
    "Page",
    "Record",
    "json_facts",
    "json_page",
    "json_record",
    "long_numbers_quoted",
    "plain_json",
    "refusal",
    "xml_json",
    "xml_page",
    "xml_record",
]
