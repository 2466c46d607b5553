"""Selects the cluster: one of a kubeconfig, or the one that this process runs in.

The order is that of kubectl and istioctl: the options, KUBECONFIG (a list of files),
~/.kube/config, then the ServiceAccount of this pod. One difference: a KUBECONFIG without a cluster
is an error, where kubectl would use the pod's own cluster.

Source: Kubernetes docs, "Organizing Cluster Access Using kubeconfig Files"; client-go,
tools/clientcmd/merged_client_builder.go (ClientConfig).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from meshproof.base.errors import NotReady, UsageError, suggest_nearest
from meshproof.mesh.protocol import ClusterOptions

_DEFAULT = "~/.kube/config"


class NoCluster(NotReady):
    """No kubeconfig names a cluster."""


def choose_context(options: ClusterOptions) -> ClusterOptions:
    """Return the options with the name of the context; without one for the cluster of this pod.

    Raises NoCluster when there is no cluster at all, UsageError for an unknown context.
    """
    files = _file_list(options)
    is_requested = options.kubeconfig or options.context or os.environ.get("KUBECONFIG")
    if not is_requested and not _existing_files(files) and in_pod():
        return options
    try:
        names, current = _read_contexts(files)
    except (OSError, ValueError) as error:
        raise NoCluster(f"no cluster: {files}: {error}") from None
    if not is_requested and not current and in_pod():
        return options
    name = options.context or current
    if not name:
        raise NoCluster(f"no cluster: {files}: it has no current-context: name one with --context")
    if name not in names:
        source = f"--context {name}" if options.context else f"{files}: current-context {name}"
        raise UsageError(f"{source}: no such context{suggest_nearest(name, names)}")
    return replace(options, context=name)


def make_client(options: ClusterOptions) -> tuple[Any, str]:
    """Return an API client and the context it is for; empty for the cluster of this pod.

    Raises what `choose_context` raises, and NotReady for an incomplete context.
    """
    from kubernetes import client, config

    options = choose_context(options)
    if not options.context:
        configuration = client.Configuration()
        config.load_incluster_config(configuration)
        return client.ApiClient(configuration), ""
    try:
        api = config.new_client_from_config(_file_list(options), options.context)
    except (config.ConfigException, OSError, ValueError) as error:
        reason = str(error).rpartition(": ")[2]
        raise NotReady(f"context {options.context}: {reason}") from None
    return api, options.context


def in_pod() -> bool:
    """Say whether this process runs in a pod with a ServiceAccount."""
    from kubernetes import client, config

    with contextlib.suppress(config.ConfigException):
        config.load_incluster_config(client.Configuration())
        return True
    return False


def _file_list(options: ClusterOptions) -> str:
    """Return the kubeconfig files as KUBECONFIG lists them."""
    return options.kubeconfig or os.environ.get("KUBECONFIG") or _DEFAULT


def _existing_files(files: str) -> list[Path]:
    """Return those files of a list that exist."""
    paths = [Path(name).expanduser() for name in files.split(os.pathsep) if name]
    return [path for path in paths if path.exists()]


def _read_contexts(files: str) -> tuple[list[str], str]:
    """Return the names of the contexts and the current one, which the first file decides."""
    documents = [*_read_files(files)]
    if not documents:
        raise ValueError("there is no such file")
    contexts = [context for document in documents for context in document.get("contexts") or ()]
    names = [
        str(context["name"])
        for context in contexts
        if isinstance(context, dict) and "name" in context
    ]
    current = (
        str(document["current-context"])
        for document in documents
        if document.get("current-context")
    )
    return names, next(current, "")


def _read_files(files: str) -> Iterator[dict[str, Any]]:
    """Yield the content of each existing file. Raises ValueError for one that is no kubeconfig."""
    import yaml

    for file in _existing_files(files):
        try:
            document = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        except yaml.YAMLError as error:
            raise ValueError(
                f"{file.name} is no YAML: {getattr(error, 'problem', error)}"
            ) from None
        if not isinstance(document, dict):
            raise ValueError(f"{file.name} is no kubeconfig")
        yield document
