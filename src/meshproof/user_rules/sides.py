"""One side of a comparison: rules from a folder, a git revision or a cluster, and their mesh."""

from __future__ import annotations

import contextlib
import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from meshproof.base.errors import UsageError, suggest_nearest
from meshproof.mesh.protocol import RULE_MESHES
from meshproof.rules.model import Gateway, Route
from meshproof.user_rules import destination_settings, live, loading
from meshproof.user_rules.loading import ReadingOptions, UserRules

_GIT_SECONDS = 60


@dataclass(frozen=True)
class SideName:
    """What a user writes for a side, `RULES[@MESH]`, by its parts.

    `revision` is a git revision or "", `path` a file, a folder or cluster:NAMESPACE. `mesh` is
    local or istiod, `binary` the pilot-discovery of `@istiod:PATH`.
    """

    text: str
    path: str
    revision: str = ""
    mesh: str = "local"
    binary: str = ""


@dataclass(frozen=True)
class NotCompared:
    """A line on what of a side is not compared; `is_allowed` where the user knows of it."""

    line: str
    is_allowed: bool = False


@dataclass(frozen=True)
class Side:
    """The rules of a side. `folder` is where a revision's files are, which messages do not name.

    `allow_unsupported` names objects and fields that need not be compared: `KIND/NAME[:FIELD]`.
    Without `compares_policies` the other side says its traffic policies in words of its own,
    without `compares_proxies` its Gateways have proxies of their own. `shared_hosts` are those
    whose Services both sides have.
    """

    name: SideName
    user_rules: UserRules
    folder: str = ""
    allow_unsupported: tuple[str, ...] = ()
    compares_policies: bool = True
    compares_proxies: bool = True
    shared_hosts: frozenset[str] = frozenset()

    def list_settings(self, route: Route) -> dict[str, str]:
        """Return the settings of a route's destinations: ports, Services and traffic policies."""
        policies = self._policies.list_settings(route) if self.compares_policies else ()
        services = self.user_rules.known_hosts.world.services
        shared = {host: services[host] for host in self.shared_hosts}
        return {
            **dict(destination_settings.list_ports(route)),
            **dict(destination_settings.list_services(route, shared)),
            **dict(policies),
        }

    def list_gateway_settings(self, gateway: Gateway) -> dict[str, str]:
        """Return which proxies serve a Gateway, where both sides say it in the same way."""
        if not self.compares_proxies:
            return {}
        proxies = [proxy.name or "the usual one" for proxy in gateway.proxies]
        return {"proxy": f"proxy {', '.join(sorted(proxies)) or 'none'}"}

    def list_called_port(self, host: str, number: int) -> dict[str, str]:
        """Return what a port of a Service is, that callers in the mesh name."""
        if host not in self.shared_hosts:
            return {}
        service = self.user_rules.known_hosts.world.services[host]
        texts = destination_settings.list_ports_of(service, number)
        return {"called port": f"{service.document.name} has {' '.join(texts) or 'no such port'}"}

    def list_unheld(self) -> dict[str, NotCompared]:
        """Return what neither requests nor settings compare, by what it is."""
        unheld = {
            what: NotCompared(
                self.name_places(f"{entry.at}: {what}: {entry.because}"),
                any(entry.is_named_by(pattern) for pattern in self.allow_unsupported),
            )
            for what, entry in destination_settings.list_left_out(
                self.user_rules.documents, not self.compares_policies
            )
        }
        for table in self.user_rules.rules.tables:
            for route in table.routes:
                for text in destination_settings.list_unknown_ports(route, self.shared_hosts):
                    line = self.name_places(f"{route.at}: {text}")
                    unheld.setdefault(text, NotCompared(line))
        return unheld

    @cached_property
    def _policies(self) -> destination_settings.TrafficPolicies:
        """What its DestinationRules say of traffic."""
        return destination_settings.TrafficPolicies(self.user_rules.documents)

    def name_places(self, text: str) -> str:
        """Return a text with the places of a revision as `REVISION:PATH`."""
        return text.replace(f"{self.folder}/", f"{self.name.revision}:") if self.folder else text


def parse_side(text: str) -> SideName:
    """Return the parts of a side. Raises UsageError for a mesh that there is not."""
    rules, at, mesh_text = text.rpartition("@")
    mesh, _, binary = mesh_text.partition(":")
    if not at or "/" in mesh or (mesh not in RULE_MESHES and _exists(text)):
        rules, mesh, binary = text, "local", ""
    elif mesh not in RULE_MESHES:
        expected = ", ".join(RULE_MESHES)
        raise UsageError(f"{text}: no mesh '{mesh}'; expected one of {expected}"
                         f"{suggest_nearest(mesh, RULE_MESHES)}")  # fmt: skip
    if not rules:
        raise UsageError(f"{text}: expected RULES[@MESH]")
    revision, colon, path = rules.partition(":")
    if colon and not live.is_live(rules) and not _exists(rules):
        return SideName(text, path or ".", revision, mesh, binary)
    return SideName(text, rules, "", mesh, binary)


def _exists(path: str) -> bool:
    return path == "-" or Path(path).exists()


@contextlib.contextmanager
def opened_side(name: SideName, reading: ReadingOptions) -> Iterator[Side]:
    """Read the rules of a side; the files of a revision are there until the context ends.

    Raises UsageError for a revision that there is not, or that lacks the path, BadRules for rules
    that cannot be read.
    """
    reading = replace(reading, no_lint=True, keeps_undefined=True)
    if not name.revision:
        user_rules = loading.load([name.path], reading=reading)
        yield Side(name, user_rules, allow_unsupported=reading.allow_unsupported)
        return
    with tempfile.TemporaryDirectory(prefix="meshproof-revision-") as folder:
        _write_revision(name, Path(folder))
        path = str(Path(folder, name.path))
        user_rules = loading.load([path], reading=reading)
        yield Side(name, user_rules, folder, reading.allow_unsupported)


def _write_revision(name: SideName, folder: Path) -> None:
    """Write the files of a revision, as `git archive` has them, below a folder."""
    commit = _run_git(name, "rev-parse", "--verify", "--quiet", f"{name.revision}^{{commit}}")
    if commit is None:
        branches = _run_git(name, "for-each-ref", "--format=%(refname:short)") or b""
        names = branches.decode(errors="replace").split()
        raise UsageError(
            f"{name.text}: no file of that name, and '{name.revision}' is no git revision here"
            f"{suggest_nearest(name.revision, names)}"
        )
    archive = _run_git(name, "archive", "--format=tar", commit.decode().strip(), "--", name.path)
    if archive is None:
        tree = _run_git(name, "ls-tree", "-r", "-t", "--name-only", name.revision) or b""
        names = tree.decode(errors="replace").split("\n")
        raise UsageError(
            f"{name.text}: revision {name.revision} has no {name.path}"
            f"{suggest_nearest(name.path, names)}"
        )
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")


def _run_git(name: SideName, *arguments: str) -> bytes | None:
    """Return what git prints, None where it fails. Raises UsageError where there is no git."""
    try:
        ended = subprocess.run(
            ["git", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"{name.text}: git: {error}") from None
    return ended.stdout if ended.returncode == 0 else None
