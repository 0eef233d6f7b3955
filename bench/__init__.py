"""The bench: Paramedic beside a bare Temporal program, on the same server, under the same load.

Speed in milliseconds belongs to one machine on one day; a ratio within one run does not.  So
everything is measured twice, in turns: the product, and the program that an expert would write
with Temporal and nothing else.  README.md defines every number.
"""

from __future__ import annotations
