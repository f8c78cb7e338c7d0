"""Why a tracker does not answer, in words: the libraries say it in a paragraph of addresses and inner exceptions."""

from __future__ import annotations

import re

from assay.utils.secrets import conceal

__all__ = ["in_full", "reason"]

_LONGEST = 300

# Of what a library raises, the first that is found in its text; the words of the library follow in brackets.
_PLAIN = (
    ("its disk is full", r"No space left on device|OutOfDiskSpace|disk is full|flood-stage watermark"),
    ("its address is not known", r"Name or service not known|nodename nor servname|getaddrinfo|NameResolutionError"),
    ("nothing listens there", r"Connection refused|ECONNREFUSED"),
    ("it cannot be reached", r"No route to host|Network is unreachable"),
    ("its certificate is not trusted", r"CERTIFICATE_VERIFY_FAILED|certificate verify failed"),
    ("it refuses the name and password", r"Authentication failed|AuthenticationFailed|Unauthorized|\b401\b"),
    ("it does not answer in time", r"[Tt]imed out|Timeout\b|ConnectTimeout|ReadTimeout|NetworkTimeout"),
    (
        "the connection was lost",
        r"Connection aborted|RemoteDisconnected|reset by peer|[Cc]onnection closed|Broken pipe|ProtocolError",
    ),
    ("it has a fault of its own", r"\b50[0-4]\b|[Ii]nternal ?[Ss]erver ?[Ee]rror|InternalError"),
)
_OURS = ("assay", "builtins", "__main__")
_ADDRESS = re.compile(r"(?<![\w.@])(?:\d{1,3}(?:\.\d{1,3}){3}|[A-Za-z][\w-]*(?:\.[\w-]+)*):\d{2,5}\b")


def reason(error: BaseException) -> str:
    """In one line: what it comes to, and what the library calls it.

    Errors of Python, of assay and of a logger of the user's own are told as they are, but for those of the network
    and for a full disk.
    """
    text = in_full(error)
    module = type(error).__module__.partition(".")[0]
    of_library = isinstance(error, OSError) or module not in _OURS
    # pymongo says which timeouts are set, whatever it was.
    told = re.sub(r"\(configured timeouts:[^)]*\)|, Timeout: .*", "", text)
    for plain, pattern in _PLAIN if of_library else _PLAIN[:1]:
        if re.search(pattern, told):
            address = _ADDRESS.search(told)
            return f"{plain} ({f'{address[0]}, ' if address else ''}{type(error).__name__})"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 2]} …"


def in_full(error: BaseException) -> str:
    """All of it, in one line, without passwords."""
    return " ".join(conceal(f"{type(error).__name__}: {error}").split())
