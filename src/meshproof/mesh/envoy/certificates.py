"""A certificate authority for one run that gives workloads SPIFFE identities."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from meshproof.base.files import name_file

TRUST_DOMAIN = "cluster.local"
#: Of a run's CA, as long as that of Istio's root; it is nowhere else trusted.
_CA_LIFETIME = datetime.timedelta(days=3650)
#: Of all other certificates. Those of a mesh that is kept are renewed in the last third of it.
LIFETIME = datetime.timedelta(days=90)
_CA_KEY = "ca.key"
#: What the key of a CA is for.
_CA_USAGE = x509.KeyUsage(
    key_cert_sign=True,
    crl_sign=True,
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)
_SKEW = datetime.timedelta(minutes=5)
_UNASKED_NAME = "unasked.invalid"


def format_spiffe_id(namespace: str, service_account: str) -> str:
    """Return the SPIFFE id of a service account, in Istio's form (SPIFFE spec, section 2)."""
    return f"spiffe://{TRUST_DOMAIN}/ns/{namespace}/sa/{service_account}"


@dataclass(frozen=True)
class Identity:
    """Paths of a workload's certificate chain and key, and of the CA that it trusts."""

    uri: str
    chain: Path
    key: Path
    ca: Path


class Authority:
    """A CA whose key lives only in this process, see `keep`; the certificates are in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "meshproof run CA")])
        self.certificate = folder / "ca.pem"
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        self._sign(self._name, self._key, constraints, self.certificate)

    def keep(self) -> None:
        """Write the CA's key beside its certificates, for `renew` to sign with."""
        _write_key(self._key, self._folder / _CA_KEY)

    def renew(self, former: Path) -> None:
        """Sign what another CA has signed in the folder `former`, for the same keys and names.

        The CA itself, its key and its certificate, is taken over.
        """
        self._key = _read_key(former / _CA_KEY)
        self.certificate.write_bytes((former / self.certificate.name).read_bytes())
        self.keep()
        for chain in list_leaves(former):
            key = _read_key(chain.with_suffix(".key"))
            old = x509.load_pem_x509_certificate(chain.read_bytes())
            names = old.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            self._sign(x509.Name([]), key, names, self._folder / chain.name)
            _write_key(key, self._folder / chain.with_suffix(".key").name)

    def issue(self, namespace: str, service_account: str) -> Identity:
        """Return the identity of a service account, made at its first use."""
        uri = format_spiffe_id(namespace, service_account)
        file_name = name_file(f"{namespace}.{service_account}")
        chain, private = self._folder / f"{file_name}.pem", self._folder / f"{file_name}.key"
        if not private.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            name = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])
            self._sign(x509.Name([]), key, name, chain)
            _write_key(key, private)
        return Identity(uri, chain, private, self.certificate)

    def issue_for_address(self, name: str, address: str) -> Identity:
        """Return the certificate of a server, or of its client, at an IP address."""
        return self._issue_for(name, x509.IPAddress(ip_address(address)))

    def issue_for_host(self, host: str) -> Identity:
        """Return the certificate of a server outside with this host."""
        return self._issue_for(name_file(f"host {host}"), x509.DNSName(host))

    def _issue_for(self, name: str, holder: x509.GeneralName) -> Identity:
        """Return the certificate of a server, in files of a name."""
        chain, private = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        key = ec.generate_private_key(ec.SECP256R1())
        self._sign(x509.Name([]), key, x509.SubjectAlternativeName([holder]), chain)
        _write_key(key, private)
        return Identity("", chain, private, self.certificate)

    def issue_for_names(self, name: str, names: Iterable[str]) -> Identity:
        """Return the certificate of a server with DNS names, or of a client.

        Without any, as for a Gateway's server for every host, it has one that nobody asks for.
        """
        chain, private = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        key = ec.generate_private_key(ec.SECP256R1())
        given_names = list(names) or [_UNASKED_NAME]  # Envoy takes no certificate without a name
        dns_names = x509.SubjectAlternativeName(
            [x509.DNSName(dns_name) for dns_name in given_names]
        )
        self._sign(x509.Name([]), key, dns_names, chain)
        _write_key(key, private)
        return Identity("", chain, private, self.certificate)

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        extension: x509.ExtensionType,
        path: Path,
    ) -> None:
        """Write a certificate of this CA for `key`, with one critical extension, to `path`."""
        now = datetime.datetime.now(datetime.UTC)
        own_key = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        ca_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _SKEW)
            .not_valid_after(
                now + (_CA_LIFETIME if isinstance(extension, x509.BasicConstraints) else LIFETIME)
            )
            .add_extension(extension, critical=True)
            .add_extension(own_key, critical=False)  # strict clients want both
            .add_extension(ca_key, critical=False)
        )
        if isinstance(extension, x509.BasicConstraints):
            builder = builder.add_extension(_CA_USAGE, critical=True)
        certificate = builder.sign(self._key, hashes.SHA256())
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def list_leaves(folder: Path) -> list[Path]:
    """Return the certificates in a folder, without that of the CA."""
    return sorted(path for path in folder.glob("*.pem") if path.name != "ca.pem")


def read_end(folder: Path) -> datetime.datetime | None:
    """Return when the first of the certificates in a folder ends; None where there are none."""
    chains = [x509.load_pem_x509_certificate(path.read_bytes()) for path in list_leaves(folder)]
    return min((chain.not_valid_after_utc for chain in chains), default=None)


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Return the private key in a file that `_write_key` wrote."""
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{path}: not a key of ours")
    return key


def _write_key(key: ec.EllipticCurvePrivateKey, path: Path) -> None:
    """Write a private key so that only this user can read it."""
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
