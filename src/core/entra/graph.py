"""Microsoft Graph: retries, paging, `$batch`, typed errors (P11; GD "Throttling guidance", "JSON batching").

Reads are repeated after any transient failure. A write is repeated only when the answer proves that nothing happened
(429), or after `settled` has looked for its effect and not found it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, Final, TypeVar
from uuid import uuid4

from core.clock import Clock, backoff, wait_until
from core.config.cloud import Cloud, origin_of
from core.entra.answers import documented, error_of, items_of, read
from core.entra.http import Credential, Session
from core.errors import Caller, Effected, GraphError, NetworkError, SetupError
from core.events import Event, Waiting

T = TypeVar("T")
TRIES: Final = 5
LONGEST_WAIT: Final = 300.0
#: How long "there is no such object" has to last before it is believed, in seconds.
BELIEVED: Final = 60.0


@dataclass(eq=False, repr=False)
class Graph:
    """A client for one identity.

    :param token: gives the access token; called with True when the last one was refused with 401.
    :param caller: whose it is, for what a refusal advises.
    :param chance: parts the further tries of machines that failed together; None: they come at fixed times.
    """

    session: Session
    cloud: Cloud
    token: Callable[[bool], Credential]
    clock: Clock
    emit: Callable[[Event], None]
    caller: Callable[[], Caller] = Caller
    chance: Random | None = None

    def get(self, path: str, action: str) -> dict[str, Any]:
        """GET an object.

        :param path: below `/v1.0`, with its query.
        :param action: what is being attempted, for the error.
        :raises GraphError: the service refused.
        """
        return self._call("GET", self._url(path), None, action, None)

    def find(self, path: str, action: str) -> dict[str, Any] | None:
        """The same, or None where there is no such object.

        :raises GraphError: the service refused.
        """
        try:
            return self.get(path, action)
        except GraphError as error:
            if error.status == 404:
                return None
            raise

    def pages(self, path: str, action: str, *, beta: bool = False) -> Iterator[dict[str, Any]]:
        """The items of a list, over all its pages.

        :param beta: below `/beta` instead, for what v1.0 does not have; asked once, because nothing depends on it.
        :raises NetworkError: `network.origin` when a next link leaves the cloud (C4).
        """
        url, tries = (f"{self.cloud.graph}/beta{path}", 1) if beta else (self._url(path), TRIES)
        yield from self.follow(self._call("GET", url, None, action, None, tries=tries), action)

    def follow(self, page: dict[str, Any], action: str) -> Iterator[dict[str, Any]]:
        """The items of a list whose first page is there already, and of the pages that follow it.

        :raises NetworkError: `network.origin` when a next link leaves the cloud (C4).
        """
        while True:
            yield from items_of(page, action)
            url = str(page.get("@odata.nextLink") or "")
            if not url:
                return
            if origin_of(url) != self.cloud.graph:
                raise NetworkError("network.origin", url=f"{origin_of(url)}/…")
            page = self._call("GET", url, None, action, None)

    def write(
        self,
        method: str,
        path: str,
        body: Any,
        action: str,
        settled: Callable[[], bool] | None = None,
        *,
        once: bool = False,
        doubtful: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """POST, PATCH or DELETE.

        :param settled: looks whether the effect is there; asked after an ambiguous answer before repeating. When it
            is, the result is empty. Without it an ambiguous answer is an error.
        :param once: never repeat; for a body that may be out of date by then.
        :param doubtful: whether an earlier request may have had this effect: then no refusal proves that it is not.
        :raises GraphError: the service refused.
        :raises NetworkError: no answer, or none that can be trusted.
        """
        url, settled, tries = self._url(path), settled or _unknown, 1 if once else TRIES
        return self._call(method, url, body, action, settled, tries=tries, doubtful=doubtful, headers=headers)

    def remove(self, path: str, action: str) -> None:
        """Delete an object that this undertaking made; that it is gone already is fine.

        A 404 comes from a replica that does not know the object yet, or after a deletion whose answer was lost. So it
        is believed only when it lasts, and so are the other refusals that an object gets that is not known everywhere
        (P7; A.2 rows 6, 13; A.5).

        :raises GraphError: the service refused.
        """
        deletion = partial(self.write, "DELETE", path, None, action, lambda: False)
        self.once_known(deletion, "a deletion to be accepted", BELIEVED)

    def once_known(self, act: Callable[[], T | None], reason: str, deadline: float) -> T | None:
        """What a call gives as soon as its object is known where it looks; a new one is not known everywhere at once.

        :param act: the call; None and refusals that are said of a new object, too, are not believed at once.
        :param reason: what is being waited for, as the user reads it.
        :param deadline: when to believe it, in seconds from now.
        :returns: None when it is unknown to the end.
        :raises GraphError: it was refused to the end, or for a reason that does not pass.
        """
        last: GraphError | None = None

        def attempt() -> T | None:
            nonlocal last
            try:
                return act()
            except GraphError as error:
                if not error.explains_new:
                    raise
                last = error
                return None

        found = wait_until(attempt, self, reason, expected=10, deadline=deadline)
        if found is None and last is not None and last.status != 404:
            raise last
        return found

    def batch(self, reads: Sequence[tuple[str, str]]) -> list[dict[str, Any] | GraphError]:
        """Several GETs in one round trip.

        :param reads: pairs of path and action, 20 at most.
        :returns: a body or the error per read, in the order given; transient ones were repeated.
        """
        answers: dict[int, dict[str, Any] | GraphError] = {}
        for attempt in range(TRIES):
            open_reads = [n for n in range(len(reads)) if n not in answers or _again(answers[n])]
            if not open_reads:
                break
            if attempt:
                self._pause(attempt - 1, next((a for n in open_reads if (a := answers.get(n))), None))
            request = {"requests": [_item_of_read(n, reads[n][0]) for n in open_reads]}
            replies = self._call("POST", self._url("/$batch"), request, "read several objects at once", None)
            with documented("read several objects at once"):
                for reply in replies.get("responses", []):
                    number = int(reply["id"])
                    action = reads[number][1] if 0 <= number < len(reads) else "?"
                    answers[number] = self._item(reply, action, write=False)
            for number in open_reads:
                if number not in answers:
                    raise SetupError("graph.batch", request=reads[number][0])
        return [answers[n] for n in range(len(reads))]

    def batch_once(self, writes: Sequence[tuple[str, str, Any, str]]) -> list[dict[str, Any] | GraphError]:
        """Several writes in one round trip, sent once: whoever asked looks after every item that did not succeed.

        :param writes: method, path, body and action of each, 20 at most; they must not depend on each other.
        :returns: a body or the error per write, in the order given.
        :raises NetworkError, GraphError: there are no answers; whether none of them happened is said by the error.
        :raises SetupError: nobody knows which of them happened.
        """
        requests = [
            {"id": str(n), "method": method, "url": path}
            | ({"body": body, "headers": {"Content-Type": "application/json"}} if body is not None else {})
            for n, (method, path, body, _) in enumerate(writes)
        ]
        action, url = "change several objects at once", self._url("/$batch")
        replies = self._call("POST", url, {"requests": requests}, action, _unknown, tries=1)
        with documented(action):
            answers = {str(reply["id"]): reply for reply in replies.get("responses", [])}
            for n, (_, path, _, _) in enumerate(writes):
                if str(n) not in answers:
                    raise SetupError("graph.batch", request=path)
            return [self._item(answers[str(n)], action, write=True) for n, (_, _, _, action) in enumerate(writes)]

    def rehearse(self, writes: Sequence[tuple[str, str, Any, str]]) -> list[GraphError | None]:
        """What refuses writes that change nothing, in one round trip (M4).

        :param writes: as for `batch_once`.
        :returns: the refusal of each; None: there was none, or no answer tells, and then the deed does.
        """
        try:
            answers = self.batch_once(writes)
        except (GraphError, NetworkError) as error:
            if isinstance(error, NetworkError) and not error.transient:
                raise
            return [None] * len(writes)
        return [answer if isinstance(answer, GraphError) else None for answer in answers]

    def _url(self, path: str) -> str:
        return f"{self.cloud.graph}/v1.0{path}"

    def _call(
        self,
        method: str,
        url: str,
        body: Any,
        action: str,
        settled: Callable[[], bool] | None,
        *,
        tries: int = TRIES,
        doubtful: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """The retry loop. `settled` is None for reads, which may always be repeated.

        A request that was certainly not carried out proves nothing of a read, nor after one that may have been.
        """
        renew = refreshed = False
        attempt = 0
        while True:
            sure = settled is not None and not doubtful
            failure: GraphError | NetworkError
            try:
                if renew:
                    self.token(True)
                    renew = False
                named = {**(headers or {}), "client-request-id": str(uuid4())}
                response = self.session.call(method, url, token=self.token(False), body=body, headers=named)
                return read(response, action, self.caller(), sure)
            except GraphError as error:
                if error.status == 401 and not refreshed:
                    refreshed = renew = True
                    continue
                if not error.transient:
                    raise
                failure, ambiguous = error, error.status >= 500
            except NetworkError as error:
                failure = error if sure else error.copy(effected=Effected.UNKNOWN)
                if not error.transient:
                    raise failure from None
                ambiguous = error.effected is not Effected.NO
            attempt += 1
            doubtful |= ambiguous
            if attempt >= tries:
                raise failure
            self._pause(attempt - 1, failure)
            if ambiguous and settled is not None:
                if settled is _unknown:
                    raise failure
                if settled():
                    return {}

    def later(self, attempt: int, asked: float | None) -> float:
        """Seconds before a further try.

        :param attempt: how many tries there were before the one that has just failed.
        :param asked: how long the service asked to wait, if it did; it is never less.
        """
        seconds = backoff(attempt, self.chance)
        return seconds if asked is None else asked + (self.turn(seconds) if self.chance else 0.0)

    def turn(self, seconds: float) -> float:
        """A random moment of a time, for what met another writer: machines that began together part."""
        return self.chance.uniform(0.0, seconds) if self.chance else seconds

    def _pause(self, attempt: int, failure: object) -> None:
        asked = getattr(failure, "retry_after", None)
        if asked is not None and asked > LONGEST_WAIT and isinstance(failure, SetupError):
            raise failure
        seconds = self.later(attempt, asked)
        reason = f"Microsoft Graph {'asked to slow down' if asked is not None else 'did not answer properly'}"
        self.emit(Waiting(reason, seconds, 0.0, attempt + 1, seconds))
        self.clock.wait(seconds)

    def _item(self, reply: dict[str, Any], action: str, *, write: bool) -> dict[str, Any] | GraphError:
        status, body = int(reply["status"]), reply.get("body")
        body = body if isinstance(body, dict) else {}
        if status < 300 and "error" not in body:
            return body
        return error_of(status, body, reply.get("headers") or {}, action, self.caller(), write)


def _unknown() -> bool:
    return False


def _item_of_read(number: int, path: str) -> dict[str, Any]:
    """A GET in a batch; newer values of an enumeration are shown by name (a policy's restrictions, B.6)."""
    headers = {"Prefer": "include-unknown-enum-members"} if "anagementPolic" in path else None
    return {"id": str(number), "method": "GET", "url": path} | ({"headers": headers} if headers else {})


def _again(answer: dict[str, Any] | GraphError) -> bool:
    return isinstance(answer, GraphError) and answer.transient
