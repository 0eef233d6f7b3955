"""The Web API of the practice workspace: one module for each family of methods."""

from __future__ import annotations
