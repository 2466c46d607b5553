"""The echo workload: it answers any request with that request and its own name.

It stands in for hosts that only rules mention. `python -m meshproof.apps.echo [SERVICE]`; the
argument, else SERVICE_NAME, is the service's name.
"""

from __future__ import annotations

import os
import sys

from meshproof.apps import serve


def answer_echo(request: serve.Request) -> serve.Response:
    """Answer any method and path, /health too, with 200 and the request as JSON."""
    return serve.make_json_response(
        {
            "service": os.environ.get("SERVICE_NAME", "echo"),
            "version": serve.read_version(),
            "pod": serve.read_pod_name(),
            "method": request.method,
            "path": request.path + (f"?{request.query}" if request.query else ""),
            "headers": request.headers,
        }
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        os.environ["SERVICE_NAME"] = sys.argv[1]
    serve.run_server(answer_echo, default_port=8080, health=False)
