"""What a diagnosis examines, and what a check may say of it (D1)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from core.errors import Interrupted, SetupError
from core.events import Event, Finding, Grade
from core.flow.engine import internal
from core.steps.facts import SignedIn

if TYPE_CHECKING:
    from core.entra.graph import Graph
    from core.steps.context import Context

#: Seconds after which a check is given up; az alone is waited for 30 s.
PATIENCE: Final = 40.0
#: Likewise where a person may have to unlock a keystore meanwhile.
ATTENDED: Final = 90.0
_RANK: Final[tuple[Grade, ...]] = ("ok", "unseen", "warning", "failure")
_OF_FINDING: Final[dict[str, Grade]] = {"ok": "ok", "info": "ok", "warning": "warning", "failure": "failure"}


class Unseen(Exception):
    """A check cannot look; the text says what is in the way.

    :param remedy: what to do about it, where no other check says that.
    """

    def __init__(self, why: str, remedy: str = "") -> None:
        super().__init__(why)
        self.remedy = remedy


@dataclass(frozen=True)
class Fix:
    """What `--fix` may do: safe, and nothing that a person would want to decide.

    :param what: in words, as an order.
    :param acts: do it; one that fails is no reason to leave the others out.
    """

    what: str
    acts: tuple[Callable[[], object], ...]


@dataclass(frozen=True)
class Verdict:
    """What a check saw.

    :param evidence: in words; several lines are several things.
    :param remedy: what to do; empty when there is nothing to do.
    """

    state: Grade
    evidence: str
    remedy: str = ""
    fix: Fix | None = None

    @classmethod
    def of(cls, error: SetupError, state: Grade = "failure") -> Verdict:
        """What an error comes to."""
        return cls(state, f"{error.summary} [{error.id}]", error.remedy)

    @classmethod
    def all(cls, verdicts: Iterable[Verdict], fine: str) -> Verdict:
        """Several in one: the worst state, and what the worse ones say.

        :param fine: the evidence when all is well.
        """
        bad = sorted((v for v in verdicts if v.state != "ok"), key=lambda v: -_RANK.index(v.state))
        if not bad:
            return cls("ok", fine)
        if len({verdict.remedy for verdict in bad if verdict.remedy}) > 1:  # which belongs to what
            bad = [
                replace(v, evidence=f"({n}) {v.evidence}", remedy=f"({n}) {v.remedy}" if v.remedy else "")
                for n, v in enumerate(bad, 1)
            ]
        remedies = dict.fromkeys(verdict.remedy for verdict in bad if verdict.remedy)
        fixes = [verdict.fix for verdict in bad if verdict.fix is not None]
        fix = Fix("; ".join(c.what for c in fixes), tuple(act for c in fixes for act in c.acts)) if fixes else None
        return cls(bad[0].state, "\n".join(verdict.evidence for verdict in bad), "\n".join(remedies), fix)


class Check(NamedTuple):
    """One line of a diagnosis.

    :param name: stable name.
    :param look: looks, and changes nothing.
    :param needs: checks that must have been through before, whatever they said.
    :param patience: seconds after which it is given up.
    """

    name: str
    title: str
    look: Callable[[Diagnosis], Verdict]
    needs: tuple[str, ...] = ()
    patience: float = PATIENCE


class Group(NamedTuple):
    """Checks that are shown together."""

    name: str
    title: str
    checks: tuple[Check, ...]


@dataclass
class Diagnosis:
    """A context under examination, and what the checks have found in it so far.

    :param tell: receives what happens meanwhile, from any thread.
    :param told: names of the checks that are told.
    :ivar verdicts: by name of the check.
    :ivar mended: how many acts of fixes were carried out.
    """

    ctx: Context
    tell: Callable[[Event], None]
    told: frozenset[str]
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    mended: int = 0

    def __post_init__(self) -> None:
        self._here = threading.local()
        self.ctx = replace(self.ctx, emitter=self._emitted)

    def examine(self, check: Check) -> Verdict:
        """Let one check look; what it reports as findings belongs to its verdict.

        :raises Interrupted: somebody asked to stop.
        """
        findings = self._here.findings = list[Finding]()
        seen = self._attempt(lambda: check.look(self), "failure")
        said = [Verdict(_OF_FINDING[f.severity], f.message, f.remedy) for f in findings if f.severity != "info"]
        return Verdict.all((seen, *said), seen.evidence) if said else seen

    def carry_out(self, fix: Fix) -> tuple[list[str], list[Verdict]]:
        """Carry out a fix.

        :returns: what it had to say, in words, and what of it could not be done.
        :raises Interrupted: somebody asked to stop.
        """
        findings = self._here.findings = list[Finding]()

        def carry(act: Callable[[], object]) -> Verdict:
            act()
            self.mended += 1
            return Verdict("ok", "")

        results = [self._attempt(partial(carry, act), "warning") for act in fix.acts]
        return [finding.message for finding in findings], [verdict for verdict in results if verdict.state != "ok"]

    def _attempt(self, look: Callable[[], Verdict], worst: Grade) -> Verdict:
        """What something came to; an error is an answer, too.

        :param worst: what an error comes to that is no bug.
        """
        try:
            return look()
        except Unseen as why:
            return Verdict("unseen", str(why), why.remedy)
        except Interrupted:
            raise
        except SetupError as error:
            return Verdict.of(error, worst)
        except OSError as error:  # of this computer's files; what comes from the network is a SetupError
            what = f"{error.filename or 'A file'}: {error.strerror or error}"
            return Verdict(worst, what, "Give this user access to it, then look again.")
        except Exception as bug:  # noqa: BLE001  one broken check must not hide what the others see
            return Verdict.of(internal(bug))

    def need(self, name: str, otherwise: str) -> None:
        """Go on only if another check did not fail.

        :param otherwise: what is in the way then, in words.
        :raises Unseen: it did, or could not look itself.
        """
        verdict = self.verdicts.get(name)  # what nobody looks at is not in the way
        if verdict is not None and verdict.state in ("failure", "unseen"):
            raise Unseen(*self.why(name, otherwise))

    def why(self, name: str, otherwise: str) -> tuple[str, str]:
        """What is in the way and what to do, with its cause where no other line tells it."""
        if name in self.told:
            return otherwise, ""
        return f"{otherwise}: {self.verdicts[name].evidence}", self.verdicts[name].remedy

    def graph(self) -> Graph:
        """Microsoft Graph as whoever may read.

        :raises Unseen: nobody can.
        """
        from core.steps import directory_roles

        proof = self.ctx.maybe_proof
        if proof is not None and proof.roles & {directory_roles.WRITE, "Application.Read.All"}:
            return self.ctx.app_graph()
        if "session" in self.verdicts and self.ctx.facts.maybe(SignedIn) is None:
            raise Unseen("neither this machine's certificate nor the Azure CLI can ask Microsoft Graph")
        return self.ctx.user_graph()

    def _emitted(self, event: Event) -> None:
        findings = getattr(self._here, "findings", None)
        if isinstance(event, Finding) and findings is not None:
            findings.append(event)
        else:
            self.tell(event)
