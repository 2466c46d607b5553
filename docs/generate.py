"""Fills in what the docs take from the code: `python docs/generate.py`, or `--check` to only look.

A page says where by a pair of comments, and everything between them is written here:

    <!-- generated: options -->
    <!-- end -->

`generated: output LINES meshproof COMMAND ...` is what that command prints: `all` of it, or so many
lines and the last two. It runs in a folder with the page's YAML blocks, each in the file that its
`title="NAME"` names.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import os
import re
import subprocess
import sys
import tempfile
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any

from meshproof import cli
from meshproof.base import errors
from meshproof.base.clues import Clue
from meshproof.base.place import Place
from meshproof.mesh.protocol import Served
from meshproof.options import table
from meshproof.rules import judge_options
from meshproof.run.cause import Cause
from meshproof.run.failure import Failure
from meshproof.run.record import Check, Outcome, Result, Run
from meshproof.run.remark import Remark
from meshproof.verdict import Settings, Verdict, WrongSplit
from meshproof.verdict.settings import Origin

DOCS = Path(__file__).parent
#: Groups of options, and their headings.
_GROUP_TITLES = {
    "run": "The run",
    "cluster": "The cluster",
    "judge": "The judge",
    "command": "Of one command",
}
#: In the order in which people meet them.
COMMANDS = (
    *("test", "plan", "explain", "intent", "compare", "try", "lint", "convert", "smoke"),
    *("rbac", "cleanup", "images", "istiod", "mesh", "judge", "report", "completion"),
)
RECORDS = (
    *(Run, Result, Failure, Cause, Clue, Place, Remark, Check, Served, Verdict, Settings, Origin),
    WrongSplit,
)

_NO_ROW = (argparse._HelpAction, argparse._SubParsersAction)
_BLOCK = re.compile(
    r"^(?P<begin><!-- generated: (?P<what>.+?) -->)\n.*?^(?P<end><!-- end -->)$", re.M | re.S
)
_FILE = re.compile(r'^```yaml title="(?P<name>[\w./-]+)"\n(?P<text>.*?)^```$', re.M | re.S)


def escape(text: str) -> str:
    """Return text as Markdown that shows it letter by letter; `code` stays code."""
    parts = re.split(r"(`[^`]*`)", " ".join(text.split()))
    plain = [re.sub(r"([*_])", r"\\\1", part).replace("<", "&lt;") for part in parts[::2]]
    return "".join(part for pair in zip(plain, [*parts[1::2], ""], strict=True) for part in pair)


def render_table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    names = list(header)
    cells = ([cell.replace("|", r"\|") for cell in row] for row in rows)
    lines = [names, ["---"] * len(names), *cells]
    return "\n".join(f"| {' | '.join(line)} |".replace("  ", " ") for line in lines)


def render_options() -> str:
    """Return the table of options, one Markdown table for each group."""
    parts = []
    for group, heading in _GROUP_TITLES.items():
        rows = [_render_option(option) for option in table.OPTIONS if option.group == group]
        header = ("option", "value", "default", "for", "variable", "")
        parts += [f"## {heading}", render_table(header, rows)]
    return "\n\n".join(parts)


def _render_option(option: table.Option) -> tuple[str, ...]:
    takers = [taker for taker in option.commands if taker in table.TAKERS]
    return (
        f"`{option.name}`" + (", may be repeated" if option.is_repeatable else ""),
        escape(option.kind.expected or f"`{option.kind.metavar}`"),
        escape(option.describe_default()),
        escape(", ".join(takers) or "rules"),
        escape(", ".join(_list_variables(option))),
        escape(option.help),
    )


def _list_variables(option: table.Option) -> list[str]:
    """Return the variables of an option; none where only the command line gives it."""
    variables = [*option.variables, option.hidden_by] if option.is_setting else []
    return [f"`{variable}`" for variable in variables if variable]


def render_commands() -> str:
    """Return every command with its arguments and options."""
    parts: list[str] = []
    for name in COMMANDS:
        action = _find_subparsers(cli._build_parser(name))
        parts += _render_command(action, name, "##")
    return "\n\n".join(parts)


def _render_command(subparsers: Any, name: str, level: str) -> Iterator[str]:
    parser = subparsers.choices[name]
    summary = next(action.help for action in subparsers._choices_actions if action.dest == name)
    yield f"{level} `{parser.prog}`"
    yield escape(parser.description or _to_sentence(summary or ""))
    actions = [action for action in parser._actions if not isinstance(action, _NO_ROW)]
    if actions:
        rows = [_render_action(parser, action) for action in actions]
        yield render_table(("argument", ""), rows)
    if parser.epilog:
        yield escape(parser.epilog)
    if nested := _find_subparsers(parser):
        for choice in nested.choices:
            yield from _render_command(nested, choice, f"{level}#")


def _to_sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _find_subparsers(parser: argparse.ArgumentParser) -> Any:
    """Return the action that has the commands below a parser, None where it has none."""
    return next((action for action in parser._actions if isinstance(action, _NO_ROW[1])), None)


def _render_action(parser: argparse.ArgumentParser, action: argparse.Action) -> tuple[str, str]:
    metavar = action.metavar or (action.dest.upper() if action.nargs != 0 else "")
    if action.choices:
        metavar = ", ".join(str(choice) for choice in action.choices)
    if not action.option_strings:
        name = f"{metavar} ..." if action.nargs == "*" else f"{metavar}"
    else:
        name = f"{', '.join(action.option_strings)} {metavar}".strip()
    text = parser._get_formatter()._expand_help(action) if action.help else ""
    return f"`{name}`", escape(text)


def render_exit_codes() -> str:
    """Return the exit codes, and which counts where several hold."""
    rows = [(f"{code}", meaning) for code, meaning in errors.EXIT_CODES.items()]
    order = ", ".join(f"{code}" for code in errors.PRECEDENCE)
    return (
        f"{render_table(('exit code', ''), rows)}\n\n"
        f"Where several hold, the first of these counts: {order}."
    )


def render_report_fields() -> str:
    """Return the fields of `run.json`, one table for each object in it."""
    parts = [f"Outcomes: {', '.join(f'`{outcome}`' for outcome in Outcome)}."]
    for record in RECORDS:
        text = inspect.cleandoc(record.__doc__ or "")
        rows = [
            [f"`{field.name}`", f"`{field.type}`", _describe_field(text, field)]
            for field in dataclasses.fields(record)
        ]
        parts += [f"## {record.__name__}", escape(text.partition("\n\n")[0])]
        width = 3 if any(description for *_, description in rows) else 2
        if width == 2:
            parts += [escape(paragraph) for paragraph in text.split("\n\n")[1:]]
        parts.append(render_table(("field", "type", "")[:width], (row[:width] for row in rows)))
    return "\n\n".join(parts)


def _describe_field(docstring: str, field: dataclasses.Field[Any]) -> str:
    """Return what a docstring with lines of `name: text` says of a field."""
    lines = re.split(r"(?:^|(?<=\. ))(?=\w+(?:, \w+)*: )", docstring, flags=re.M)
    for entry in lines:
        names, colon, text = entry.partition(": ")
        if colon and field.name in names.split(", "):
            return escape(text.partition("\n\n")[0])
    return ""


def render_annotations() -> str:
    """Return the limits that a rule may set for itself, with their ranges."""
    rows = [
        (f"`{judge_options.ANNOTATION_PREFIX}{name}`", escape(description))
        for name, description in judge_options.describe_ranges().items()
    ]
    kinds = ", ".join(judge_options.ROUTING_KINDS)
    return f"{render_table(('annotation', 'value'), rows)}\n\nKinds that may have them: {kinds}."


def write_files(page: str, folder: Path) -> list[Path]:
    """Write the YAML blocks of a page that have a file name; return their paths."""
    paths = []
    for file in _FILE.finditer(page):
        path = folder / file["name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file["text"], encoding="utf-8")
        paths.append(path)
    return paths


def render_output(page: str, most_lines: str, command: str) -> str:
    """Return a command and what it prints of the YAML blocks of a page."""
    with tempfile.TemporaryDirectory() as folder:
        write_files(page, Path(folder))
        lines = _run(command.split()[1:], folder).rstrip().splitlines()
    if most_lines != "all" and len(lines) > int(most_lines) + 2:
        lines[int(most_lines) : -2] = ["..."]
    return "\n".join(("```text", f"$ {command}", *lines, "```"))


def _run(arguments: list[str], folder: str) -> str:
    """Return what a command prints. Raises RuntimeError where it ends by an internal error."""
    ended = subprocess.run(
        [sys.executable, "-m", "meshproof", *arguments],
        cwd=folder,
        env={**os.environ, "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ended.returncode == errors.EXIT_INTERNAL:
        raise RuntimeError(ended.stdout)
    return ended.stdout


def render_wrong_servings() -> str:
    """Return what tests/faults serves wrongly for each field of the model, and what comes of it."""
    sys.path.insert(0, str(DOCS.parent))
    from tests.faults.liar.wrong_servings import NOT_SERVED, WRONG_SERVINGS

    rows = [
        (f"`{wrong.field}`", escape(wrong.name), escape(wrong.unseen) or "red")
        for wrong in WRONG_SERVINGS.values()
    ]
    others = [(f"`{field}`", "", escape(reason)) for field, reason in NOT_SERVED.items()]
    return render_table(("field", "wrong serving", "seen"), [*sorted(rows), *sorted(others)])


def build_run_schema() -> dict[str, Any]:
    """Return the JSON Schema of run.json, made from the types of its records."""
    definitions = {record.__name__: _build_record_schema(record) for record in RECORDS}
    run = definitions.pop("Run")
    computed = {"outcome": {"enum": list(Outcome)}, "exit_code": {"enum": list(errors.EXIT_CODES)}}
    run["properties"] = computed | run["properties"]
    run["required"] += list(computed)
    definitions["Verdict"]["properties"]["format"] = {"type": "string"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "run.json of meshproof",
        **run,
        "$defs": definitions,
    }


def _build_record_schema(record: type[Any]) -> dict[str, Any]:
    """Return the schema of one record: an object with all of its fields and no other."""
    hints = typing.get_type_hints(record)
    properties = {field.name: _build_schema(hints[field.name]) for field in fields(record)}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _build_schema(hint: Any) -> dict[str, Any]:
    """Return the schema of a type. Infinity is a word, as JSON has no number for it."""
    arguments = typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return {"$ref": f"#/$defs/{getattr(hint, '__name__', '')}"}
    if type(None) in arguments:
        others = [_build_schema(argument) for argument in arguments if argument is not type(None)]
        return {"anyOf": [*others, {"type": "null"}]}
    if arguments and issubclass(typing.get_origin(hint), Mapping):
        return {"type": "object", "additionalProperties": _build_schema(arguments[1])}
    if arguments:
        return {"type": "array", "items": _build_schema(arguments[0])}
    if issubclass(hint, Enum):
        return {"enum": list(hint)}
    if hint is float:
        return {"anyOf": [{"type": "number"}, {"enum": ["inf", "-inf", "nan"]}]}
    return {"type": {str: "string", int: "integer", bool: "boolean"}[hint]}


RENDERERS: dict[str, Callable[[], str]] = {
    "options": render_options,
    "commands": render_commands,
    "exit codes": render_exit_codes,
    "report fields": render_report_fields,
    "annotations": render_annotations,
    "wrong servings": render_wrong_servings,
}


def fill(page: str) -> str:
    """Return a page with every generated block as the code has it now."""

    def replace(block: re.Match[str]) -> str:
        kind, _, rest = block["what"].partition(" ")
        if kind == "output":
            lines, _, command = rest.partition(" ")
            text = render_output(page, lines, command)
        else:
            text = RENDERERS[block["what"]]()
        return f"{block['begin']}\n\n{text}\n\n{block['end']}"

    return _BLOCK.sub(replace, page)


def list_generated_pages() -> list[Path]:
    """Return the pages that have a generated block."""
    pages = sorted(DOCS.rglob("*.md"))
    return [page for page in pages if _BLOCK.search(page.read_text(encoding="utf-8"))]


def main() -> int:
    """Write every page and the schema anew, or say with --check which of them are stale."""
    check = "--check" in sys.argv[1:]
    stale = 0
    schema = f"{json.dumps(build_run_schema(), indent=2)}\n"
    files = [(page, fill(page.read_text(encoding="utf-8"))) for page in list_generated_pages()]
    for page, filled in [*files, (DOCS / "reference" / "run.schema.json", schema)]:
        text = page.read_text(encoding="utf-8") if page.exists() else ""
        if filled == text:
            continue
        stale += 1
        sys.stdout.write(f"{page.relative_to(DOCS)} {'is stale' if check else 'written'}\n")
        if not check:
            page.parent.mkdir(exist_ok=True)
            page.write_text(filled, encoding="utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
