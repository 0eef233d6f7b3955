"""What the engine needs of the world, as abstract classes."""

from __future__ import annotations
