"""All methods that the practice workspace knows, by name.  Everything else is `unknown_method`."""

from __future__ import annotations

from collections.abc import Mapping

from bot.practice.methods import chat, conversations, files, people, views
from bot.practice.methods.call import Method

METHODS: Mapping[str, Method] = {
    **chat.METHODS,
    **views.METHODS,
    **people.METHODS,
    **conversations.METHODS,
    **files.METHODS,
}

APP_TOKEN_METHODS = frozenset({"apps.connections.open"})
"""Methods that take the app token (`xapp-`), and no other."""
