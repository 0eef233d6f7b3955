"""What to do about an alert: values, the runbook language, rules, and the engine.

Nothing in here touches the world: no network, no files, no clock, no environment, no
randomness.  Temporal replays the engine after a crash, so purity is what keeps a paused
remediation alive across a deploy, and it makes the heart of the product testable in
milliseconds.  Arrows inside: engine > ports > policy > language > model > errors.
"""

from __future__ import annotations
