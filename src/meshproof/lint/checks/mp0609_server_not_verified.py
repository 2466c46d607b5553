"""Server certificate that nothing verifies."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.inventory.tls import TlsSettings
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project

CODE = "MP0609"


def check(project: Project) -> Iterator[Hit]:
    """Report each TLS setting that accepts any certificate of the server."""
    for setting in project.inventory.tls_settings:
        content = setting.value.content if isinstance(setting.value.content, dict) else {}
        if setting.mode not in ("SIMPLE", "MUTUAL"):
            continue
        skip_verify = content.get("insecureSkipVerify")
        if skip_verify is not None and skip_verify.content is True:
            message = f"insecureSkipVerify: any certificate passes for {setting.host}"
            yield Hit(skip_verify.at, message, "caCertificates: system")
        elif not _names_authority(setting):
            message = (
                f"no caCertificates for {setting.host}: what the server shows may not be checked"
            )
            yield Hit(setting.at, message, "caCertificates: system")


def _names_authority(setting: TlsSettings) -> bool:
    """Say whether a setting has CA certificates, of its own or in a secret that is read."""
    content = setting.value.content if isinstance(setting.value.content, dict) else {}
    return "caCertificates" in content or (
        "credentialName" in content and setting.rule.has_selector
    )
