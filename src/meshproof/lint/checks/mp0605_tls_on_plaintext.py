"""TLS on a plaintext port."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.inventory import Inventory, Server, read_inventory, read_protocol
from meshproof.lint.model.tls import TlsSettings, read_tls_settings

CODE = "MP0605"

_PLAIN = ("grpc", "grpc-web", "http", "http2")
_TLS = ("HTTPS", "TLS")
_BEGINS = ("SIMPLE", "MUTUAL")
#: Ports that an outside service serves plain HTTP on, whatever the rule says.
_PLAIN_PORTS = (80, 8080)


def check(project: Project) -> Iterator[Hit]:
    """Report each TLS setting for a port that is plain, and HTTPS servers without any."""
    around = read_inventory(project)
    for way in around.gateways.values():
        for server in way.servers if way.is_istio else ():
            yield from _server(server)
    for setting in read_tls_settings(around):
        if setting.mode in _BEGINS:
            yield from _client(around, setting)


def _server(server: Server) -> Iterator[Hit]:
    if server.protocol in _TLS and server.tls is None:
        said = f"port {server.number} is {server.protocol} and has no tls"
        yield Hit(server.at, said, "tls: {mode: SIMPLE, credentialName: NAME}")
    if server.protocol in ("", *_TLS) or server.tls is None:
        return
    if isinstance(server.tls.content, dict) and set(server.tls.content) - {"httpsRedirect"}:
        said = f"port {server.number} is {server.protocol}, and tls is set for it"
        yield Hit(server.tls.at, said, "protocol: HTTPS, or without tls")


def _client(around: Inventory, setting: TlsSettings) -> Iterator[Hit]:
    service, entry = around.services.get(setting.host), around.find_service_entry(setting.host)
    plain: list[int] = []
    if service is not None:
        numbers = [one.number for one in service.ports]
        plain = [one for one in numbers if read_protocol(service, one) in _PLAIN]
    elif entry is not None:
        plain = [
            one.number
            for one in entry.ports
            if one.protocol.lower() in _PLAIN and (one.target_port or one.number) in _PLAIN_PORTS
        ]
    for number in plain:
        if setting.port in (None, number) and not (
            setting.port is None and number in setting.overridden_ports
        ):
            said = f"TLS ({setting.mode}) for {setting.host}, whose port {number} is plain HTTP"
            yield Hit(setting.at, said, "tls under portLevelSettings for the TLS port, or DISABLE")
            return
