"""A mapping file: how one CRM's record becomes the canonical opportunity, field by field, and back. See docs/mapping.md.

`load_mapping` reads the YAML into a `Mapping` and proves it: every column, path, transform and way back is checked, and
all mistakes are reported at once with file, line and column.
"""

from onepipe.mapping.form import (
    OWN_DAY,
    STAGE_TYPES,
    TYPES,
    Example,
    MappedField,
    Mapping,
    Source,
    StageRules,
    parse_source,
)
from onepipe.mapping.load import FIELD_KEYS, MAPPING_KEYS, load_mapping

__all__ = [
    "FIELD_KEYS",
    "MAPPING_KEYS",
    "OWN_DAY",
    "STAGE_TYPES",
    "TYPES",
    "Example",
    "MappedField",
    "Mapping",
    "Source",
    "StageRules",
    "load_mapping",
    "parse_source",
]
