from __future__ import annotations

import pytest

from assay.utils.credentials import credentials_of, masked, masked_value, names_secret, without_assignments


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mongodb://me:hunter2@db:27017/?w=1", "mongodb://me:***@db:27017/?w=1"),
        ("mongodb://me:hunter2@one:1,two:2,three/x", "mongodb://me:***@one:1,two:2,three/x"),
        ("mongodb+srv://me:hun%40ter@db", "mongodb+srv://me:***@db"),
        ("mongodb://me:hun@ter@db:1", "mongodb://me:***@db:1"),
        ("mongodb://me:hun/ter@db:1", "mongodb://me:***@db:1"),
        ("redis://:hunter2@db", "redis://:***@db"),
        ("http://one:9200,http://me:hunter2@two", "http://one:9200,http://me:***@two"),
        ("(https://ghp_0123456789@github.com/me/x.git)", "(https://***@github.com/me/x.git)"),
        ("https://es/?api_key=hunter2&pretty", "https://es/?api_key=***&pretty"),
        (
            "db://h/?authMechanismProperties=AWS_SESSION_TOKEN:hunter2",
            "db://h/?authMechanismProperties=AWS_SESSION_TOKEN:***",
        ),
        ("Authorization: Basic aHVudGVyMg==", "Authorization: Basic ***"),
        ("{'authorization': 'ApiKey aHVudGVyMg=='}", "{'authorization': 'ApiKey ***'}"),
    ],
)
def test_what_a_url_or_a_header_has_as_password_is_masked(text: str, shown: str) -> None:
    assert masked(text) == shown
    assert masked(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "http://db:8080/a@b",
        "ssh://git@github.com/me/x.git",
        "git@github.com:me/x.git",
        "mail me@example.org, see http://localhost:9200/",
        "mongodb://${env:USER}:${env:PASSWORD}@db",
        'f"mongodb://{user}:{password}@{host}"',
        "http://me:$PASSWORD@db",
        "token=the, password: none",
        "s3://bucket/a:b@c",
    ],
)
def test_what_has_no_password_is_left_as_it_is(text: str) -> None:
    assert masked(text) == text
    assert list(credentials_of(text)) == []


def test_the_credentials_of_a_url_are_told_in_every_form() -> None:
    found = list(credentials_of("mongodb://me:hun%40ter@db/?password=else"))
    assert found == ["hun%40ter", "hun@ter", "me:hun%40ter", "bWU6aHVuQHRlcg==", "else", "else"]


def test_a_quote_may_stand_in_the_password_of_a_value() -> None:
    assert masked_value("mongodb://me:hun'ter@db") == "mongodb://me:***@db"
    assert "hun'ter" in credentials_of("mongodb://me:hun'ter@db")


@pytest.mark.parametrize("name", ["password", "PASSWORD", "mongo_password", "api_key", "api-key", "hf_token", "secret"])
def test_names_of_secrets_are_known(name: str) -> None:
    assert names_secret(name)


@pytest.mark.parametrize("name", ["password_file", "tokens", "mongo_url", "key", "user", "secretary"])
def test_other_names_are_not(name: str) -> None:
    assert not names_secret(name)


def test_a_line_of_a_configuration_is_shown_without_what_is_assigned_to_a_secret() -> None:
    assert without_assignments('"password": "hunter2", "lr": 1') == '"password": ***, "lr": 1'
    assert without_assignments("--set loggers.0.args.password=hunter2") == "--set loggers.0.args.password=***"
    assert without_assignments("token: ${env:TOKEN}") == "token: ${env:TOKEN}"
