"""Plays the acts in order, times them, and tears everything down whatever happens."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfdb.devnet.demo.acts import act_mail, act_mailbox, act_network, act_privacy
from mfdb.devnet.demo.stage import Stage
from mfdb.devnet.demo.trial import act_books, act_survival, act_verdict
from mfdb.devnet.devnet import Devnet
from mfdb.devnet.parameters import MIN_PROVIDERS
from mfdb.kernel.errors import MfdbError, NoProviders

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from mfdb.devnet.demo.mail import Mail
    from mfdb.kernel.clock import Clock
    from mfdb.kernel.entropy import Entropy


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """How an act went."""

    name: str
    ok: bool
    seconds: float
    told: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How the whole story went; `error` is what ended it early."""

    acts: tuple[Act, ...]
    stage: Stage
    error: MfdbError | None

    @property
    def ok(self) -> bool:
        """Whether every act held."""
        return self.error is None and all(act.ok for act in self.acts)

    def document(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        figures = self.stage.figures
        return {
            "ok": self.ok,
            "messages": {
                "inserted": figures.inserted,
                "delivered": figures.delivered,
                "identical": figures.identical,
            },
            "acts": [
                {"name": act.name, "ok": act.ok, "seconds": round(act.seconds, 3)}
                for act in self.acts
            ],
            "rows": figures.inserted,
            "bytes": figures.bytes,
            "receipts": figures.receipts,
            "plaintext_hits": figures.plaintext_hits,
            "verdict": figures.verdict,
            "compensation": str(figures.compensation),
            "mft": {
                "flows": {name: str(amount) for name, amount in figures.flows.items()},
                "sum": str(sum(figures.flows.values())),
            },
            "gas": figures.gas,
            "error": None if self.error is None else self.error.message,
        }


async def play(
    mails: Sequence[Mail],
    *,
    providers: int,
    clock: Clock,
    entropy: Entropy,
    note: Callable[[str], None],
    on_act: Callable[[Act], None],
    keep: Path | None = None,
) -> Outcome:
    """Return how the story went. `keep` names a directory to leave everything in.

    Raises:
        NoProviders: fewer than seven providers are asked for.
    """
    if providers < MIN_PROVIDERS:
        raise NoProviders(
            f"{MIN_PROVIDERS} providers are needed, not {providers}",
            hint="six hold the shards of a 4 of 6 code, a seventh takes a lost one over",
        )
    directory = keep or Path(tempfile.mkdtemp(prefix="mfdb-demo-"))
    stage = Stage(
        directory=directory,
        devnet=Devnet(directory / "devnet", clock, say=note),
        clock=clock,
        mails=mails,
        note=note,
        control=f"control_{entropy.token(12).hex()}",
        provider_count=providers,
    )
    acts = [
        ("a devnet starts, providers stake", partial(act_network, stage, providers)),
        ("Bob creates a mailbox and subscribes", partial(act_mailbox, stage)),
        ("Alice sends mail, Bob hears of it", partial(act_mail, stage)),
        ("nobody else can read it", partial(act_privacy, stage)),
        ("sealed, two providers lost, restored", partial(act_survival, stage)),
        ("a lost shard: verdict and repair", partial(act_verdict, stage)),
        ("the books", partial(act_books, stage)),
    ]
    try:
        done, error = await _play_all(acts, clock, on_act)
    finally:
        await stage.close()
        await stage.devnet.down()
        if keep is None:
            shutil.rmtree(directory, ignore_errors=True)
    return Outcome(acts=tuple(done), stage=stage, error=error)


async def _play_all(
    acts: Sequence[tuple[str, Callable[[], Awaitable[str]]]],
    clock: Clock,
    on_act: Callable[[Act], None],
) -> tuple[list[Act], MfdbError | None]:
    done: list[Act] = []
    for name, act in acts:
        started_s = clock.monotonic_s()
        error = None
        try:
            told = await act()
        except MfdbError as failure:
            error, told = failure, failure.message
        seconds = clock.monotonic_s() - started_s
        done.append(Act(name=name, ok=error is None, seconds=seconds, told=told))
        on_act(done[-1])
        if error is not None:
            return done, error
    return done, None
