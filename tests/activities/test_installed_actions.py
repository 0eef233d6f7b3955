"""What this installation offers, as others see it."""

from __future__ import annotations

import pytest

from activities.actions import Registry
from runbooks.model.action import ActionClass, Effect

OWN = {
    "alert.resolved": (Effect.READ, ActionClass.IDEMPOTENT),
    "http.check": (Effect.READ, ActionClass.IDEMPOTENT),
    "http.request": (Effect.WRITE, ActionClass.KEYED),
    "prometheus.query": (Effect.READ, ActionClass.IDEMPOTENT),
    "slack.escalate": (Effect.TELL, ActionClass.IDEMPOTENT),
    "ssh.run": (Effect.DESTRUCTIVE, ActionClass.KEYED),
    "supervisor.restart": (Effect.DESTRUCTIVE, ActionClass.PROBED),
}


def test_our_own_actions_are_found():
    """
    Names, effects and classes stand in histories and records: they never change.
    """
    found = {
        name: (action.declaration.effect, action.declaration.kind)
        for name, action in Registry.installed().items()
    }

    assert OWN.items() <= found.items()


@pytest.mark.parametrize("name", OWN)
def test_parameters_are_frozen_closed_and_explained(name):
    """
    A misspelt parameter is an error, and each has a description or a closed set of values.
    """
    model = Registry.installed()[name].declaration.parameters

    assert model.model_config["extra"] == "forbid"
    assert model.model_config["frozen"] is True
    for field, schema in model.model_json_schema()["properties"].items():
        assert schema.get("description") or schema.get("enum"), field
