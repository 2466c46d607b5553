"""Files and folders: which are read, what is taken apart, what is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshproof.base.errors import EXIT_BAD_RULES, BadRules
from meshproof.documents.manifest import parse, read


def kinds(*paths: Path) -> list[str]:
    return [document.kind for document in read(paths)]


def test_a_folder_gives_its_yaml_files_sorted_and_all_below(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "named.yaml").mkdir()
    for name in ("b.yaml", "a.yml", "below/c.yaml", "d.yaaml", "e.json", "named.yaml/f.yml"):
        (tmp_path / name).write_text(f"kind: {name[0].upper()}")
    assert kinds(tmp_path) == ["A", "B", "B", "N"]
    assert kinds(tmp_path / "e.json") == ["E"]


def test_several_documents_and_empty_ones(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("---\n---\nkind: A\n---\n# nothing\n---\nkind: B\n...\n---\n")
    assert kinds(file) == ["A", "B"]
    assert [document.at.line for document in read([file])] == [3, 7]


def test_a_list_is_taken_apart(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("apiVersion: v1\nkind: List\nitems:\n- kind: A\n  spec: {b: 1}\n- kind: B\n")
    first, second = read([file])
    assert (first.kind, first.at.line, first.spec.path) == ("A", 4, "items[0].spec")
    assert (second.kind, second.at.line) == ("B", 6)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ("[3]", "f.yaml:2:9: items[0]: expected a mapping, found 3"),
        ("{a: 1}", "f.yaml:2:8: items: expected a list, found a mapping"),
    ],
)
def test_a_list_of_something_else_is_refused(items: str, message: str) -> None:
    with pytest.raises(BadRules) as error:
        parse(f"kind: List\nitems: {items}", "f.yaml")
    assert str(error.value) == message


def test_the_byte_order_mark_of_windows_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes("kind: Ä\r\n".encode("utf-8-sig"))
    assert kinds(file) == ["Ä"]


@pytest.mark.parametrize(
    "content", ["", "\n", "# a comment\n", "---\n---\n", "kind: List\nitems: []"]
)
def test_nothing_to_read_is_no_green_light(tmp_path: Path, content: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(content)
    for path in (file, tmp_path):
        with pytest.raises(BadRules) as error:
            read([path])
        assert str(error.value) == f"{path}: no Kubernetes objects found"
        assert error.value.exit_code == EXIT_BAD_RULES


def test_one_path_of_several_without_objects_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("kind: A")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadRules, match="empty: no Kubernetes objects found"):
        read([tmp_path / "a.yaml", tmp_path / "empty"])


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadRules) as error:
        read([tmp_path / "gone.yaml"])
    assert str(error.value) == f"{tmp_path}/gone.yaml: cannot be read: No such file or directory"


def test_a_binary_file_tells_the_line_and_byte(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes("kind: A\nsp\u00e4c: ".encode() + b"\xff\xfe\x00")
    with pytest.raises(BadRules) as error:
        read([file])
    assert str(error.value) == f"{file}:2:7: not a text file (byte 15 is not UTF-8)"
