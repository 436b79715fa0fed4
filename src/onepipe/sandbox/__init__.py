"""Five simulated CRMs as one loopback server: real paging, filters, errors and habits, and faults on demand.

with Sandbox(rows=60, seed=7) as sandbox:
    sandbox.urls["capsule"], sandbox.credentials["capsule"]
    crm = sandbox["capsule"]
    crm.records, crm.insert(...), crm.update(id, ...), crm.delete(id)
    crm.log, crm.clock, crm.options, crm.faults
"""

from onepipe.sandbox.crm import Crm, Options, Seen
from onepipe.sandbox.faults import Fault, Faults
from onepipe.sandbox.server import CRMS, Sandbox, serve
from onepipe.sandbox.wire import Answer, Call

__all__ = ["CRMS", "Answer", "Call", "Crm", "Fault", "Faults", "Options", "Sandbox", "Seen", "serve"]
