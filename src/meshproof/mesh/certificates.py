"""A throw-away certificate authority that gives workloads SPIFFE identities."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

TRUST_DOMAIN = "cluster.local"
_LIFETIME = datetime.timedelta(days=1)
_SKEW = datetime.timedelta(minutes=5)


def spiffe_id(namespace: str, service_account: str) -> str:
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
    """A CA whose key lives only in this process; the certificates are in `folder`."""

    def __init__(self, folder: Path) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        self._folder = folder
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "meshproof run CA")])
        certificate = (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, self._algorithm())
        )
        self.certificate = folder / "ca.pem"
        self.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _algorithm(self):  # type: ignore[no-untyped-def]  # its class is private to the library
        from cryptography.hazmat.primitives import hashes

        return hashes.SHA256()

    def _builder(self, subject, public_key):  # type: ignore[no-untyped-def]
        from cryptography import x509

        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _SKEW)
            .not_valid_after(now + _LIFETIME)
        )

    def issue(self, namespace: str, service_account: str) -> Identity:
        """Return the identity of a service account, made at its first use."""
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        uri = spiffe_id(namespace, service_account)
        stem = f"{namespace}.{service_account}"
        identity = Identity(
            uri, self._folder / f"{stem}.pem", self._folder / f"{stem}.key", self.certificate
        )
        if identity.key.exists():
            return identity
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            self._builder(x509.Name([]), key.public_key())
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=True
            )
            .sign(self._key, self._algorithm())
        )
        identity.chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        identity.key.touch(mode=0o600)
        identity.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return identity
