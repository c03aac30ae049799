"""A secret of the environment does not enter a configuration, which is stored where everybody can read it."""

import pytest
from omegaconf import OmegaConf

from s5.config.errors import InvalidConfig
from s5.config.nodes import plain_values


@pytest.mark.parametrize(
    "text",
    [
        "${oc.env:HF_TOKEN}",
        "folder/${oc.env:HF_TOKEN}/x",
        "${oc.env:${name}}",
        "${oc.decode:${oc.env:HF_TOKEN}}",
        "${oc.env:HF_TOKEN,none}",
        "${oc.env:STORE}",
    ],
)
def test_a_secret_of_the_environment_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hush")
    monkeypatch.setenv("STORE", "postgres://me:hush@host/base")
    config = OmegaConf.create({"data": {"root": text}, "name": "HF_TOKEN"})
    with pytest.raises(InvalidConfig, match=r"data\.root: `\$\{oc\.env:\w+\}` looks like a secret") as caught:
        plain_values(config)
    assert "hush" not in str(caught.value)


def test_other_variables_are_read_and_the_resolver_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_DATA", "/data")
    monkeypatch.setenv("MY_PASSWORD", "x")
    config = OmegaConf.create({"a": "${oc.env:MY_DATA}", "b": "${oc.env:NO_SUCH_VARIABLE,other}"})
    assert plain_values(config) == {"a": "/data", "b": "other"}
    assert OmegaConf.create({"a": "${oc.env:MY_PASSWORD}"}).a == "x"
