"""``python -m trainmon.demo``: the training of ``trainmon demo`` by itself."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from trainmon.demo.digits import Options, train


def main(arguments: list[str] | None = None) -> int:
    """Train as told on the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m trainmon.demo", description=__doc__)
    for field in fields(Options):
        name = f"--{field.name.replace('_', '-')}"
        parser.add_argument(name, type=type(field.default), default=field.default)
    parser.add_argument("--log", type=Path, help="write each loss as a hexadecimal float")
    parser.add_argument("--alone", action="store_true", help="train without trainmon")
    given = vars(parser.parse_args(arguments))
    log, alone = given.pop("log"), given.pop("alone")
    if log is not None:
        try:
            log.open("a").close()
        except OSError as error:
            parser.error(f"--log {log} cannot be written: {error.strerror or error}")
    try:
        accuracy = train(Options(**given), shown=not alone, log=log)
    except ModuleNotFoundError as error:
        if error.name != "sklearn":
            raise
        print("the demo needs scikit-learn: pip install 'trainmon[demo]'", file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)  # noqa: T201
        return 130
    if accuracy is not None:
        print(f"validation accuracy: {accuracy:.1%}")  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
