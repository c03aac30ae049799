"""Which files of a repository are code, and which are secrets."""

import pytest

from launch.store.source_files import is_secret


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        (".env", True),
        ("a/.env.local", True),
        ("server.pem", True),
        ("id_rsa", True),
        ("id_ed25519.pub", True),
        ("hf_token", True),
        ("token.txt", True),
        ("credentials.json", True),
        ("my-secret.yaml", True),
        (".envrc", True),
        ("secrets/prod.yaml", True),
        (".pgpass", True),
        ("_netrc", True),
        (".docker/config.json", True),
        ("home/.aws/credentials", True),
        ("service-account.json", True),
        ("s5/conf/experiment/tokens.yaml", False),
        ("secrets/rotate.py", False),
        (".netrc", True),
        ("_netrc.py", False),
        ("s5/data/tokens.py", False),
        ("tokenizer.json", False),
        ("environment.yaml", False),
        ("secretary.txt", False),
        ("s5/keys.py", False),
    ],
)
def test_secrets_are_known_by_their_names(name: str, secret: bool) -> None:
    assert is_secret(name) == secret
