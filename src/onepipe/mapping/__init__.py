"""A mapping file: how one CRM's record becomes the canonical opportunity and back. docs/mapping.md is for its writers.

`load_mapping` reads the YAML into a `Mapping` and proves it: every column, path, transform and way back is checked, and
all mistakes are reported at once with file, line and column.
"""

from onepipe.mapping.children import CHILD_KEYS
from onepipe.mapping.field import COLUMN_KEYS, FIELD_KEYS
from onepipe.mapping.form import (
    EXTRA,
    OWN_DAY,
    STAGE_TYPES,
    TYPES,
    ChildRules,
    Each,
    Example,
    MappedField,
    Mapping,
    Source,
    StageRules,
    parse_each,
    parse_source,
)
from onepipe.mapping.kept import kept_mapping
from onepipe.mapping.load import EXAMPLE_KEYS, MAPPING_KEYS, STAGES_KEYS, load_mapping

__all__ = [
    "CHILD_KEYS",
    "COLUMN_KEYS",
    "EXAMPLE_KEYS",
    "EXTRA",
    "FIELD_KEYS",
    "MAPPING_KEYS",
    "OWN_DAY",
    "STAGES_KEYS",
    "STAGE_TYPES",
    "TYPES",
    "ChildRules",
    "Each",
    "Example",
    "MappedField",
    "Mapping",
    "Source",
    "StageRules",
    "kept_mapping",
    "load_mapping",
    "parse_each",
    "parse_source",
]
