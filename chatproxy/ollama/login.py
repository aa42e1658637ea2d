"""What requests to Ollama carry for those in front of it, which nobody may read in what is said of them."""

from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

MIN_SECRET: Final = 4  # characters; shorter values are in too many words
HIDDEN: Final = "****"


class Login(Struct, frozen=True):
    """The settings that headers come from, and what these say in each of its spellings."""

    settings: Sequence[str] = ()
    secrets: Sequence[str] = ()

    @classmethod
    def of(cls, settings: Sequence[str], headers: Mapping[str, str]) -> "Login":
        """Return the login that these headers are."""
        found = {secret for value in headers.values() for secret in _spellings(value)}
        return cls(settings, sorted(found, key=len, reverse=True))

    @property
    def places(self) -> str:
        """The settings in a sentence; empty if nothing says who asks."""
        return " and ".join(self.settings)

    def hidden(self, text: str) -> str:
        """Return a text without the secrets, which a response may repeat."""
        for secret in self.secrets:
            text = text.replace(secret, HIDDEN)
        return text


def _spellings(value: str) -> Iterator[str]:
    """Yield a header's value, what follows its scheme and, of `Basic`, the pair and the password."""
    scheme, _, rest = value.partition(" ")
    found = [value, rest.strip()]
    if scheme.lower() == "basic":
        try:
            pair = b64decode(rest).decode()
        except ValueError:  # which includes those of base64 and UTF-8
            pair = ""
        found += [pair, pair.partition(":")[2]]
    yield from (each for each in found if len(each) >= MIN_SECRET)
