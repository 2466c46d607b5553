"""The folder of a run's reports: one run at a time, and nothing of an older run in it."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from meshproof import __version__
from meshproof.base.errors import MeshproofError, UsageError, describe_internal_error
from meshproof.base.files import write_new
from meshproof.base.redaction import redact_text, redact_tokens
from meshproof.run.record import Run, formats, list_report_files, writers

#: The folder below it for the evidence of failures.
DIAGNOSIS = "diagnosis"
#: Bytes that must fit into the folder.
_PROBE = bytes(1 << 18)
#: So much of a run.json says whose it is.
_HEAD_BYTES = 1 << 16
#: So many runs at the same time find a folder of their own.
_MAX_FOLDERS = 100


@dataclass
class ReportFolder:
    """The folder that this process has claimed, until it is released.

    `note` says why it is another folder than the one that was asked for, else it is empty.
    `is_reported` says whether a run has written its reports there.
    """

    path: Path
    asked_for: Path
    handle: int
    note: str = ""
    is_reported: bool = False

    def release(self) -> None:
        """Let other processes claim the folder."""
        if self in _claimed:
            _claimed.remove(self)
            os.close(self.handle)


#: The folders that this process has claimed.
_claimed: list[ReportFolder] = []


def claim(path: Path) -> ReportFolder:
    """Claim a folder for the reports of this run, and remove those of an older run.

    Where another process uses it, a folder beside it is claimed: PATH-2, PATH-3. Where this process
    has claimed it, that claim is returned. Raises UsageError where reports cannot be written.
    """
    for folder in _claimed:
        if path in (folder.path, folder.asked_for):
            return folder
    for number in range(1, _MAX_FOLDERS):
        candidate = path if number == 1 else path.with_name(f"{path.name}-{number}")
        handle = _lock(candidate)
        if handle is not None:
            note = f"another run writes its reports to {path}" if number > 1 else ""
            folder = ReportFolder(candidate, path, handle, note)
            _claimed.append(folder)
            try:
                _try_to_write(candidate)
                _remove_older_reports(candidate)
            except BaseException:
                folder.release()
                raise
            return folder
    raise UsageError(f"{path}: {_MAX_FOLDERS} runs write their reports there and beside it")


@contextlib.contextmanager
def claimed(path: Path, mesh: str, command: str) -> Iterator[ReportFolder]:
    """Claim a folder for as long as the context lasts.

    A run that ends before it reports anything is reported here: with the error, as `command` on
    `mesh`.
    """
    folder = claim(path)
    run = Run(
        version=__version__,
        mesh=mesh,
        proven="",
        command=command,
        started=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        error="it ended before its first promise; standard error says why",
    )
    try:
        yield folder
    except KeyboardInterrupt:
        run.interrupted, run.error = True, ""
        raise
    except Exception as error:
        run.error = describe_error(error)
        raise
    finally:
        if not folder.is_reported:
            _write_reports(run, folder.path)
        folder.release()


def find_turn(folder: Path, number: int) -> Path:
    """Return the folder for the reports of one of several runs."""
    return folder / f"variant-{number}"


def remove_turns(folder: Path) -> None:
    """Remove the reports of older runs from the folders of `find_turn`."""
    for turn_folder in folder.glob("variant-*"):
        _remove_older_reports(turn_folder)
        with contextlib.suppress(OSError):  # something else is in it
            turn_folder.rmdir()


def keep(folder: Path) -> None:
    """Write no report to a folder that this process has claimed: those below it are the reports."""
    for claimed_folder in _claimed:
        if folder in (claimed_folder.path, claimed_folder.asked_for):
            claimed_folder.is_reported = True


def _write_reports(run: Run, folder: Path) -> None:
    """Write every report of a run but that on the console, as far as that is possible."""
    with contextlib.suppress(OSError):  # the error that ended the run is more important
        for writer in writers([name for name in formats() if name != "console"], folder):
            writer.ended(run)


def describe_error(error: BaseException) -> str:
    """Return the message of an error that ended a run: ours as it is, another as internal."""
    if isinstance(error, MeshproofError):
        return redact_tokens(str(error))
    return redact_text(describe_internal_error(error))


def _lock(folder: Path) -> int | None:
    """Return a handle that locks a folder, created if needed; None where another run has it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _require_own_link(folder)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise _describe_unusable(folder, error) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    except OSError:  # a file system without locks
        return handle
    return handle


def _require_own_link(folder: Path) -> None:
    """Raise UsageError for a symbolic link of another user: it may lead anywhere."""
    if folder.is_symlink() and folder.lstat().st_uid != os.getuid():
        raise UsageError(f"{folder}: is a link that another user has made; name another folder")


def _try_to_write(folder: Path) -> None:
    """Raise UsageError where reports cannot be written: tried now, not after the run."""
    probe = folder / f".probe.{os.getpid()}"
    try:
        write_new(probe, _PROBE)
    except OSError as error:
        raise _describe_unusable(folder, error) from None
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()


def _describe_unusable(folder: Path, error: OSError) -> UsageError:
    return UsageError(f"{folder}: reports cannot be written there: {error.strerror}")


def _has_our_record(folder: Path) -> bool:
    """Say whether the run.json of a folder is one that meshproof writes, of any version."""
    if (folder / "run.json").is_symlink():
        return True  # removed without a look at what it points to
    try:
        with (folder / "run.json").open("rb") as record:
            return b'"standins"' in record.read(_HEAD_BYTES)
    except OSError:
        return False


def _remove_older_reports(folder: Path) -> None:
    """Remove the reports and the evidence of an older run; everything else stays.

    Without a record of ours beside them they are not ours. Links are removed, not followed.
    """
    if not _has_our_record(folder):
        return
    reports = [folder / name for name in list_report_files() if os.path.lexists(folder / name)]
    try:
        if reports and os.path.lexists(folder / DIAGNOSIS):
            if (folder / DIAGNOSIS).is_symlink():
                (folder / DIAGNOSIS).unlink()
            else:
                shutil.rmtree(folder / DIAGNOSIS)
        for report in reports:
            report.unlink()
    except OSError as error:
        raise UsageError(
            f"{folder}: the reports of an older run cannot be removed: {error.strerror}"
        ) from None
