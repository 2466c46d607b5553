"""The file of a project: `[tool.meshproof]` of pyproject.toml, or meshproof.toml.

It is looked for in the current folder and, inside a git repository, in the folders above up to
the repository's own. The nearest one counts. Outside of a repository no other folder is read: there
a file above may be somebody else's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from meshproof.base.errors import UsageError, suggest_nearest
from meshproof.options.table import OPTIONS, Option

_SETTINGS = {option.name: option for option in OPTIONS if option.is_setting}
_OTHERS = {option.name for option in OPTIONS} - set(_SETTINGS)


@dataclass(frozen=True)
class ConfigFile:
    """The values of a file; `path` is as messages show it, `keys` lead to the table of options."""

    path: Path
    values: Mapping[str, object] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    text: str = ""

    def label(self, name: str) -> str:
        """Return how a message names a value: `pyproject.toml:7: tolerance`."""
        line = _find_line(self.text, (*self.keys, name))
        return f"{self.path}:{line}: {name}" if line else f"{self.path}: {name}"

    def read(self, option: Option) -> object:
        """Return the value of an option. Raises UsageError, with file and line, for a wrong one."""
        content = self.values[option.name]
        try:
            if not option.is_repeatable:
                return option.kind.read_toml(content, self.path.parent)
            contents = content if isinstance(content, list) else [content]
            return tuple(option.kind.read_toml(item, self.path.parent) for item in contents)
        except ValueError as error:
            raise UsageError(f"{self.label(option.name)} {content!r}: {error}") from None


def read_config_file(folder: Path | None = None) -> ConfigFile:
    """Return the file that counts in a folder (default: the current one); empty if there is none.

    Raises UsageError for a file that cannot be read, for two files in one folder, and, with file,
    line and the nearest word, for a key that is no option.
    """
    for candidate in _list_folders(folder or Path.cwd()):
        files = [file for file in _read_files(candidate) if file is not None]
        if len(files) > 1:
            raise UsageError(
                f"{files[1].path}: [tool.meshproof] beside {files[0].path}: only one of them can "
                "hold; keep one"
            )
        if files:
            _check_keys(files[0])
            return files[0]
    return ConfigFile(Path())


def _list_folders(folder: Path) -> Iterator[Path]:
    """Yield the folders to look in, nearest first."""
    folders = [folder, *folder.parents]
    for index, candidate in enumerate(folders):
        if _is_own_repository(candidate):
            yield from folders[: index + 1]
            return
    yield folder


def _is_own_repository(folder: Path) -> bool:
    """Say whether a folder is the root of a git repository of this user's, or of root's.

    The file of another user's (in /tmp, say) could name a program to run, as git's own could.
    """
    try:
        owner = (folder / ".git").lstat().st_uid
    except OSError:
        return False
    return owner in (os.getuid(), 0) and folder.stat().st_uid in (os.getuid(), 0)


def _read_files(folder: Path) -> Iterator[ConfigFile | None]:
    """Yield what the two files of a folder hold for meshproof, None for nothing."""
    for name, keys in (("meshproof.toml", ()), ("pyproject.toml", ("tool", "meshproof"))):
        yield _read_file(folder / name, keys)


def _read_file(path: Path, keys: tuple[str, ...]) -> ConfigFile | None:
    """Return the table at `keys` of a file, None where it has none."""
    if not path.is_file():
        return None
    shown_path = _make_relative(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{shown_path}: cannot be read: {error}") from None
    if keys and keys[-1] not in text:
        return None
    table = _parse(text, shown_path)
    for key in keys:
        if not isinstance(table, dict) or key not in table:
            return None
        table = table[key]
    if not isinstance(table, dict):
        raise UsageError(f"{shown_path}: [{'.'.join(keys)}]: expected a table")
    return ConfigFile(shown_path, table, keys, text)


def _make_relative(path: Path) -> Path:
    """Return a path relative to the current folder, with `..` for a file in a folder above."""
    import os

    return Path(os.path.relpath(path))


def _parse(text: str, path: Path) -> object:
    """Parse TOML. Raises UsageError with file and line."""
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"\(at line (\d+), column \d+\)", str(error))
        position = f"{path}:{line[1]}" if line else f"{path}"
        raise UsageError(f"{position}: no TOML: {str(error).partition(' (at ')[0]}") from None


def _check_keys(file: ConfigFile) -> None:
    """Raise UsageError for the first key that no file may have."""
    for name in file.values:
        if name in _OTHERS:
            raise UsageError(f"{file.label(name)}: this option is for the command line alone")
        if name not in _SETTINGS:
            hint = suggest_nearest(name.replace("_", "-"), _SETTINGS)
            raise UsageError(f"{file.label(name)}: meshproof has no such option{hint}")


def _find_line(text: str, keys: tuple[str, ...]) -> int:
    """Return the line on which the value at `keys` begins; 0 if it cannot be told.

    The text up to that line has no such value. So tomllib alone reads TOML.
    """
    lines = text.splitlines(keepends=True)
    for start, line in enumerate(lines):
        if keys[-1] not in line or _has_key(lines[:start], keys) is not False:
            continue
        for end in range(start + 1, len(lines) + 1):
            if has_key := _has_key(lines[:end], keys):
                return start + 1
            if has_key is False:
                break
    return 0


def _has_key(lines: list[str], keys: tuple[str, ...]) -> bool | None:
    """Say whether lines of TOML have a value at `keys`; None where they end within a statement."""
    import tomllib

    try:
        table: object = tomllib.loads("".join(lines))
    except tomllib.TOMLDecodeError:
        return None
    for key in keys:
        if not isinstance(table, dict) or key not in table:
            return False
        table = table[key]
    return True
