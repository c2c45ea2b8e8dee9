"""Trainings as people write them with Keras, each a function; a process runs all for one backend.

``python scripts FOLDER NAME…`` runs those named, by module or function (where none is, all but
``backups``), and writes ``facts.json``: what each says of itself. Every run is named as its
function is.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import backups  # noqa: F401 - it adds its scripts
import fits  # noqa: F401
import gan  # noqa: F401
import keras
import samples  # noqa: F401
import steps  # noqa: F401
from kit import SCRIPTS


def main() -> None:
    """Run the scripts named, or all."""
    logging.basicConfig(level=logging.INFO, format="%(name)s %(message)s")
    logging.getLogger("jax").setLevel(logging.ERROR)
    folder, wanted = Path(sys.argv[1]), sys.argv[2:] or ["fits", "gan", "samples", "steps"]
    names = [each for each in SCRIPTS if {each, SCRIPTS[each].__module__} & {*wanted}]
    os.chdir(folder)
    facts: dict[str, Any] = {}
    for name in names:
        keras.utils.set_random_seed(1)
        sys.stderr.write(f"--- {name}\n")
        try:
            facts[name] = {"told": SCRIPTS[name]()}
        except Exception:  # noqa: BLE001 - told to the test, which fails
            facts[name] = {"error": traceback.format_exc()}
            traceback.print_exc()
    (folder / "facts.json").write_text(json.dumps(facts, default=float))


if __name__ == "__main__":
    main()
