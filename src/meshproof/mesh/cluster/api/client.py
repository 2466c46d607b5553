"""The Kubernetes API: reads, applies and deletes objects. Its errors tell the user what to do.

Source: Kubernetes docs, "Kubernetes API Concepts" (server-side apply) and "API access control".
"""

from __future__ import annotations

import contextlib
import json
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from meshproof.base import timeouts
from meshproof.base.errors import BadRules, MeshproofError, NotReady
from meshproof.mesh.cluster.api.kubeconfig import make_client
from meshproof.mesh.protocol import ClusterOptions

T = TypeVar("T")
Object = dict[str, Any]

#: The field manager in server-side apply.
MANAGER = "meshproof"
#: Statuses after which the same request may succeed (RFC 9110, 15.6; Kubernetes sends 429 under
#: load and 500 while it starts).
_TRANSIENT_STATUSES = frozenset({0, 429, 500, 502, 503, 504})
#: Texts of the status 403: for a missing right, and for a quota that is too new to be counted
#: (Kubernetes, responsewriters/errors.go, resourcequota/controller.go). Any other 403 refuses the
#: content of an object.
_NO_RIGHT_TEXT, _QUOTA_PENDING_TEXT = 'user "', "status unknown for quota"
_ACCESS_REVIEW = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}


class Kube:
    """One cluster's API server, as one user.

    While the API server does not answer, each call is repeated for at most `timeouts.API_AWAY`
    seconds.
    """

    def __init__(self, api: Any, context: str, folder: Path) -> None:
        from kubernetes.dynamic import DynamicClient

        #: The context of kubectl; empty for the cluster that this process runs in.
        self.context = context
        #: What messages call the cluster.
        self.cluster_name = f"context {context}" if context else "this cluster"
        self._configuration = api.configuration
        #: The kinds that were applied, as `(apiVersion, kind)`.
        self.applied_kinds: set[tuple[str, str]] = set()
        self._retry_seconds = timeouts.API_START
        cache = str(folder / "discovery.json")
        self._dynamic = self._call("discover its kinds", lambda: DynamicClient(api, cache))
        self._retry_seconds = timeouts.API_AWAY

    @classmethod
    @contextlib.contextmanager
    def connected(cls, options: ClusterOptions, folder: Path) -> Iterator[Kube]:
        """Connect to the cluster that the options select (see `kubeconfig`).

        Raises UsageError for an unknown context, NotReady when no cluster answers.
        """
        api, context = make_client(options)
        api.configuration.retries = False  # `_call` repeats by time
        try:
            yield cls(api, context, folder)
        finally:
            with contextlib.suppress(Exception):
                api.close()

    def version(self) -> str:
        """Return the version of Kubernetes, `v1.35.4`."""
        version: str = self._dynamic.version["kubernetes"]["gitVersion"]
        return version

    def has_kind(self, api_version: str, kind: str) -> bool:
        """Say whether the cluster serves a kind."""
        from kubernetes.dynamic.exceptions import ResourceNotFoundError

        try:
            self._resource(api_version, kind)
        except ResourceNotFoundError:
            return False
        return True

    def is_namespaced(self, api_version: str, kind: str) -> bool:
        """Say whether objects of a kind belong to a namespace; True for an unknown kind."""
        if not self.has_kind(api_version, kind):
            return True
        return bool(self._resource(api_version, kind).namespaced)

    def get(self, api_version: str, kind: str, name: str, namespace: str = "") -> Object | None:
        """Return an object, None if it does not exist."""
        action = f"get {kind} {name}"
        return self._call(action, lambda: self._get(api_version, kind, name, namespace))

    def read(self, api_path: str, accept: str, query: Sequence[tuple[str, str]] = ()) -> Object:
        """Return the JSON that the API serves at a path; `accept` is the Accept header to send."""
        request_options: dict[str, Any] = {
            "header_params": {"Accept": accept},
            "query_params": list(query),
        }

        def read() -> Object:
            response = self._dynamic.request("get", api_path, serialize=False, **request_options)
            document: Object = json.loads(response.data)
            return document

        return self._call(f"read {api_path}", read)

    @contextlib.contextmanager
    def retrying_for(self, seconds: float) -> Iterator[None]:
        """Repeat unanswered calls for at most `seconds` in this context. For one thread."""
        before, self._retry_seconds = self._retry_seconds, seconds
        try:
            yield
        finally:
            self._retry_seconds = before

    def list(
        self, api_version: str, kind: str, namespace: str = "", labels: str = ""
    ) -> list[Object]:
        """Return the objects of a kind in a namespace (empty: all) that have the labels `a=b,c`."""
        filters = {"namespace": namespace or None, "label_selector": labels or None}

        def get() -> list[Object]:
            response = self._resource(api_version, kind).get(**filters, serializer=_keep_as_dict)
            type_keys = {"apiVersion": api_version, "kind": kind}  # list items have no type
            return [{**type_keys, **item} for item in response["items"] or ()]

        return self._call(f"list {kind}", get)

    def apply(self, body: Object, origin: object = "") -> Object:
        """Create an object or change it to `body` (server-side apply).

        Raises BadRules when the cluster refuses the content. The message begins with `origin`, the
        line of the file, and quotes whoever refused (an admission webhook, the schema).
        """
        metadata = body["metadata"]
        self.applied_kinds.add((str(body["apiVersion"]), str(body["kind"])))

        def apply() -> Object:
            resource = self._resource(body["apiVersion"], body["kind"])
            applied: Object = self._dynamic.server_side_apply(
                resource,
                body=body,
                name=metadata["name"],
                namespace=metadata.get("namespace"),
                field_manager=MANAGER,
                force_conflicts=True,
                serializer=_keep_as_dict,
            )
            return applied

        prefix = f"{origin}: " if origin else ""
        return self._call(f"{prefix}apply {body['kind']} {metadata['name']}", apply, prefix)

    def delete(
        self, api_version: str, kind: str, name: str, namespace: str = "", uid: str = ""
    ) -> None:
        """Delete an object if it exists; the cluster deletes its dependents later.

        With `uid`, a newer object of the same name stays.
        """
        body: Object = {"propagationPolicy": "Background"}
        if uid:
            body["preconditions"] = {"uid": uid}

        def delete() -> None:
            from kubernetes.client.exceptions import ApiException

            try:
                self._resource(api_version, kind).delete(
                    name=name, namespace=namespace or None, body=body
                )
            except ApiException as error:
                if error.status != 404 and not (uid and error.status == 409):
                    raise

        self._call(f"delete {kind} {name}", delete)

    def merge_patch(
        self, api_version: str, kind: str, name: str, namespace: str, body: Object
    ) -> None:
        """Change the fields in `body` of an existing object (JSON merge patch, RFC 7396)."""
        self._call(
            f"change {kind} {name}",
            lambda: self._resource(api_version, kind).patch(
                name=name,
                namespace=namespace,
                body=body,
                content_type="application/merge-patch+json",
                serializer=_keep_as_dict,
            ),
        )

    def has_right(self, verb: str, group: str, resource: str) -> bool:
        """Say whether this user has a right in all namespaces (`list`, empty group, `secrets`).

        Source: Kubernetes docs, "Authorization", section "Checking API access".
        """
        attributes = {"verb": verb, "group": group, "resource": resource}
        body = {**_ACCESS_REVIEW, "spec": {"resourceAttributes": attributes}}
        action = f"ask whether it may {verb} {resource}"

        def ask() -> bool:
            kind = self._resource(_ACCESS_REVIEW["apiVersion"], _ACCESS_REVIEW["kind"])
            return bool(kind.create(body=body, serializer=_keep_as_dict)["status"]["allowed"])

        return self._call(action, ask)

    def read_log(
        self, pod: str, namespace: str, container: str, lines: int = 200, previous: bool = False
    ) -> str:
        """Return the last lines of a container's log, with `previous` of its last restart."""
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
        request_options = {
            "query_params": [("container", container), ("tailLines", lines), ("previous", previous)]
        }
        return self._call(
            f"read the log of {pod}",
            lambda: str(
                self._dynamic.request("get", path, serialize=False, **request_options).data.decode()
            ),
        )

    def open_port(self, pod: str, namespace: str, port: int) -> Any:
        """Return a connected socket to a port inside a pod (the API's port-forward).

        It ends at the pod's loopback, past what a sidecar captures.
        """
        from kubernetes.client.exceptions import ApiException
        from kubernetes.stream import ws_client

        # Not through CoreV1Api, whose import takes a second; it makes the same call.
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/portforward"
        auth_settings = self._configuration.auth_settings().values()
        headers = {
            setting["key"]: setting["value"]
            for setting in auth_settings
            if setting["in"] == "header"
        }
        request_options = {"query_params": [("ports", str(port))], "headers": headers}

        def forward() -> Any:
            try:
                stream = ws_client.portforward_call(
                    self._configuration,
                    "GET",
                    f"{self._configuration.host}{path}",
                    **request_options,
                )
            except ApiException as error:
                raise _add_api_answer(error) from None
            if (connection := stream.websocket.sock) is not None:
                # The library leaves the socket open if the other end closes first.
                weakref.finalize(stream.websocket, connection.close)
            return stream.socket(port)

        return self._call(f"forward port {port} of {pod}", forward)

    def _resource(self, api_version: str, kind: str) -> Any:
        """Return the library's handle for a kind. Raises ResourceNotFoundError without one."""
        return self._dynamic.resources.get(api_version=api_version, kind=kind)

    def _get(self, api_version: str, kind: str, name: str, namespace: str) -> Object | None:
        """Read one object; return None for the status 404."""
        from kubernetes.client.exceptions import ApiException

        try:
            body: Object = self._resource(api_version, kind).get(
                name=name, namespace=namespace or None, serializer=_keep_as_dict
            )
        except ApiException as error:
            if error.status == 404:
                return None
            raise
        return body

    def _call(self, action: str, call: Callable[[], T], prefix: str = "") -> T:
        """Run a call and repeat it while the API server does not answer.

        `action` completes "cannot ..." in error messages; `prefix` begins a message about refused
        content.
        """
        import tenacity
        import urllib3
        from kubernetes.client.exceptions import ApiException
        from kubernetes.dynamic.exceptions import ResourceNotFoundError

        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_delay(self._retry_seconds),
            wait=tenacity.wait_fixed(timeouts.POLL_SLOW),
            retry=tenacity.retry_if_exception(_is_transient),
            reraise=True,
        )
        try:
            return retrying(call)
        except ApiException as error:
            raise self._explain_error(action, error, prefix) from None
        except ResourceNotFoundError:
            raise NotReady(
                f"{self.cluster_name}: cannot {action}: the cluster does not know that kind: are "
                "the custom resource definitions (of Istio, of Gateway API) installed?"
            ) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise NotReady(
                f"{self.cluster_name}: the API server does not answer: {_shorten_message(error)}"
            ) from None

    def _explain_error(self, action: str, error: Any, prefix: str) -> MeshproofError:
        """Turn an error status of the API into an error that tells the user what to do."""
        message = _read_message(error)
        if error.status == 401:
            return NotReady(
                f"{self.cluster_name}: the credentials are refused (expired, or of another "
                f"cluster): cannot {action}: {message}"
            )
        if error.status == 403 and _NO_RIGHT_TEXT in message.lower():
            return NotReady(
                f"{self.cluster_name}: not allowed to {action}: {message}\n"
                "`meshproof rbac` prints the Role that a run needs"
            )
        if error.status in (400, 403, 422) and prefix:
            return BadRules(f"{prefix}the cluster refuses it: {message}")
        if error.status in _TRANSIENT_STATUSES:
            return NotReady(f"{self.cluster_name}: the API server does not answer: {message}")
        return NotReady(f"{self.cluster_name}: cannot {action}: {message}")


def _keep_as_dict(client: Any, response: Object) -> Object:
    """Return a response unchanged: the library's own objects for each value are slow."""
    return response


def _is_transient(error: BaseException) -> bool:
    """Say whether the next try may succeed: the API server is away, or busy."""
    import ssl

    import urllib3
    from kubernetes.client.exceptions import ApiException

    if isinstance(error, ApiException):
        if error.status == 403:
            return _QUOTA_PENDING_TEXT in _read_message(error)
        # An unreachable admission webhook gives the status 500, with its error as the reason.
        return error.status in _TRANSIENT_STATUSES and "certificate verify failed" not in str(
            error.reason
        )
    if isinstance(error, urllib3.exceptions.HTTPError):
        return "CERTIFICATE_VERIFY_FAILED" not in str(error)
    return isinstance(error, OSError) and not isinstance(error, ssl.SSLCertVerificationError)


def _add_api_answer(error: Any) -> Any:
    """Add the API's status and body to a stream error; the library keeps only its text.

    The library also wraps a KeyboardInterrupt: that is returned unwrapped.
    """
    cause = error.__context__
    if isinstance(cause, KeyboardInterrupt):
        return cause
    if hasattr(cause, "status_code"):
        error.status, error.body = cause.status_code, cause.resp_body
    return error


def _read_message(error: Any) -> str:
    """Return the message of the Status object in an error, else the reason."""
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason or error)


def _shorten_message(error: BaseException) -> str:
    """Return the last part of an error's text, else its type."""
    return str(error).rpartition(": ")[2] or type(error).__name__


def labels_of(body: Mapping[str, Any]) -> dict[str, str]:
    """Return the labels of an object."""
    return dict(body["metadata"].get("labels") or {})
