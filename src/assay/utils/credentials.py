"""What a password looks like in a text: inside of a URL, under the name of an argument, in a header."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from urllib.parse import unquote

__all__ = ["HIDDEN", "credentials_of", "masked", "masked_value", "names_secret", "without_assignments"]

HIDDEN = "***"

_WORDS = r"(?:password|passwd|passphrase|token|secret|api_?key|access_?key|secret_?key|credentials?)"
_NAME = re.compile(rf"(?:{_WORDS}|authorization|basic_?auth|http_?auth)$", re.IGNORECASE)
# RFC 3986, 3.2.1; people also write @ and / into a password as they are, which a port before a path must not look like.
_USERINFO = re.compile(
    r"""(?P<before>\b[a-z][a-z0-9+.-]*://(?P<user>(?:\$\{[^{}\s]*\}|[^\s/?\#:@'"<>])*):)"""
    r"""(?P<secret>[^\s/?\#'"<>]+|(?!\d{1,5}[/?\#,])[^\s@'"<>]+)(?=@)""",
    re.IGNORECASE,
)
# A lone name is a token where the scheme is that of a web server, and a user's name elsewhere (`ssh://git@host`).
_LONE = re.compile(r"""(?P<before>\bhttps?://)(?P<secret>[^\s/?\#:@'"<>]+)(?=@)""", re.IGNORECASE)
_QUERY = re.compile(rf"""(?P<before>[?&;][\w.-]*{_WORDS}=)(?P<secret>[^&;\s\#'"<>]+)""", re.IGNORECASE)
_AWS = re.compile(r"(?P<before>\bAWS_SESSION_TOKEN:)(?P<secret>[^&,\s'\"<>]+)")
_HEADER = re.compile(
    r"""(?P<before>\bauthorization["']?\s*[:=]\s*(?:b?["'])?(?:(?:basic|bearer|apikey)\s+)?)"""
    r"""(?P<secret>(?!(?:basic|bearer|apikey)\b)[^\s'",;}]{4,})""",
    re.IGNORECASE,
)
_IN_URLS = (_USERINFO, _LONE, _QUERY, _AWS)
# `${env:PASSWORD}`, f"{password}", "%s", "$PASSWORD", "<password>" and what is hidden already say where one comes from.
_PLACEHOLDER = re.compile(r"\$?[{(<]|\$[A-Z_]+$|%s|%\(|\*\*\*")
# In a text that is one value a quote is a character like others.
_QUOTES = str.maketrans({"'": "\ue000", '"': "\ue001"})
_QUOTES_AGAIN = str.maketrans({"\ue000": "'", "\ue001": '"'})
_ASSIGNED = re.compile(
    rf"""(?P<before>[\w-]*{_WORDS}["']?\s*[:=]\s*)(?P<secret>["'][^"']+["']|(?!\$\{{)[^\s"'{{\[,]+)""", re.I
)


def names_secret(name: str) -> bool:
    """Whether the value of an argument of this name is a secret.

    >>> [names_secret(name) for name in ("password", "mongo-token", "API_KEY", "password_file", "tokens")]
    [True, True, True, False, False]
    """
    return bool(_NAME.search(name.replace("-", "_")))


def credentials_of(text: str) -> Iterator[str]:
    """Every password and token in the URLs of a value, also decoded, and as the header of a request carries them."""
    for pattern in _IN_URLS:
        for found in pattern.finditer(text.translate(_QUOTES)):
            secret = found["secret"].translate(_QUOTES_AGAIN)
            if _PLACEHOLDER.match(secret):
                continue
            yield from (secret, unquote(secret))
            if pattern is _USERINFO:
                pair = f"{unquote(found['user'])}:{unquote(secret)}"
                yield from (f"{found['user']}:{secret}", b64encode(pair.encode()).decode())


def masked_value(text: str) -> str:
    """The same as `masked` for a text that is one value: quotes may stand in its password."""
    return masked(text.translate(_QUOTES)).translate(_QUOTES_AGAIN)


def masked(text: str) -> str:
    """`text` with `***` for what stands where a URL or a header has a password.

    >>> masked("no answer from mongodb://me:hunter2@db:27017/?w=1, http://db:80/a@b")
    'no answer from mongodb://me:***@db:27017/?w=1, http://db:80/a@b'
    """
    for mark, patterns in (("://", (_USERINFO, _LONE, _AWS)), ("=", (_QUERY,)), ("uthorization", (_HEADER,))):
        if mark in text:
            for pattern in patterns:
                text = pattern.sub(_hidden, text)
    return text


def without_assignments(text: str) -> str:
    """The same for lines of a configuration: also what is written under a secret's name."""
    return _ASSIGNED.sub(_hidden, masked(text))


def _hidden(found: re.Match[str]) -> str:
    return found[0] if _PLACEHOLDER.match(found["secret"].lstrip("\"'")) else f"{found['before']}{HIDDEN}"
