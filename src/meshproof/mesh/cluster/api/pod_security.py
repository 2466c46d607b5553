"""The security contexts by which a run's pods meet PodSecurity `restricted`.

Source: Kubernetes docs, "Pod Security Standards".
"""

from __future__ import annotations

from typing import Any

#: The securityContext of a pod: any user but root.
POD_CONTEXT: dict[str, Any] = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "runAsGroup": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}
#: The securityContext of a container; stricter than required, its file system is read-only.
CONTAINER_CONTEXT: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
