"""The table of options: it says the same as the engine, and every taker has its options from it."""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

from meshproof import cli
from meshproof.mesh.protocol import MESHES, ClusterOptions, Provider
from meshproof.options import table
from meshproof.options.kinds import Choice, Flag, Kind, Number, Text, Whole
from meshproof.options.sources import read_run_options
from meshproof.options.table import OPTIONS, RUN_OPTIONS, Option, RunOptions
from meshproof.rules.judge_options import list_option_names
from meshproof.rules.model import MtlsMode
from meshproof.verdict import PROFILES, Settings

#: Options as they were before there was a table: each goes on working.
OLD_RUN_OPTIONS = (
    "mesh rules mtls port envoy istiod addon require-addon report format kubeconfig context "
    "istio-namespace smoke sandbox revision injection way-in ingress gateway-url image-map "
    "namespace-label image-prefix provider provider-config provider-version install "
    "install-revision install-hub install-tag install-set profile alpha beta tolerance leak budget "
    "workers clients fresh-connections"
)
OLD_COMMAND_OPTIONS = {
    "test": "--mesh --context --kubeconfig --provider --rules --report",
    "smoke": "--context --kubeconfig --rules-from --most-workloads --istio-namespace --revision "
    "--ingress --gateway-url --image-prefix --image-map --namespace-label --report "
    "--mesh-istio-namespace --mesh-revision --mesh-ingress --mesh-gateway-url "
    "--mesh-image-prefix --mesh-image-map --mesh-namespace-label",
    "rbac": "--for --namespace --rules-from --without-policy --cronjob --image --schedule "
    "--istio-namespace --mesh-namespace-label --gateway-url",
    "judge": "--expect --plan --replay --profile --tolerance --leak --alpha --beta --look-every "
    "--budget --no-independence -o --output",
    "cleanup": "--context --kubeconfig",
    "plan": "--profile",
}


def get_option(name: str) -> Option:
    (option,) = (option for option in OPTIONS if option.name == name)
    return option


def list_flags(command: str) -> set[str]:
    (commands,) = (
        action
        for action in cli._build_parser(command)._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return {flag for action in commands.choices[command]._actions for flag in action.option_strings}


def test_every_option_that_pytest_had_is_there() -> None:
    assert {option.name for option in RUN_OPTIONS} >= set(OLD_RUN_OPTIONS.split())


@pytest.mark.parametrize("command", OLD_COMMAND_OPTIONS)
def test_every_option_that_a_command_had_is_there(command: str) -> None:
    assert set(OLD_COMMAND_OPTIONS[command].split()) <= list_flags(command)


def test_every_option_of_a_run_has_both_spellings_in_test() -> None:
    flags = list_flags("test")
    for name in OLD_RUN_OPTIONS.split():
        assert f"--{name}" in flags
        assert name == "mesh" or f"--mesh-{name}" in flags


def test_names_are_unique() -> None:
    for names in ([option.name for option in OPTIONS], [option.attribute for option in OPTIONS]):
        assert len(set(names)) == len(names)


def test_who_takes_an_option_is_somebody() -> None:
    for option in OPTIONS:
        assert set(option.commands) <= {*table.TAKERS, "rule"}
        assert set(option.command_line_only) <= set(table.TAKERS)
        assert option.group in table.GROUPS


def test_choices_are_those_of_the_engine() -> None:
    mesh, mtls, profile = (get_option(name).kind for name in ("mesh", "mtls", "profile"))
    assert isinstance(mesh, Choice)
    assert set(mesh.choices) == set(MESHES)
    assert isinstance(mtls, Choice)
    assert {choice.upper() for choice in mtls.choices} == set(get_args(MtlsMode))
    assert isinstance(profile, Choice)
    assert set(profile.choices) == set(PROFILES)


def test_defaults_are_those_of_the_engine() -> None:
    options = RunOptions()
    assert options.istio_namespace == ClusterOptions().istio_namespace
    assert options.ingress == ClusterOptions().ingress
    assert options.injection == ClusterOptions().injection
    assert get_option("provider-version").default_text == Provider.version
    assert get_option("look-every").default_text == str(Settings().look_every)
    assert get_option("beta").default_text == f"{Settings().beta:g}"
    gate, nightly = PROFILES["gate"], PROFILES["nightly"]
    leak_text = f"of the profile: {gate.leak:g}, nightly {nightly.leak:g}"
    assert get_option("leak").default_text == leak_text
    tolerance_text = get_option("tolerance").default_text or ""
    assert tolerance_text.endswith(f"at most {gate.tolerance:g}, nightly {nightly.tolerance:g}")


def test_defaults_are_in_their_range() -> None:
    for option in OPTIONS:
        if isinstance(option.kind, (Whole, Number)) and option.default is not None:
            assert isinstance(option.default, (int, float))
            assert option.kind.contains(option.default), option.name


def test_a_value_has_the_type_of_its_field() -> None:
    types: dict[type[Kind], str] = {Whole: "int", Number: "float", Flag: "bool"}
    for field in fields(RunOptions):
        if option := field.metadata.get("option"):
            name = types.get(type(option.kind), "str")
            expected = f"tuple[{name}, ...]" if option.is_repeatable else name
            assert str(field.type).removesuffix(" | None") == expected, field.name


def test_rules_set_what_the_judge_has() -> None:
    assert set(list_option_names()) <= {field.name for field in fields(Settings)}


@pytest.mark.parametrize("option", [o for o in OPTIONS if isinstance(o.kind, (Whole, Number))])
def test_no_number_is_taken_that_is_out_of_range(option: Option, tmp_path: Path) -> None:
    texts = "-1 1e300 inf -inf nan NaN 1e999 0x10 1_0 \u0661 9" + "9" * 5000
    for text in texts.split():
        with pytest.raises(ValueError, match=r"expected a .*number from"):
            option.kind.read_text(text)
    contents: tuple[object, ...] = (True, "5", None, float("nan"), float("inf"), 10**400, -1, [])
    for content in contents:
        with pytest.raises(ValueError, match=r"expected a .*number from"):
            option.kind.read_toml(content, tmp_path)


@pytest.mark.parametrize("option", [o for o in OPTIONS if isinstance(o.kind, (Whole, Number))])
def test_the_ends_of_a_range_belong_to_it(option: Option, tmp_path: Path) -> None:
    assert isinstance(option.kind, (Whole, Number))
    for number in (option.kind.lowest, option.kind.highest):
        assert option.kind.read_text(f"{number!r}") == number
        assert option.kind.read_toml(number, tmp_path) == number


def test_a_pattern_says_what_it_expects() -> None:
    for option in OPTIONS:
        if isinstance(option.kind, Text):
            assert bool(option.kind.pattern) == bool(option.kind.expected), option.name


def test_nothing_given_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = read_run_options("pytest", argparse.Namespace())
    assert options == RunOptions()
    assert not options.labels


@pytest.mark.parametrize("arguments", [["--help"], ["lint", "rules.yaml"]])
def test_a_command_without_options_of_the_table_does_not_load_it(
    arguments: list[str], tmp_path: Path
) -> None:
    (tmp_path / "rules.yaml").write_text("")
    code = (
        "import sys; from meshproof.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print([name for name in sys.modules if name.startswith('meshproof.options')])"
    )
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
