"""The fault suite: a whole installation is hurt in every way that we know, and a judge counts what came of it.

`make chaos` runs it.  What an operator is promised stands in docs/guarantees.md; what is measured here
is whether the promise holds.  Three parts do not know each other:

- the *houses* (`house`, `bare_house`): real processes, real Temporal, real targets, a sender that
  repeats until it is answered with 2xx;
- the *faults* (`crashes`, `surroundings`, `people`): short entries that say how a house is hurt;
- the *judge* (`judge`): it reads the target's own effects, the ledger and the sender's log, and nothing else.

The product carries no hook for any of this: `nursery` runs it inside an interpreter of its own and
puts interceptors beside the guard, by Temporal's own means.
"""

from __future__ import annotations
