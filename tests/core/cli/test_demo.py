"""``trainmon demo``: what it refuses before it starts anything."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from trainmon.cli import main
from trainmon.demo.__main__ import main as train


def test_a_log_that_cannot_be_written_is_told(tmp_path, capsys):
    """The file and the reason, as a usage error, by the demo and by its training alone."""
    log = str(tmp_path / "missing" / "losses")
    told = CliRunner().invoke(main, ["demo", "--log", log], prog_name="trainmon")
    assert told.exit_code == 2
    assert told.stdout == ""
    assert f"--log {log} cannot be written: No such file or directory" in told.stderr
    with pytest.raises(SystemExit) as end:
        train(["--log", log, "--epochs", "1"])
    assert end.value.code == 2
    assert f"--log {log} cannot be written: No such file or directory" in capsys.readouterr().err
