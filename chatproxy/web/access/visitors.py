"""What visitors may do: the calls for what is theirs, so many times a minute, and be so many.

An address may gather any number of tokens in time. What it sends with all of them counts together, and may
be as much as `visitors_per_address` visitors send. How much a visitor keeps is for the store, and how many
answers it has at once for the queue.
"""

from collections.abc import Sequence
from typing import Final

from chatproxy.config import Config
from chatproxy.errors import ChatError
from chatproxy.web.access.rates import Rate

# What belongs to a visitor is below these paths, relative to where the application is mounted.
THEIRS: Final = ("/api/chat/", "/api/documents", "/v1/responses", "/api/models")
# Those of them that are not for visitors.
NOT_THEIRS: Final = frozenset({"/api/chat/sessions/import"})
NOTHING: Final = "/{path}"  # where there is nothing
SENDING: Final = frozenset({"POST", "PATCH"})
STOPPING: Final = ("/cancel", "/stop")  # ends of paths whose POST sends nothing
ALL: Final = ""  # the key for all new visitors


class Visitors:
    """The limits of an application's visitors."""

    def __init__(self, config: Config) -> None:
        self._new = Rate(config.visitors_per_minute)
        self._new_of_address = Rate(config.visitors_per_address)
        self._sends = Rate(config.visitor_sends_per_minute)
        self._sends_of_address = Rate(config.visitor_sends_per_minute * config.visitors_per_address)

    def admit_new(self, address: str) -> None:
        """Count a new visitor. Raises `visitor_limit`."""
        _take(
            [(self._new_of_address, address), (self._new, ALL)],
            "There are many new visitors at the moment; try again in a minute.",
        )

    def admit(self, visitor: str, address: str, method: str, path: str) -> None:
        """Count a visitor's request; `path` is its route's. Raises `not_for_visitors` and `visitor_limit`."""
        if not is_theirs(path):
            raise refusal()
        if is_sending(method, path):
            _take(
                [(self._sends, visitor), (self._sends_of_address, address)],
                "That was much in one minute; wait a moment, and send it again.",
            )


def is_theirs(path: str) -> bool:
    """Return whether a route is for visitors, too."""
    return path == NOTHING or (path.startswith(THEIRS) and path not in NOT_THEIRS)


def is_sending(method: str, path: str) -> bool:
    """Return whether a call to a route counts among what a visitor sends."""
    return method in SENDING and not path.endswith(STOPPING)


def refusal() -> ChatError:
    """Return the error of a call that is not for visitors."""
    return ChatError(
        "not_for_visitors",
        "Visitors may use their own conversations and documents, and nothing else; log in for this.",
    )


def _take(rates: Sequence[tuple[Rate, str]], sentence: str) -> None:
    """Count a time of each rate, or of none. Raises `visitor_limit`."""
    if seconds := max(rate.wait(key) for rate, key in rates):
        raise ChatError("visitor_limit", sentence, retry_after=seconds)
    for rate, key in rates:
        rate.take(key)
