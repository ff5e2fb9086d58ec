"""Statements that this machine answers alone, at once, on the caller's thread.

One module a family: `queries`, `standing` (subscriptions), `changes`, `batches`, `defining`,
`telling`; all stand on `ground`. `Local` hands each statement to its family, and loads a family
when its first statement comes: a process that runs one statement pays for one family.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from mfdb.client.batches import BATCHES
from mfdb.client.ground import Ground
from mfdb.client.names import SCHEMAS, owner_of
from mfdb.client.plans import Plans
from mfdb.client.results import Result
from mfdb.kernel.errors import InterfaceError, ProgrammingError, UnknownIdentity
from mfdb.kernel.ids import show
from mfdb.sql import money as mo
from mfdb.sql import query as qu
from mfdb.sql import statement as st

if TYPE_CHECKING:
    from mfdb.client.altering import Altering
    from mfdb.client.batches import Batches
    from mfdb.client.changes import Changes
    from mfdb.client.copying.copies import Copies
    from mfdb.client.defining import Defining
    from mfdb.client.deriving import Deriving
    from mfdb.client.expiring import Expiring
    from mfdb.client.explaining import Explaining
    from mfdb.client.listening import Listening
    from mfdb.client.prepared import Prepared
    from mfdb.client.queries import Queries
    from mfdb.client.quick_insert import QuickInsert
    from mfdb.client.standing import Standing
    from mfdb.client.state import SessionState
    from mfdb.client.telling import Telling
    from mfdb.sql.parameters import Given


class Local:
    """Carries statements out over the replica."""

    def __init__(self, state: SessionState) -> None:
        self._plans = Plans()
        self._quick: dict[str, QuickInsert] = {}
        self.ground = Ground(state)

    @cached_property
    def queries(self) -> Queries:
        """SELECT."""
        from mfdb.client.queries import Queries

        return Queries(self.ground, self._plans)

    @cached_property
    def standing(self) -> Standing:
        """SUBSCRIBE."""
        from mfdb.client.standing import Standing

        return Standing(self.ground)

    @cached_property
    def changes(self) -> Changes:
        """INSERT, UPDATE and DELETE."""
        from mfdb.client.changes import Changes

        return Changes(self.ground, self._plans, self._quick)

    def quick_change(self, text: str, params: Given, *, opens: bool) -> Result | None:
        """Return the result of a change that is known to be simple, or None: use `run`."""
        return self.changes.quick(text, params, opens=opens) if text in self._quick else None

    @cached_property
    def expiring(self) -> Expiring:
        """What a retention says is to go."""
        from mfdb.client.expiring import Expiring

        return Expiring(self.ground, self.changes)

    @cached_property
    def batches(self) -> Batches:
        """BEGIN, COMMIT and ROLLBACK."""
        from mfdb.client.batches import Batches

        return Batches(self.ground, self.changes)

    @cached_property
    def defining(self) -> Defining:
        """What changes the rules: CREATE, ALTER, DROP, GRANT, REVOKE."""
        from mfdb.client.defining import Defining

        return Defining(self.ground)

    @cached_property
    def deriving(self) -> Deriving:
        """CREATE VIEW, CREATE TABLE AS and TRUNCATE."""
        from mfdb.client.deriving import Deriving

        return Deriving(self.ground, self.defining, self.changes)

    @cached_property
    def altering(self) -> Altering:
        """ALTER."""
        from mfdb.client.altering import Altering

        return Altering(self.ground, self.defining)

    @cached_property
    def telling(self) -> Telling:
        """SHOW and DESCRIBE."""
        from mfdb.client.telling import Telling

        return Telling(self.ground, self.queries)

    @cached_property
    def explaining(self) -> Explaining:
        """EXPLAIN."""
        from mfdb.client.explaining import Explaining

        return Explaining(self.ground, self.changes, self.queries)

    @cached_property
    def listening(self) -> Listening:
        """LISTEN, UNLISTEN and NOTIFY."""
        from mfdb.client.listening import Listening

        return Listening(self.ground)

    @cached_property
    def prepared(self) -> Prepared:
        """PREPARE, EXECUTE and DEALLOCATE."""
        from mfdb.client.prepared import Prepared

        return Prepared(self.ground)

    @cached_property
    def copies(self) -> Copies:
        """COPY."""
        from mfdb.client.copying.copies import Copies

        return Copies(self.ground, self.changes, self.queries)

    def run(self, statement: st.Statement, params: Given, text: str) -> Result:
        """Return the result of one statement.

        Raises:
            MfdbError: it failed; nothing of it was kept.
        """
        match statement:
            case st.Select() | qu.Query():
                return self.queries.select(statement, params, text)
            case qu.Verified(query=query):
                self.queries.verify(query, params)
                # Under a key of its own: the text without the check is another statement.
                return self.queries.select(query, params, f"{text}\x00")
            case _ if isinstance(statement, st.CHANGES):
                return self.changes.run_many(statement, [params], text)
            case st.CopyFrom() | st.CopyTo():
                return self.copies.run(statement, params, text)
            case st.Subscribe():
                raise InterfaceError("use subscribe() for SUBSCRIBE", hint="it gives a stream")
            case st.Unsubscribe():
                return self.standing.unsubscribe(statement)
            case _:
                return self._of_session(statement, params, text)

    def _of_session(self, statement: st.Statement, params: Given, text: str) -> Result:
        """Carry out what tells of the session or changes it; definitions are the rest."""
        match statement:
            case st.Show():
                return self.telling.show(statement, params)
            case st.Describe():
                return self.telling.describe(statement)
            case st.Explain():
                return self.explaining.run(statement, params, text)
            case st.Prepare() | st.Deallocate():
                return self.prepared.run(statement, text)
            case st.Listen() | st.Unlisten() | st.Notify():
                return self.listening.run(statement, params)
            case st.Use():
                return self._use(statement)
            case st.UseIdentity():
                return self._use_identity(statement)
            case st.SetOption():
                self.ground.state.settings.set(statement)
                return Result(tag="SET")
            case _ if isinstance(statement, BATCHES):
                return self.batches.run(statement)
            case _:
                return self._define(statement, params, text)

    def _use(self, statement: st.Use) -> Result:
        """Let names without an owner mean somebody's datasets.

        Raises:
            UnknownIdentity: nobody has that petname.
        """
        state = self.ground.state
        if statement.owner in SCHEMAS:
            state.settings.owner = statement.owner
            return Result(tag="USE")
        owner = st.TableName(position=statement.position, name="", owner=statement.owner)
        address = owner_of(owner, state.me, state.identities)
        state.settings.owner = "" if address == state.me else show(address)
        return Result(tag="USE")

    def _use_identity(self, statement: st.UseIdentity) -> Result:
        """Note who the connection shall be; it changes identity once the statement is done.

        Raises:
            ProgrammingError: a batch is open.
            UnknownIdentity: the keystore has none of that name.
        """
        state = self.ground.state
        if state.batch is not None:
            raise ProgrammingError("a batch is open", hint="COMMIT or ROLLBACK it first")
        try:
            found = state.identities.find(statement.name)
        except UnknownIdentity as error:
            error.position = statement.position
            raise
        state.becomes = None if found.address == state.me else found.address
        return Result(tag="USE IDENTITY")

    def _define(self, statement: st.Statement, params: Given, text: str) -> Result:
        match statement:
            case st.DropIndex() | st.Vacuum() | st.CheckDatabase():
                return self._upkeep(statement)
            case st.CreateView():
                return self.deriving.view(statement, text)
            case st.CreateAs():
                return self.deriving.table_as(statement, params)
            case st.Alter():
                return self.altering.run(statement)
            case st.Truncate():
                return self.deriving.truncate(statement)
            case _ if isinstance(statement, mo.MONEY):
                from mfdb.client.paying import needs_network

                raise needs_network(statement)
            case st.CreateIdentity():
                return self.defining.create_identity(statement)
            case _:
                return self.defining.run(statement)

    def _upkeep(self, statement: st.DropIndex | st.Vacuum | st.CheckDatabase) -> Result:
        from mfdb.client import upkeep

        self.defining.refuse_in_batch()
        replica = self.ground.state.replica
        match statement:
            case st.DropIndex(table=table):
                known = self.ground.known(table) if table is not None else None
                return upkeep.drop_index(replica, statement, known)
            case st.Vacuum():
                expired = self.expiring.run()
                if self.ground.state.retaining is not None:
                    self.ground.state.retaining.settle()  # a reader would keep the file from us
                return upkeep.vacuum(replica, expired)
            case st.CheckDatabase():
                return upkeep.check_database(replica)

    def interrupt(self) -> None:
        """Cancel the statement that runs now, if any; from any thread."""
        self.ground.engine.interrupt()

    def close(self) -> None:
        """Give the relational route's memory back."""
        self.ground.engine.close()
