"""Three-way merge of edits, field by field: pure, without a clock, a request or a file.

`merge` decides on an edit, `value.read` reads one, `settled` says what a write came to, `states` is the life of an
edit as a table. docs/decisions/0010-merging-by-field.md says why it is so.
"""

from onepipe.merge import states, value
from onepipe.merge.compare import changes, same
from onepipe.merge.fields import merge, merge_delete, merge_new, seen
from onepipe.merge.members import Step, steps
from onepipe.merge.scale import Fitted, Refused, Scale, fit
from onepipe.merge.settle import Settled, settled
from onepipe.merge.words import (
    CLEAR,
    MISSING,
    PLAIN,
    Decision,
    FieldMerge,
    Habits,
    Merged,
    Policy,
    Record,
    Verdict,
    value_of,
)

__all__ = [
    "CLEAR",
    "MISSING",
    "PLAIN",
    "Decision",
    "FieldMerge",
    "Fitted",
    "Habits",
    "Merged",
    "Policy",
    "Record",
    "Refused",
    "Scale",
    "Settled",
    "Step",
    "Verdict",
    "changes",
    "fit",
    "merge",
    "merge_delete",
    "merge_new",
    "same",
    "seen",
    "settled",
    "states",
    "steps",
    "value",
    "value_of",
]
