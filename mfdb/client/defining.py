"""CREATE, GRANT, REVOKE, ALTER and DROP of what lives on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.client.definer import Definer
from mfdb.client.dropping import drop
from mfdb.client.options import parse_options
from mfdb.client.results import Result, table
from mfdb.client.upkeep import create_index
from mfdb.kernel.errors import NetworkError, NotSupportedError
from mfdb.kernel.ids import show as show_id
from mfdb.rules.evidence import EMBEDDED
from mfdb.sql import statement as st
from mfdb.sql.bind import bind
from mfdb.sql.bound import BoundCreate, BoundGrant, BoundIndex, BoundPolicy, BoundRevoke

if TYPE_CHECKING:
    from mfdb.client.ground import Ground
    from mfdb.client.options import DatasetOptions
    from mfdb.dataset.catalogue import Known


class Defining:
    """Carries definitions out."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self.definer = Definer(ground.state)

    def run(self, statement: st.Statement) -> Result:
        """Return the result of a definition.

        Raises:
            NotSupportedError: a batch is open, or nobody here knows such a statement.
            MfdbError: it may not be.
        """
        self.refuse_in_batch()
        with self._ground.state.replica.reading() as reading:
            bound = bind(statement, self._ground.catalogue(reading))
        match bound:
            case BoundCreate():
                signed = self.definer.create(bound, self.options(bound), EMBEDDED)
                return self.created(bound, signed)
            case BoundIndex():
                return create_index(self._ground.state.replica, bound)
            case BoundGrant():
                manifest = self.own(bound.statement.table).manifest
                signed = self.definer.grant(manifest, self.definer.grants(bound), ())
                self._take(signed)
                return Result(tag="GRANT")
            case BoundRevoke():
                manifest = self.own(bound.statement.table).manifest
                after = self.definer.revoke(manifest, bound)
                self._take(self.definer.sign(after) if after is not manifest else None)
                return Result(tag="REVOKE")
            case BoundPolicy():
                manifest = self.own(bound.statement.table).manifest
                self._take(self.definer.policy(manifest, bound))
                return Result(tag="CREATE POLICY")
            case st.DropPolicy():
                manifest = self.own(bound.table).manifest
                self._take(self.definer.without_policy(manifest, bound))
                return Result(tag="DROP POLICY")
            case st.AlterOptions():
                self._take(self.definer.alter(self.own(bound.table).manifest, bound))
                return Result(tag="ALTER DATASET")
            case st.DropDataset():
                return drop(self._ground, self, bound)
            case st.SealDataset():
                name = self._ground.known(bound.table).manifest.name
                raise NotSupportedError(
                    f"dataset {name} lives on this machine only",
                    hint="only datasets on a network are sealed",
                )
            case _:
                raise NotSupportedError(f"{type(statement).__name__} is not supported")

    def options(self, bound: BoundCreate) -> DatasetOptions:
        """Return the options of a CREATE.

        Raises:
            InvalidDefinition: one is none.
        """
        return parse_options(bound.statement.options, creates=True)

    def created(self, bound: BoundCreate, signed: object) -> Result:
        """Keep a new dataset's manifest and return the result of its CREATE."""
        self._take(signed)
        return Result(tag="CREATE MAILBOX" if bound.statement.mailbox else "CREATE DATASET")

    def create_identity(self, statement: st.CreateIdentity) -> Result:
        """Make an identity of the keystore and return its name and address."""
        entry = self._ground.state.identities.create(statement.name)
        rows: list[tuple[object, ...]] = [(entry.name, show_id(entry.address))]
        made = table("CREATE IDENTITY", {"name": "TEXT", "address": "IDENTITY"}, rows)
        return Result(tag="CREATE IDENTITY", columns=made.columns, rows=rows, count=1)

    def refuse_in_batch(self) -> None:
        """Return quietly if no batch is open.

        Raises:
            NotSupportedError: one is; definitions are not part of changesets.
        """
        if self._ground.state.batch is not None:
            raise NotSupportedError(
                "definitions cannot be part of a batch", hint="COMMIT or ROLLBACK first"
            )

    def _take(self, signed: Any) -> None:
        if signed is not None:
            self._ground.state.replica.add_manifests([signed])

    def own(self, name: st.TableName) -> Known:
        """Return a dataset whose rules are changed here; on a network that is not enough.

        Raises:
            UnknownDataset, AccessDenied, NetworkError: it is not.
        """
        known = self._ground.known(name)
        self.definer.own(known.manifest)
        if known.manifest.network != EMBEDDED:
            raise NetworkError(
                f"dataset {known.manifest.name} lives on a network, and none is open",
                hint="connect with network=...",
            )
        return known
