"""What PodSecurity `restricted` asks of a pod and of its containers, as those of a run have it.

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
#: That of a container; beyond what is asked, it writes to no file of its image.
CONTAINER_CONTEXT: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
