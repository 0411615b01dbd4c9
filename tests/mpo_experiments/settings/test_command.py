"""Commands that are written down, and read again."""

import shlex

import pytest

from mpo_experiments.settings.command import read_command, written_command


def test_a_command_has_an_option_a_setting():
    options = {
        "task": "ant", "data": ("base", "mixed:0.75"), "tuning_units": 3, "bin_width": 0.1, "tuned_from": None,
        "set": ["a=1", "b=x y"], "only_tables": True, "dry_run": False, "more": [],
    }  # fmt: skip
    command = written_command("benchmark", options)
    assert command == (
        "mpo benchmark --task ant --data base,mixed:0.75 --tuning-units 3 --bin-width 0.1 --set a=1 --set 'b=x y' "
        "--only-tables"
    )
    assert shlex.split(command)[-2:] == ["b=x y", "--only-tables"]
    assert written_command("agents train", {"steps": 20}) == "mpo agents train --steps 20"


def test_a_written_command_is_read_again():
    text = "mpo benchmark --objectives sft,./my folder/found --units 20 --tuned-from 'a b' --transfer"
    assert read_command(text, "benchmark") == {
        "objectives": "sft,./my folder/found", "units": "20", "tuned_from": "a b", "transfer": "",
    }  # fmt: skip


@pytest.mark.parametrize("text", ["", "mpo tune --task ant", "mpo benchmark --task 'ant", "python -c 1"])
def test_other_texts_are_no_such_command(text):
    assert read_command(text, "benchmark") is None
