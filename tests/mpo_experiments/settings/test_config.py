"""Configurations: layers, presets, and one sentence for what cannot be."""

import contextlib
import json

import pytest

from mpo_experiments.settings.listed import named
from mpo_experiments.settings.nested import parse_override
from mpo_experiments.settings.presets import PRESETS, task_preset
from mpo_experiments.settings.run_config import RunConfig, build_config, build_run, check_overrides, read_config_file
from mpo_experiments.tasks.registry import task_names


def refusal(*layers) -> str:
    with pytest.raises(ValueError, match=r"\w") as refused:
        build_run(*layers)
    assert type(refused.value) is ValueError
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("hopper", ["hopper"]),
        ("base,pairs:oo=0.5,ot=0.3,tt=0.2", ["base", "pairs:oo=0.5,ot=0.3,tt=0.2"]),
        (["ant", "hopper"], ["ant", "hopper"]),
        (None, []),
    ],
)
def test_a_card_names_tasks_and_kinds_of_data(value, names):
    assert named(value) == names


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        ("learning_rate=0.9", "learning_rate: has no effect on strategy 'snes'"),
        ("sigma_decay=0.1", "sigma_decay: has no effect on strategy 'snes'"),
        ("sigma=0.1", None),
    ],
)
def test_settings_that_a_strategy_does_not_take_are_refused_where_they_are_asked_for(given, refused):
    layer = parse_override(f"strategy.{given}")
    config = build_run({"task": "ant"}, layer)  # a file of an earlier run may have them
    with pytest.raises(ValueError, match=f"--set strategy.{refused}") if refused else contextlib.nullcontext():
        check_overrides([layer], config.strategy)


@pytest.mark.parametrize("task", task_names())
@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_valid_and_honoured(task, preset):
    config = build_config({"task": task, "preset": preset})
    dumped = config.model_dump(mode="json")
    for group, settings in PRESETS[preset].items():
        of_task = task_preset(preset, task).get(group, {})
        for name, value in (settings | of_task).items():
            assert dumped[group][name] == value or isinstance(value, dict)
    assert build_config(dumped) == config
    run = build_run({"task": task, "preset": preset})
    assert build_run(run.model_dump(mode="json")) == run
    assert run.cells() == [config]


def test_later_layers_win():
    file = {"task": "ant", "preset": "smoke", "search": {"generations": 7, "episodes": 3}, "seed": 1}
    options = {"search": {"generations": 9}, "seed": 2}
    override = parse_override("search.generations=11")
    assert build_config(file).search.horizon == PRESETS["smoke"]["search"]["horizon"]
    assert build_config(file).search.generations == 7
    assert build_config(file, options).search.generations == 9
    config = build_config(file, options, override)
    assert (config.search.generations, config.search.episodes, config.seed) == (11, 3, 2)
    assert config.strategy.population == PRESETS["smoke"]["strategy"]["population"]


def test_the_default_preset_is_quick_and_a_later_layer_may_choose_another():
    assert build_config({"task": "ant"}).preset == "quick"
    config = build_config({"task": "ant", "preset": "paper"}, {"preset": "smoke"})
    assert config.search.generations == PRESETS["smoke"]["search"]["generations"]


def test_values_are_canonical():
    assert build_config({"task": "ant", "data": "noisy:.10+mixed:0.750"}).data == "mixed:0.75+noisy:0.1"


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        ({"sead": 1}, "unknown setting 'sead': did you mean 'seed'"),
        ({"search": {"generatons": 3}}, "unknown search setting 'generatons': did you mean 'generations'"),
        ({"strategy": {"sigma_dekay": 3}}, "did you mean 'sigma_decay'"),
        ({"inner": {"epoch": 3}}, "unknown inner setting 'epoch': did you mean 'epochs'"),
        ({"rows": {"lenght": 3}}, "did you mean 'length'"),
        ({"report": {"unit": 3}}, "did you mean 'units'"),
        ({"report": {"evaluation": {"horizn": 3}}}, "report.evaluation setting 'horizn': did you mean 'horizon'"),
    ],
)
def test_unknown_settings_are_told_the_nearest(layer, says):
    assert says in refusal({"task": "ant"}, layer)


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        ({"task": "nosuch"}, "unknown task 'nosuch'"),
        ({"data": "mixed:2"}, "takes a share between 0 and 1, not 2"),
        ({"preset": "quik"}, "unknown preset 'quik': did you mean 'quick'"),
        ({"preset": ["quick"]}, "unknown preset"),
        ({"strategy": {"name": "nosuch"}}, "unknown strategy 'nosuch'"),
        ({"strategy": {"name": "openes", "population": 7}}, "population 7 is odd"),
        ({"strategy": {"sigma": -1}}, "must be positive"),
        ({"inner": {"minibatch": True}}, "'inner.minibatch': is true or false, but must be a number or a name"),
        ({"seed": True}, "'seed': is true or false, but must be a number"),
        ({"per_task": {"ant": {"search": {"horizon": True}}}}, "'search.horizon': is true or false"),
        ({"strategy": {"sigma": True}}, "'strategy.sigma': is true or false"),
        ({"search": {"generations": "many"}}, "'search.generations': input should be a valid integer"),
        ({"search": 3}, "'search': "),
        ({"search": {"generations": 0}}, "generations must be at least 1, not 0"),
        ({"search": {"networks": False, "scale": 0.0}}, "scale must be from 0.001 to 1000, not 0"),
        ({"seed": -1}, "'seed': input should be greater than or equal to 0"),
        ({"temporal": "perhaps"}, "'temporal': input should be a valid boolean"),
        ({"inner": {"sft_epochs": 13}}, "0 <= sft_epochs <= 12, not 13"),
        ({"inner": {"minibatch": 0}}, "must be positive"),
        ({"rows": {"count": 1}}, "count must be >= 2"),
        ({"rows": {"count": 4000}}, "must be at least rows.count (4000)"),
        ({"report": {"units": 1}}, "'report.units': input should be greater than or equal to 2"),
        ({"report": {"evaluation": {"episodes": 0}}}, "episodes and horizon must be positive"),
        ({"schema_version": 3}, "'schema_version'"),
    ],
)
def test_wrong_values_are_refused_in_one_sentence(layer, says):
    assert says in refusal({"task": "ant"}, layer)


def test_a_task_must_be_named():
    assert refusal({}).startswith("'task' is not given")


@pytest.mark.parametrize("suffix", [".yaml", ".json", ""])
def test_yaml_and_json_are_read_alike(tmp_path, suffix):
    path = tmp_path / f"settings{suffix}"
    config = build_config({"task": "ant", "preset": "smoke"})
    path.write_text(json.dumps(config.model_dump(mode="json") | {"provenance": {"seen": 1}}))
    assert build_config(read_config_file(path)) == config


def test_yaml_is_read(tmp_path):
    path = tmp_path / "settings.yml"
    path.write_text("task: ant\ninner:\n  learning_rate: 1e-3\n  epochs: 2\n")
    config = build_config(read_config_file(path))
    assert (config.inner.epochs, config.inner.learning_rate) == (2, 1e-3)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.json", b"{", "is not valid JSON"),
        ("a.yaml", b"task: ant\nrows: [1", "is not valid YAML at line"),
        ("a", b"a: b: c", "is not valid YAML at line 1"),
        ("a.yaml", b"just text", "must hold settings by name"),
        ("a.json", b"[]", "must hold settings by name"),
        ("a.yaml", b"", "must hold settings by name"),
        ("a.yaml", b"\xff\xfe\xfa", "cannot be read (not text)"),
        ("a.yaml", b"task: \x07", "is not valid YAML"),
        ("a.yaml", b"seed: 2026-99-99", "is not valid YAML"),
    ],
)
def test_garbage_is_refused_in_one_sentence(tmp_path, name, content, says):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"^config file") as refused:
        read_config_file(path)
    assert says in str(refused.value)
    assert str(refused.value).startswith(f"config file {path}: ")
    assert "\n" not in str(refused.value)


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(ValueError, match="No such file"):
        read_config_file(tmp_path / "none.yaml")
    with pytest.raises(ValueError, match="Is a directory"):
        read_config_file(tmp_path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("seed=3", {"seed": 3}),
        ("search.datasets=2", {"search": {"datasets": 2}}),
        ("report.evaluation.episodes=8", {"report": {"evaluation": {"episodes": 8}}}),
        ("temporal=false", {"temporal": False}),
        ("init=dpo:beta=0.3", {"init": "dpo:beta=0.3"}),
    ],
)
def test_overrides_nest(text, value):
    assert parse_override(text) == value


@pytest.mark.parametrize("text", ["seed", "=3", "search..x=1", ".seed=1", "seed=[1", "seed=2026-99-99"])
def test_bad_overrides_are_refused(text):
    with pytest.raises(ValueError, match=r"--set "):
        parse_override(text)


def test_numbers_written_as_powers_of_ten_are_numbers():
    config = build_config({"task": "ant"}, parse_override("inner.learning_rate=1e-4"))
    assert config.inner.learning_rate == 1e-4


def test_a_configuration_is_a_value():
    config = build_run({"task": "ant"})
    assert config == RunConfig.model_validate(config.model_dump())
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 3


def test_a_minibatch_larger_than_the_data_is_refused():
    assert "inner.minibatch (16)" in refusal({"task": "ant", "preset": "smoke", "inner": {"minibatch": 16}})
