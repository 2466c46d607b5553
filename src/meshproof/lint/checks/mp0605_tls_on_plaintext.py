"""TLS on a plaintext port."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.lookup import read_text
from meshproof.documents.manifest import Value
from meshproof.inventory import Inventory
from meshproof.inventory.gateways import Server
from meshproof.inventory.tls import TlsSettings
from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project

CODE = "MP0605"

_PLAIN_PROTOCOLS = ("grpc", "grpc-web", "http", "http2")
_TLS = ("HTTPS", "TLS")
#: TLS modes in which the caller's proxy begins TLS.
_ORIGINATING_MODES = ("SIMPLE", "MUTUAL")
#: TLS modes of a server that leave TLS as it comes, and the keys of its certificates in files.
_UNTERMINATED = ("PASSTHROUGH", "AUTO_PASSTHROUGH")
_FILES = ("caCertificates", "privateKey", "serverCertificate")
#: Ports that an outside service serves plain HTTP on, whatever the rule says.
_PLAIN_PORTS = (80, 8080)


def check(project: Project) -> Iterator[Hit]:
    """Report each TLS setting for a port that is plain, and HTTPS servers without any."""
    inventory = project.inventory
    for gateway in inventory.gateways.values():
        for server in gateway.servers if gateway.is_istio else ():
            yield from _check_server(server)
    for setting in inventory.tls_settings:
        if setting.mode in _ORIGINATING_MODES:
            yield from _check_client(inventory, setting)


def _check_server(server: Server) -> Iterator[Hit]:
    """Report a TLS server without tls, and a plain one with it."""
    if server.protocol in _TLS and server.tls is None:
        message = f"port {server.number} is {server.protocol} and has no tls"
        repair = "tls: {mode: SIMPLE, credentialName: NAME}"
        yield Hit(server.at, message, repair, Level.ERROR)
    if server.protocol in ("", *_TLS) or server.tls is None:
        return
    tls = server.tls
    is_refused = _is_refused(server.protocol, tls)
    if is_refused or (isinstance(tls.content, dict) and set(tls.content) - {"httpsRedirect"}):
        message = f"port {server.number} is {server.protocol}, and tls is set for it"
        level = Level.ERROR if is_refused else None
        yield Hit(tls.at, message, "protocol: HTTPS, or without tls", level)


def _is_refused(protocol: str, tls: Value) -> bool:
    """Say whether Istio refuses tls settings on a plain port (validateServer).

    On an HTTP port it takes those that terminate no TLS and name no certificate.
    """
    if not isinstance(tls.content, dict) or protocol.lower() not in _PLAIN_PROTOCOLS:
        return isinstance(tls.content, dict)
    mode = read_text(tls.content.get("mode")) or "PASSTHROUGH"
    return mode not in _UNTERMINATED or any(read_text(tls.content.get(key)) for key in _FILES)


def _check_client(inventory: Inventory, setting: TlsSettings) -> Iterator[Hit]:
    """Report a setting that begins TLS to a plain port of its host."""
    service = inventory.services.get(setting.host)
    entry = inventory.find_service_entry(setting.host)
    plain_ports: list[int] = []
    if service is not None:
        numbers = [port.number for port in service.ports]
        plain_ports = [
            number for number in numbers if service.find_protocol(number) in _PLAIN_PROTOCOLS
        ]
    elif entry is not None:
        plain_ports = [
            port.number
            for port in entry.ports
            if port.protocol.lower() in _PLAIN_PROTOCOLS
            and (port.target_port or port.number) in _PLAIN_PORTS
        ]
    for number in plain_ports:
        applies = setting.port == number or (
            setting.port is None and number not in setting.overridden_ports
        )
        if applies:
            message = f"TLS ({setting.mode}) for {setting.host}, whose port {number} is plain HTTP"
            yield Hit(
                setting.at, message, "tls under portLevelSettings for the TLS port, or DISABLE"
            )
            return
