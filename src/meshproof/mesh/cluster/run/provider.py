"""Creates a cluster for the run with kind, minikube or k3d, through pytest-kubernetes.

pytest-kubernetes (0.9) passes its arguments to a shell, deletes the kubeconfig that it gets, leaves
KUBECONFIG changed, and names only clusters without their own config. So it gets copies in the run's
folder, whose paths are safe in a shell, and the environment is restored.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from meshproof.base import signals, timeouts
from meshproof.base.errors import MeshproofError, NotReady, UsageError
from meshproof.mesh.cluster.run import ownership
from meshproof.mesh.process.processes import RUN_VARIABLE, write_atomically
from meshproof.mesh.protocol import ClusterOptions, Provider

#: Providers that create a cluster; `external` uses an existing one.
MAKERS = ("kind", "minikube", "k3d")
#: What pytest-kubernetes requests for a version, and where the versions are listed.
_REQUESTED_VERSIONS = {
    "kind": "kindest/node:v{} (the release notes of a kind list the images made for it)",
    "k3d": "rancher/k3s:v{}-k3s1 (the releases of k3s)",
    "minikube": "Kubernetes v{} (minikube config defaults kubernetes-version)",
}


@contextlib.contextmanager
def provide_cluster(options: ClusterOptions, folder: Path) -> Iterator[ClusterOptions]:
    """Create the cluster of `options.provider`; delete it when the context ends.

    `folder` is the run's. Yields the options with the kubeconfig, or unchanged without a provider.
    First deletes clusters that killed runs of this machine left. Raises NotReady, with the
    provider's output, if it is missing or fails, or if the cluster does not answer.
    """
    provider = options.provider
    if provider is None:
        yield options
        return
    _require_programs(provider, folder)
    _delete_leftovers()
    cluster = _ProvidedCluster(provider, options, folder)
    try:
        cluster.create()
        yield replace(options, kubeconfig=str(cluster.kubeconfig), context=cluster.context)
    except BaseException:
        with signals.uninterrupted(), contextlib.suppress(MeshproofError):
            cluster.delete()  # report the first error
        raise
    else:
        with signals.uninterrupted():
            cluster.delete()


class _ProvidedCluster:
    """A cluster of pytest-kubernetes, and the record by which the next run finds it."""

    def __init__(self, provider: Provider, options: ClusterOptions, folder: Path) -> None:
        self._provider = provider
        self._folder = folder
        self._external_kubeconfig = (
            Path(options.kubeconfig) if provider.name == "external" else None
        )
        self.context = options.context
        self.name = f"pytest-meshproof-{folder.name.removeprefix('run-')}"
        self.kubeconfig = folder / "kubeconfig"
        self._manager: Any = None

    def create(self) -> None:
        """Create the cluster and wait until it answers."""
        from pytest_kubernetes.options import ClusterOptions as ProviderOptions

        config = self._copy_config()
        if self._external_kubeconfig is not None:
            _copy_kubeconfig(self._external_kubeconfig, self.kubeconfig)
        else:
            self.kubeconfig.touch(mode=0o600)
            write_atomically(
                _record_path(self.name),
                json.dumps([self._provider.name, ownership.owner_annotations(self._folder)]),
            )
        self._manager = _make_manager(self._provider.name, self.name, config, self.kubeconfig)
        self._manager.context = self.context or None
        provider_options = ProviderOptions(
            cluster_name=self.name,
            api_version=self._provider.version,
            kubeconfig_path=self.kubeconfig,
            provider_config=config,
            cluster_timeout=int(timeouts.CLUSTER_START),
        )
        arguments = [self.name] if config and self._provider.name == "k3d" else []
        failure = f"{self._provider.name}: the cluster {self.name} does not start"
        with _translate_errors(failure, self._folder, self._version_hint()):
            self._manager.create(
                provider_options, timeout=int(timeouts.CLUSTER_ANSWERS), options=arguments
            )

    def _version_hint(self) -> str:
        """Describe the requested version; empty if the provider's config decides."""
        if self._external_kubeconfig is not None or self._provider.config:
            return ""
        version = _REQUESTED_VERSIONS[self._provider.name].format(self._provider.version)
        return f"\nit was asked for {version}; --mesh-provider-version names another"

    def _copy_config(self) -> Path | None:
        """Copy the provider's config and set the cluster's name: under another we would lose it."""
        if not self._provider.config:
            return None
        import yaml

        config_path = Path(self._provider.config)
        try:
            config = yaml.load(config_path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise UsageError(
                f"--mesh-provider-config {config_path}: cannot be read: {error}"
            ) from None
        if not isinstance(config, dict):
            raise UsageError(f"--mesh-provider-config {config_path}: expected a mapping")
        named_config = {**config, "name": self.name}
        if self._provider.name == "k3d":
            named_config = {
                **config,
                "metadata": {**(config.get("metadata") or {}), "name": self.name},
            }
        copy = self._folder / "provider.yaml"
        copy.write_text(yaml.safe_dump(named_config), encoding="utf-8")
        return copy

    def delete(self) -> None:
        """Delete the cluster, also a partly created one."""
        if self._manager is None or self._external_kubeconfig is not None:
            return
        _delete_cluster(self._manager, self._provider.name, self.name, self._folder)


def _make_manager(provider: str, name: str, config: Path | None, kubeconfig: Path) -> Any:
    """Return pytest-kubernetes' manager of a cluster."""
    from pytest_kubernetes.providers import select_provider_manager

    manager_class: Any = select_provider_manager(provider, {"cluster_name": name})
    if provider == "external":
        return manager_class(name, None, kubeconfig)
    return manager_class(name, str(config) if config else None)


def _delete_cluster(manager: Any, provider: str, name: str, folder: Path) -> None:
    """Delete a cluster and its record."""
    with _translate_errors(f"{provider}: the cluster {name} is not deleted", folder):
        manager.delete()
    _record_path(name).unlink(missing_ok=True)


def _delete_leftovers() -> None:
    """Delete clusters of this machine's dead runs."""
    for path in sorted(_records_folder().glob("pytest-meshproof-*")):
        provider, annotations = json.loads(path.read_text(encoding="utf-8"))
        is_gone = ownership.read_run_status(annotations).state is ownership.RunState.GONE
        if is_gone and shutil.which(provider):
            manager = _make_manager(provider, path.name, None, Path(os.devnull))
            _delete_cluster(manager, provider, path.name, path.parent)


def _records_folder() -> Path:
    """Return the folder of the records (XDG Base Directory Specification: state of this user)."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "meshproof" / "clusters"


def _record_path(name: str) -> Path:
    """Return the path of a cluster's record; create its folder."""
    folder = _records_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise NotReady(f"{folder}: cannot be made: {error.strerror}") from None
    return folder / name


def _require_programs(provider: Provider, folder: Path) -> None:
    """Raise NotReady for a missing program, or a path that a shell would split."""
    for program in ("kubectl", *([provider.name] if provider.name in MAKERS else [])):
        path = shutil.which(program)
        if path is None:
            raise NotReady(f"{program} is not on PATH: --mesh-provider {provider.name} needs it")
        for part in (path, str(folder)):
            if shlex.quote(part) != part:
                raise NotReady(f"--mesh-provider: pytest-kubernetes cannot use the path {part!r}")


def _copy_kubeconfig(source: Path, target: Path) -> None:
    """Copy a kubeconfig, readable only by the user. Raises UsageError if it is unreadable."""
    try:
        target.write_bytes(source.read_bytes())
        target.chmod(0o600)
    except OSError as error:
        raise UsageError(f"--kubeconfig {source}: cannot be read: {error.strerror}") from None


@contextlib.contextmanager
def _translate_errors(failure: str, folder: Path, hint: str = "") -> Iterator[None]:
    """Turn errors of pytest-kubernetes into NotReady; restore the environment.

    `hint` follows the output of a failed program.
    """
    environment = dict(os.environ)
    os.environ[RUN_VARIABLE] = str(folder)
    try:
        yield
    except subprocess.CalledProcessError as error:
        output = (error.stderr or error.stdout or b"").decode(errors="replace").strip()
        raise NotReady(f"{failure}: {output or f'exit code {error.returncode}'}{hint}") from None
    except subprocess.TimeoutExpired as error:
        raise NotReady(f"{failure}: not done after {error.timeout:.0f} s") from None
    except (RuntimeError, OSError, ValueError, KeyError) as error:
        raise NotReady(f"{failure}: {error}") from None
    finally:
        os.environ.clear()
        os.environ.update(environment)
