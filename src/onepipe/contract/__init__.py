"""The connector contract suite: runs one connector file against a hostile server and says which promises hold.

It ships with onepipe, for connectors that others write. A connector is run against a fake CRM (`rig`) through a server
that notes each request and spoils answers (`hostile`, `spoils`); the promises are in `lists`, `singles` and
`trouble`, `suite` runs them.
"""

from onepipe.contract.rig import Asked, Rig, Told, rig_beside
from onepipe.contract.suite import Check, Result, every_check, run, score

__all__ = ["Asked", "Check", "Result", "Rig", "Told", "every_check", "rig_beside", "run", "score"]
