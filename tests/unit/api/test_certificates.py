from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from quorate.api.grpc.certificates import Certificates, read_pair, validities, validity_problem
from quorate.errors import SettingsError
from support.certificates import certificate_files

DAY = timedelta(days=1)


def test_the_dates_of_a_certificate_are_read_from_its_file(tmp_path: Path) -> None:
    certificate, _ = certificate_files(tmp_path, days=100)
    [(begins, ends)] = validities(certificate.read_bytes())
    assert ends - begins == 100 * DAY
    assert timedelta(0) <= datetime.now(UTC) - begins < DAY
    chain = certificate.read_bytes() * 2
    assert len(validities(chain)) == 2


@pytest.mark.parametrize("days", [30, 20_000])
def test_what_has_expired_or_soon_will_is_told(tmp_path: Path, days: int) -> None:
    # After 2049 dates are written in another form.
    chain = certificate_files(tmp_path, days=days)[0].read_bytes()
    [(begins, ends)] = validities(chain)
    assert validity_problem(chain, begins) == ""
    assert validity_problem(chain, ends - 14 * DAY) == ""
    day = ends.strftime("%Y-%m-%d")
    assert validity_problem(chain, ends - 2.5 * DAY).startswith(f"expires in 2 days, on {day}")
    assert validity_problem(chain, ends).startswith(f"has expired on {day}")
    assert validity_problem(chain, begins - DAY).startswith("is not valid before ")


@pytest.mark.parametrize(
    "chain",
    [b"", b"\xff", b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"]
    + [
        b"-----BEGIN CERTIFICATE-----\n" + text + b"\n-----END CERTIFICATE-----"
        for text in (b"", b"MP//")
    ],
)
def test_what_is_no_certificate_has_no_dates(chain: bytes) -> None:
    assert validities(chain) == []
    assert validity_problem(chain, datetime.now(UTC)) == ""


def test_a_pair_that_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    certificate, _ = certificate_files(tmp_path / "a")
    _, other = certificate_files(tmp_path / "b")
    with pytest.raises(SettingsError, match="are not a PEM certificate and its key"):
        read_pair(str(certificate), str(other))
    with pytest.raises(SettingsError, match="No such file"):
        Certificates(str(tmp_path / "c"), str(other))
