"""The throw-away CA: SPIFFE ids, what the certificates say, and who may read the keys."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from meshproof.mesh.envoy.certificates import Authority, Identity, format_spiffe_id


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "certificates")


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def issued(authority: Authority, account: str = "reviewer") -> tuple[Identity, x509.Certificate]:
    identity = authority.issue("shop", account)
    return identity, certificate(identity.chain)


def test_a_spiffe_id_is_that_of_istio() -> None:
    assert format_spiffe_id("shop", "reviewer") == "spiffe://cluster.local/ns/shop/sa/reviewer"


def test_the_id_is_the_only_name_of_a_workload(authority: Authority) -> None:
    identity, leaf = issued(authority)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert list(names.value) == [x509.UniformResourceIdentifier(identity.uri)]
    assert names.critical, "RFC 5280, 4.2.1.6: critical where the subject is empty"
    assert leaf.subject == x509.Name([])


def test_the_ca_has_signed_it_and_another_ca_has_not(authority: Authority, tmp_path: Path) -> None:
    identity, leaf = issued(authority)
    leaf.verify_directly_issued_by(certificate(identity.ca))
    other_authority = Authority(tmp_path / "other")
    with pytest.raises(InvalidSignature):
        leaf.verify_directly_issued_by(certificate(other_authority.certificate))


def test_only_the_ca_may_sign(authority: Authority) -> None:
    identity, leaf = issued(authority)
    constraints = certificate(identity.ca).extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.value.ca
    assert constraints.value.path_length == 0
    with pytest.raises(x509.ExtensionNotFound):
        leaf.extensions.get_extension_for_class(x509.BasicConstraints)


def test_a_server_for_every_host_has_a_name_without_which_envoy_takes_no_certificate(
    authority: Authority,
) -> None:
    # Found by generated sets: the local mesh did not start with a Gateway for `*` without rules.
    own = certificate(authority.issue_for_names("gateway", []).chain)
    names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["unasked.invalid"]


def test_it_holds_for_months_and_its_ca_for_years(authority: Authority) -> None:
    identity, leaf = issued(authority)
    now = datetime.datetime.now(datetime.UTC)
    assert leaf.not_valid_before_utc < now < leaf.not_valid_after_utc
    assert leaf.not_valid_after_utc - now <= datetime.timedelta(days=90)
    years = (certificate(identity.ca).not_valid_after_utc - now) / datetime.timedelta(days=365)
    assert 5 < years < 11, "as Istio's root"


def test_keys_are_for_the_owner_alone(authority: Authority) -> None:
    identity, _ = issued(authority)
    assert identity.key.stat().st_mode & 0o777 == 0o600
    assert identity.key.parent.stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in identity.key.parent.glob("*.key")) == ["shop.reviewer.key"]


def test_an_identity_is_made_once_and_each_account_has_its_own(authority: Authority) -> None:
    identity, leaf = issued(authority)
    second_identity, second_leaf = issued(authority)
    assert (second_identity, second_leaf) == (identity, leaf)
    _, other_leaf = issued(authority, "other")
    assert other_leaf.public_key() != leaf.public_key()
    assert other_leaf.serial_number != leaf.serial_number
