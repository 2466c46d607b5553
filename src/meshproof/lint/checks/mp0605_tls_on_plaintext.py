"""TLS on a plaintext port."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.inventory import Inventory
from meshproof.inventory.gateways import Server
from meshproof.inventory.tls import TlsSettings
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project

CODE = "MP0605"

_PLAIN_PROTOCOLS = ("grpc", "grpc-web", "http", "http2")
_TLS = ("HTTPS", "TLS")
#: TLS modes in which the caller's proxy begins TLS.
_ORIGINATING_MODES = ("SIMPLE", "MUTUAL")
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
        yield Hit(server.at, message, "tls: {mode: SIMPLE, credentialName: NAME}")
    if server.protocol in ("", *_TLS) or server.tls is None:
        return
    if isinstance(server.tls.content, dict) and set(server.tls.content) - {"httpsRedirect"}:
        message = f"port {server.number} is {server.protocol}, and tls is set for it"
        yield Hit(server.tls.at, message, "protocol: HTTPS, or without tls")


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
