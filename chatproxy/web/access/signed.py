"""JSON Web Tokens (RFC 7519), signed with a secret that this server shares with another one: HS256 only.

`sub` names the user, or with `visitor: true` a visitor. Of its header, only the algorithm counts. What is
wrong with one is said in a sentence that quotes none of it.

PyJWT is imported when the first object is made, because most servers have no use for it.
"""

import re
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from time import time
from typing import Any, Final

from msgspec import Struct

from chatproxy.values import VISITOR, YEAR, user_name

ALGORITHM: Final = "HS256"
LEEWAY: Final = 30  # seconds by which the clocks of two servers may differ
KNOWN: Final = 4096  # tokens whose signature need not be checked again
_FORM: Final = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class Known(Struct, frozen=True):
    """What a token says: who owns what is made with it, and the Unix time from which it is good no more."""

    owner: str
    expires: float


class SignedTokens:
    """The tokens of one application. `user_form` returns the form of a name in which it is compared.

    The first of `secrets` signs; a token may be signed with any of them. `visitors` is whether there are any.
    """

    def __init__(self, secrets: Sequence[str], user_form: Callable[[str], str], *, visitors: bool) -> None:
        import jwt

        self._jwt = jwt
        self._secrets = secrets
        self._user_form = user_form
        self._visitors = visitors
        self._known: OrderedDict[bytes, Known] = OrderedDict()  # by digest, used most recently last

    def owner(self, token: bytes, digest: bytes) -> str | None:
        """Return whose a token is; None if it is none of these. `digest` is one that only this token has.

        Raises ValueError, whose message says what is wrong with it and what to do.
        """
        if known := self._known.get(digest):
            if time() < known.expires:
                self._known.move_to_end(digest)
                return known.owner
            del self._known[digest]
        if not _FORM.fullmatch(token):
            return None
        known = self._read(token.decode())
        self._known[digest] = known
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)
        return known.owner

    def visitor(self, owner: str | None, lifetime: int) -> str:
        """Return a token of a visitor, or of a new one, that expires after so many seconds."""
        name = secrets.token_hex(16) if owner is None else owner.removeprefix(VISITOR)
        claims = {"sub": name, "visitor": True, "exp": int(time()) + lifetime}
        return self._jwt.encode(claims, self._secrets[0], algorithm=ALGORITHM)

    def _read(self, token: str) -> Known:
        claims = self._verified(token)
        expires = claims["exp"]
        if isinstance(expires, bool) or not isinstance(expires, int | float):
            raise ValueError("its exp is no number; give it the Unix time in seconds")
        if not expires < time() + YEAR + LEEWAY:
            raise ValueError("its exp is more than a year ahead; give it in seconds, not milliseconds")
        return Known(self._owner(claims), expires + LEEWAY)

    def _owner(self, claims: Mapping[str, Any]) -> str:
        try:
            name = self._user_form(user_name(claims["sub"]))
        except ValueError as remedy:
            raise ValueError(f"its sub cannot be a user's name: {remedy}") from None
        match claims.get("visitor", False):
            case False:
                return name
            case True if self._visitors:
                return VISITOR + name
            case True:
                raise ValueError("it is a visitor's, and there are none here; log in")
        raise ValueError("its visitor is neither true nor false; leave it out")

    def _verified(self, token: str) -> Mapping[str, Any]:
        """Return the claims of a token that is signed with one of the secrets, and has not expired."""
        for secret in self._secrets:
            try:
                claims: Mapping[str, Any] = self._jwt.decode(
                    token,
                    secret,
                    algorithms=[ALGORITHM],
                    leeway=LEEWAY,
                    options={"require": ["exp", "sub"]},
                )
                return claims
            except self._jwt.InvalidSignatureError:
                continue
            except self._jwt.ExpiredSignatureError:
                raise ValueError("it has expired; get a new one where this one came from") from None
            except self._jwt.ImmatureSignatureError:
                raise ValueError("it is not yet valid; check the clocks of both servers") from None
            except self._jwt.InvalidAudienceError:
                raise ValueError("it is for another audience; leave out aud") from None
            except self._jwt.MissingRequiredClaimError:
                raise ValueError("it needs sub and exp; have both signed") from None
            # RecursionError and the others: PyJWT does not expect every type of each value.
            except (self._jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
                raise ValueError(f"it cannot be read; sign it with {ALGORITHM}, with sub and exp") from None
        raise ValueError(
            "it is not signed with the secret of this server; sign it with the one in JWT_SECRET"
        )
