"""The certificates of a kept mesh: signed anew before they end, and named in every config."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest
from cryptography import x509

from meshproof.mesh.envoy.certificates import LIFETIME, Authority, list_leaves
from meshproof.mesh.local.renewal import renew_certificates

NOW = datetime.datetime.now(datetime.UTC)
ALMOST_OVER = NOW + LIFETIME * 0.8


@pytest.fixture
def run(tmp_path: Path) -> Path:
    authority = Authority(tmp_path / "certificates")
    identity = authority.issue("shop", "reviewer")
    authority.issue_for_host("pay.example.com")
    authority.keep()
    (tmp_path / "reviews").mkdir()
    resources = [{"chain": str(identity.chain), "ca": str(identity.ca)}]
    for kind in ("lds", "cds"):
        config = {"version_info": "first", "resources": resources}
        (tmp_path / "reviews" / f"{kind}.json").write_text(json.dumps(config))
    return tmp_path


def read_leaves(folder: Path) -> dict[str, x509.Certificate]:
    return {
        path.name: x509.load_pem_x509_certificate(path.read_bytes()) for path in list_leaves(folder)
    }


def test_they_are_signed_anew_for_the_same_keys_and_names(run: Path) -> None:
    old = read_leaves(run / "certificates")
    assert renew_certificates(run, ALMOST_OVER) is not None
    new = read_leaves(run / "certificates.1")
    assert list(new) == list(old)
    ca = (run / "certificates.1" / "ca.pem").read_bytes()
    assert ca == (run / "certificates" / "ca.pem").read_bytes()
    for name, leaf in new.items():
        leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(ca))
        assert leaf.serial_number != old[name].serial_number
        assert leaf.not_valid_before_utc <= datetime.datetime.now(datetime.UTC)
        assert leaf.not_valid_after_utc >= old[name].not_valid_after_utc
        assert leaf.public_key() == old[name].public_key()
        names = x509.SubjectAlternativeName
        assert leaf.extensions.get_extension_for_class(names) == old[
            name
        ].extensions.get_extension_for_class(names)
    keys = [path.stat().st_mode & 0o777 for path in (run / "certificates.1").glob("*.key")]
    assert keys == [0o600] * 3


def test_every_config_names_them_under_another_version(run: Path) -> None:
    renew_certificates(run, ALMOST_OVER)
    for kind in ("lds", "cds"):
        config = json.loads((run / "reviews" / f"{kind}.json").read_text())
        assert config["version_info"] != "first"
        chains = [Path(resource["chain"]) for resource in config["resources"]]
        assert chains == [run / "certificates.1" / "shop.reviewer.pem"]
        assert all(chain.exists() for chain in chains)
    renew_certificates(run, ALMOST_OVER + LIFETIME * 0.8)
    assert "/certificates.2/" in (run / "reviews" / "lds.json").read_text()


def test_nothing_changes_before_their_last_third(run: Path) -> None:
    before = (run / "reviews" / "lds.json").read_bytes()
    end = renew_certificates(run, NOW + LIFETIME * 0.6)
    assert end == next(iter(read_leaves(run / "certificates").values())).not_valid_after_utc
    assert not (run / "certificates.1").exists()
    assert (run / "reviews" / "lds.json").read_bytes() == before


def test_configs_that_a_killed_command_left_behind_are_mended(run: Path) -> None:
    before = (run / "reviews" / "cds.json").read_bytes()
    renew_certificates(run, ALMOST_OVER)
    (run / "reviews" / "cds.json").write_bytes(before)
    renew_certificates(run, NOW)
    assert "/certificates.1/" in (run / "reviews" / "cds.json").read_text()


def test_a_run_without_certificates_of_ours_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "certificates").mkdir()
    assert renew_certificates(tmp_path, ALMOST_OVER) is None
