"""What is blanked out, what is masked, and what stays readable."""

from __future__ import annotations

import pytest

from offerhub.domain.redaction import REDACTED, redact


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("ada@example.com", "a***@example.com"),
        ("mail Ada <ada.l+x@mail.example.co.uk>, please", "mail Ada <a***@mail.example.co.uk>, please"),
        ("ünï@bücher.example", "ü***@bücher.example"),
        ("a@b.example,c@d.example", "a***@b.example,c***@d.example"),
        ("postgresql://me:pw@db.example/x", f"postgresql://{REDACTED}@db.example/x"),
        ("80.00 USDC @ 12", "80.00 USDC @ 12"),
        ("GCNK7QDCXA45LI5XLGFMOHB5PQSZW3W2AXUC2IP22W4FMQBJ4W7YZGBV", "GCNK7QDCXA45LI5XLGFMOHB5PQSZW3W2AXUC2IP22W4FMQBJ4W7YZGBV"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", REDACTED),
        ("ohk_tok_abc", REDACTED),
    ],
)
def test_strings(written: str, kept: str) -> None:
    assert redact("note", written) == kept
    assert redact("", {"a": [{"b": (written,)}]}) == {"a": [{"b": [kept]}]}


def test_names_and_depths() -> None:
    assert redact("", {"apiKey": "x", "secret": 1, "password": None, "scopes": ["read"], "raw": b"x"}) == {
        "apiKey": REDACTED,
        "secret": REDACTED,
        "password": None,
        "scopes": ["read"],
        "raw": REDACTED,
    }
    names = ("tokenId", "token_id", "apiKeyId", "secretId", "tokenIdea", "token", "userToken")
    assert [redact(name, "x") for name in names] == ["x", "x", "x", REDACTED, REDACTED, REDACTED, REDACTED]
    deep: object = "ada@example.com"
    for _ in range(8):
        deep = {"in": deep}
    assert "ada" not in str(redact("", deep))
