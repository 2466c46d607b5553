"""Whatever is thrown at it: documents, hits with a place, never a traceback."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshproof.documents.manifest import STDIN, STDIN_NAME
from meshproof.documents.sources import MAX_BYTES, SourceFiles, read_sources
from meshproof.lint import lint

GOOD = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: NAME
spec:
  host: NAME
"""
Put = Callable[[str, str | bytes], str]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Write a file below the test's folder and return its name."""

    def write(name: str, content: str | bytes) -> str:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(file)

    return write


def format_rule(name: str) -> str:
    return GOOD.replace("NAME", name)


def names(reading: SourceFiles) -> list[str]:
    return [document.name for document in reading.documents]


def list_hits(reading: SourceFiles) -> list[tuple[int, str]]:
    return [(hit.at.line, hit.message) for hit in reading.unreadable]


BROKEN = "apiVersion: v1\nkind: [Service\n"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_of_several_documents_the_whole_ones_are_read_with_their_lines(put: Put, end: str) -> None:
    first, second, third = map(format_rule, "abc")
    text = f"# first\n---\n{first}---\n{BROKEN}--- # third\n{second}---\n---\n{third}"
    sources = read_sources([put("a.yaml", text.replace("\n", end))])
    assert names(sources) == ["a", "b", "c"]
    assert [document.at.line for document in sources.documents] == [3, 13, 21]
    assert [document.metadata.need("name").at.line for document in sources.documents] == [
        6,
        16,
        24,
    ]
    ((line, message),) = list_hits(sources)
    assert 10 <= line <= 12
    assert "not readable as YAML" in message
    assert sources.source_lines(sources.documents[1].at.file)[15].strip() == "name: b"


def test_many_broken_documents_are_each_reported(put: Put) -> None:
    text = "".join(f"---\n{BROKEN}---\n{format_rule(f'a{index}')}" for index in range(300))
    sources = read_sources([put("a.yaml", text)])
    assert len(sources.documents) == len(sources.unreadable) == 300
    assert sources.documents[-1].at.line == text.count("\n") - 5


@pytest.mark.parametrize(
    ("text", "line", "repair"),
    [
        ("kind: A\nspec:\n\ta: 1\n", 3, "spaces instead of the tab"),
        ('kind: A\nspec:\n  regex: "a\\s"\n', 3, "single quotes"),
        ("kind: A\nspec: {{ .Values.spec }}\n", 2, "this is a template"),
        ("kind: A\nspec: a: b\n", 2, "quotes around"),
        ("kind: A\nspec:\n  - a\n b: 1\n", 4, "the same indentation"),
        ("kind: A\nkind: B\n", 2, "one of the two"),
        ("kind: A\nspec: *a\n", 2, "the anchor"),
        ('kind: A\nspec: "a\n', 2, "the quote or bracket"),
    ],
)
def test_what_is_broken_has_its_line_and_a_repair(
    put: Put, text: str, line: int, repair: str
) -> None:
    sources = read_sources([put("a.yaml", f"{format_rule('a')}---\n{text}")])
    (hit,) = sources.unreadable
    assert names(sources) == ["a"]
    assert hit.at.line in (7 + line, 8 + line)
    assert repair in hit.suggestion


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "there is no Kubernetes object in this file"),
        ("# nothing\n---\n---\n", "there is no Kubernetes object in this file"),
        ("- hosts: all\n", "expected a mapping, found a list"),
        ("just text\n", "expected a mapping"),
        ("replicas: 3\nimage: a\n", "there is no Kubernetes object in this file"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "not a text file"),
        (b"kind: A\nspec: \x00\n", "not readable as YAML"),
        (b"a" * (MAX_BYTES + 1), "20 MB is too large"),
        ("[" * 5000, "nested"),
        ("a: " + "{a: " * 5000, "nested"),
    ],
    ids=["empty", "comments", "list", "text", "values", "png", "nul", "huge", "deep", "deeper"],
)
def test_a_file_that_is_named_must_hold_an_object(
    put: Put, content: str | bytes, message: str
) -> None:
    sources = read_sources([put("a.yaml", content)])
    assert sources.documents == []
    assert message in list_hits(sources)[0][1]


def test_fifty_megabytes_are_refused_without_being_read(tmp_path: Path) -> None:
    file = tmp_path / "huge.yaml"
    with file.open("wb") as stream:
        stream.truncate(50 * 1024 * 1024)
    assert list_hits(read_sources([str(file)])) == [(1, "50 MB is too large, 20 MB are read")]


def test_aliases_do_not_explode(put: Put) -> None:
    lines = ["kind: A", "a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for index in range(1, 12):
        lines.append(f"a{index}: &a{index} [{', '.join([f'*a{index - 1}'] * 10)}]")
    sources = read_sources([put("a.yaml", "\n".join(lines))])
    assert len(sources.unreadable) == 1
    assert "alias" in list_hits(sources)[0][1]


def test_in_a_folder_yaml_that_is_no_object_is_handed_on_as_not_checked(
    put: Put, tmp_path: Path
) -> None:
    put("rules/a.yaml", format_rule("a"))
    put("values.yaml", "replicas: 3\n")
    put("playbook.yml", "- hosts: all\n")
    put("empty.yaml", "# nothing yet\n")
    put("notes.txt", "{{{{")
    put(".git/b.yaml", "{{{{")
    sources = read_sources([str(tmp_path)])
    assert sources.unreadable == []
    hits = lint(sources.documents)
    assert [(Path(hit.at.file).name, hit.code) for hit in hits] == [
        ("playbook.yml", "MP0203"),
        ("values.yaml", "MP0203"),
    ]


def test_a_folder_without_any_object_does_not_pass(put: Put, tmp_path: Path) -> None:
    put("values.yaml", "replicas: 3\n")
    message = "there is no Kubernetes object in this folder: nothing was checked"
    assert list_hits(read_sources([str(tmp_path)])) == [(1, message)]
    (tmp_path / "values.yaml").unlink()
    assert list_hits(read_sources([str(tmp_path)])) == [(1, message)]


def test_a_misspelt_object_is_one(put: Put) -> None:
    sources = read_sources([put("a.yaml", "type: route-rule\nname: a\n")])
    assert (len(sources.documents), sources.unreadable) == (1, [])
    sources = read_sources([put("b.yaml", "metadata: {name: a}\n")])
    assert (len(sources.documents), sources.unreadable) == (1, [])


def test_links_that_go_round_end(put: Put, tmp_path: Path) -> None:
    put("a/b/rule.yaml", format_rule("a"))
    (tmp_path / "a/b/up").symlink_to(tmp_path / "a")
    (tmp_path / "a/b/self").symlink_to(tmp_path / "a/b/self")
    (tmp_path / "a/again.yaml").symlink_to(tmp_path / "a/b/rule.yaml")
    (tmp_path / "a/nothing.yaml").symlink_to(tmp_path / "gone.yaml")
    sources = read_sources([str(tmp_path)])
    assert names(sources) == ["a"]
    (hit,) = sources.unreadable
    assert "No such file" in hit.message
    assert hit.at.file.endswith("nothing.yaml")


def test_a_file_that_is_named_twice_is_read_once(put: Put, tmp_path: Path) -> None:
    file = put("a.yaml", format_rule("a"))
    sources = read_sources([file, str(tmp_path), file])
    assert (names(sources), sources.unreadable) == (["a"], [])


def test_folders_with_thousands_of_files_are_read_in_order(put: Put, tmp_path: Path) -> None:
    for index in range(2000):
        put(f"{index % 10}/{index:04}.yaml", f"kind: A\nmetadata: {{name: a{index:04}}}\n")
    sources = read_sources([str(tmp_path)])
    files = [document.at.file for document in sources.documents]
    assert len(files) == 2000
    assert files == sorted(files)


def test_files_of_folders_can_be_left_out(put: Put, tmp_path: Path) -> None:
    put("rules/a.yaml", format_rule("a"))
    put("charts/x/templates/b.yaml", "{{ broken }}: [")
    put("rules/values.yaml", "replicas: 1\n")
    assert names(read_sources([str(tmp_path)], ["charts", "values.yaml"])) == ["a"]
    assert names(read_sources([str(tmp_path)], ["charts/*", "rules/val*"])) == ["a"]
    assert read_sources([str(tmp_path)], ["charts/"]).unreadable == []


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    for path in (str(tmp_path / "gone"), f"{tmp_path}/a\0b"):
        (hit,) = read_sources([path]).unreadable
        assert hit.message.startswith("cannot be read: ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_said(put: Put) -> None:
    file = put("a.yaml", format_rule("a"))
    os.chmod(file, 0)
    assert list_hits(read_sources([file])) == [(1, "cannot be read: Permission denied")]


def test_a_byte_order_mark_is_no_content(put: Put) -> None:
    sources = read_sources([put("a.yaml", b"\xef\xbb\xbf" + format_rule("a").encode())])
    assert names(sources) == ["a"]


def test_standard_input_is_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(format_rule("a").encode())))
    sources = read_sources([STDIN])
    assert names(sources) == ["a"]
    assert sources.source_lines(STDIN_NAME)[3] == "  name: a"


def test_closed_standard_input_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert "no Kubernetes object" in list_hits(read_sources([STDIN]))[0][1]


def test_a_pipe_that_is_named_is_read(tmp_path: Path) -> None:
    import threading

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(format_rule("a"),))
    writer.start()
    sources = read_sources([str(pipe)])
    writer.join()
    assert names(sources) == ["a"]


def test_a_pipe_in_a_folder_is_passed_over(put: Put, tmp_path: Path) -> None:
    put("a.yaml", format_rule("a"))
    os.mkfifo(tmp_path / "pipe.yaml")
    assert names(read_sources([str(tmp_path)])) == ["a"]


FRAGMENTS = st.sampled_from(
    [
        "---",
        "...",
        "kind: VirtualService",
        "apiVersion: networking.istio.io/v1",
        "metadata: {name: a}",
        "spec:",
        "  hosts: [a]",
        "  http:",
        "  - match: [{uri: {prefix: /a}}]",
        "    route: [{destination: {host: a}}]",
        "- a",
        "\t",
        "'",
        '"',
        "{",
        "]",
        "&a [*a]",
        "<<: *a",
        "? [a]",
        "!!binary aa",
        "!x y",
        "%YAML 1.1",
        "a: |",
        "  ---",
        "# meshproof: ignore[MP0301]",
        "{{ .Values }}",
        "\u2028",
        "\x85",
        "a: 1:30",
        "a: 0x1G",
        "a: .inf",
        "a: 99999999999999999999999999999999e999",
    ]
)
SLOW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


def check_findings(path: Path) -> None:
    """Read and lint a file; whatever is in it, every finding has a place in it."""
    sources = read_sources([str(path)])
    lines = len(sources.source_lines(str(path)))
    for finding in lint(sources.documents, (), sources.unreadable):
        assert 1 <= finding.at.line <= lines + 1
        assert finding.at.column >= 1


@settings(max_examples=250, deadline=None, suppress_health_check=SLOW)
@given(lines=st.lists(FRAGMENTS, max_size=14))
def test_fragments_of_yaml_are_read_or_reported(tmp_path: Path, lines: list[str]) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("\n".join(lines), encoding="utf-8")
    check_findings(file)


@settings(max_examples=150, deadline=None, suppress_health_check=SLOW)
@given(content=st.binary(max_size=200))
def test_bytes_are_read_or_reported(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(content)
    check_findings(file)


@settings(max_examples=150, deadline=None, suppress_health_check=SLOW)
@given(text=st.text(max_size=120))
def test_text_is_read_or_reported(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    check_findings(file)


def test_a_second_place_in_a_message_is_counted_from_the_top_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("kind: A\n---\nkind: B\n---\nb: {}\na: 1\na: 2\n")
    (hit,) = read_sources([str(file)]).unreadable
    assert (hit.at.line, hit.message) == (7, "the document: 'a' stands twice, first in line 6")
