"""``python -m trainmon.cli``: the same as ``trainmon``, with an interpreter of one's choice."""

from __future__ import annotations

from trainmon.cli import main

main(prog_name="trainmon")
