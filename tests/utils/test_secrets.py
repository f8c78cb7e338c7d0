from __future__ import annotations

from collections.abc import Iterator

import pytest

from assay.errors import Place, Problem
from assay.utils.secrets import conceal, concealed, concealed_in, concealed_source, forget, hide, remember


@pytest.fixture(autouse=True)
def _known() -> Iterator[None]:
    remember("TOKEN", "a'b\\c/d é and more than that")
    remember("SEED", "7")
    yield
    forget()


@pytest.mark.parametrize(
    "text",
    [
        "a'b\\c/d é and more than that",
        repr("a'b\\c/d é and more than that")[1:-1],
        "a'b\\\\c/d \\u00e9 and more than that",
        "a%27b%5Cc%2Fd%20%C3%A9%20and%20more%20than%20that",
        "a'b\\c/d é an",
    ],
)
def test_a_value_is_hidden_however_it_is_written_and_wherever_it_is_cut(text: str) -> None:
    assert conceal(f"<{text}> <{text}>") == "<${env:TOKEN}> <${env:TOKEN}>"


def test_a_short_value_is_hidden_only_where_it_is_asked_for_as_a_word() -> None:
    assert conceal("epoch 7 of 17") == "epoch 7 of 17"
    assert conceal("epoch 7 of 17", ["SEED"]) == "epoch ${env:SEED} of 17"


def test_a_value_inside_another_one_does_not_uncover_it() -> None:
    remember("PART", "more than")
    assert conceal("a'b\\c/d é and more than that") == "${env:TOKEN}"


def test_what_is_expected_of_a_value_is_left_as_it_is() -> None:
    remember("DEVICE", "cuda")
    problem = concealed(Problem("no cuda", found="cuda", expected="auto, cpu, cuda", hint="not cuda"))
    shown = Problem("no ${env:DEVICE}", found="${env:DEVICE}", expected="auto, cpu, cuda", hint="not ${env:DEVICE}")
    assert problem == shown


def test_texts_inside_objects_and_lists_are_concealed() -> None:
    remember("DEVICE", "cuda")
    assert concealed_in({"a": ["cuda:0", 7, ("x", None)]}) == {"a": ["${env:DEVICE}:0", 7, ["x", None]]}


URL = "mongodb://me:hun%40ter2@db:27017/omniboard"


@pytest.mark.parametrize("text", [URL, "hun%40ter2", "hun@ter2", "bWU6aHVuQHRlcjI=", "mongodb://me:hun%40"])
def test_the_password_of_a_url_is_hidden_by_itself_too(text: str) -> None:
    remember("MONGO_URL", URL)
    assert conceal(f"no entry with {text}!") == "no entry with ${env:MONGO_URL}!"


def test_a_password_in_a_url_that_nothing_names_is_hidden() -> None:
    assert conceal("cannot reach http://me:pw1@host/") == "cannot reach http://me:***@host/"


def test_each_line_of_a_file_is_hidden_by_itself() -> None:
    remember("key.pem", "-----BEGIN-----\nabcdefghijklmnop\n", "file")
    assert conceal("got abcdefghijklmnop\\n") == "got ${file:key.pem}\\n"


def test_what_is_hidden_without_a_name_is_stars() -> None:
    hide("hunter2")
    assert conceal("no hunter2 here") == "no *** here"


def test_source_code_keeps_what_is_no_credential() -> None:
    remember("ROOT", "data_root")
    remember("DB_PASSWORD", "battery7")
    text = "data_root = 1\npassword = 'battery7'\nbattery77 = 'http://me:x1@host'\n"
    assert concealed_source(text) == text.replace("'battery7'", "'${env:DB_PASSWORD}'").replace(":x1@", ":***@")


def test_the_place_of_a_setting_and_the_line_of_a_mistake_do_not_show_a_password() -> None:
    hide("hunter2")
    given = Problem("wrong", Place("--set loggers.0.args.x=hunter2"), excerpt='"x": "hunter2"\n    ^')
    made = concealed(given)
    assert (str(made.place), made.excerpt) == ("--set loggers.0.args.x=***", "")
    plain = Problem("wrong", Place("run.json", 1, 2), excerpt='"x": "cuda"\n    ^')
    assert concealed(plain) == plain
    unread = Problem("wrong", Place("run.json", 1, 2), excerpt='"password": "never read",,\n    ^')
    assert concealed(unread).excerpt == ""
