"""A dozen reports over the Chinook sample, loaded by COPY with keys and indexes; golden text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import mfdb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.client.dbapi import Connection

DATA = Path(__file__).parents[3] / "shared" / "data" / "chinook"
REPORTS = Path(__file__).parent / "chinook" / "reports.mfdb"
SCHEMA = {
    "Artist": "ArtistId INTEGER PRIMARY KEY, Name TEXT",
    "Album": (
        "AlbumId INTEGER PRIMARY KEY, Title TEXT NOT NULL, "
        "ArtistId INTEGER NOT NULL REFERENCES Artist"
    ),
    "Genre": "GenreId INTEGER PRIMARY KEY, Name TEXT",
    "MediaType": "MediaTypeId INTEGER PRIMARY KEY, Name TEXT",
    "Playlist": "PlaylistId INTEGER PRIMARY KEY, Name TEXT",
    "Track": (
        "TrackId INTEGER PRIMARY KEY, Name TEXT NOT NULL, AlbumId INTEGER REFERENCES Album, "
        "MediaTypeId INTEGER REFERENCES MediaType, GenreId INTEGER REFERENCES Genre, "
        "Composer TEXT, Milliseconds INTEGER, Bytes INTEGER, UnitPrice DECIMAL(10,2) NOT NULL"
    ),
    "PlaylistTrack": (
        "PlaylistId INTEGER REFERENCES Playlist ON DELETE CASCADE, "
        "TrackId INTEGER REFERENCES Track, "
        "PRIMARY KEY (PlaylistId, TrackId)"
    ),
    "Employee": (
        "EmployeeId INTEGER PRIMARY KEY, LastName TEXT NOT NULL, FirstName TEXT NOT NULL, "
        "Title TEXT, ReportsTo INTEGER REFERENCES Employee, "
        "BirthDate TIMESTAMP, HireDate TIMESTAMP, Address TEXT, "
        "City TEXT, State TEXT, Country TEXT, PostalCode TEXT, Phone TEXT, Fax TEXT, Email TEXT"
    ),
    "Customer": (
        "CustomerId INTEGER PRIMARY KEY, FirstName TEXT NOT NULL, LastName TEXT NOT NULL, "
        "Company TEXT, Address TEXT, City TEXT, State TEXT, Country TEXT, PostalCode TEXT, "
        "Phone TEXT, Fax TEXT, Email TEXT NOT NULL, SupportRepId INTEGER REFERENCES Employee"
    ),
    "Invoice": (
        "InvoiceId INTEGER PRIMARY KEY, CustomerId INTEGER NOT NULL REFERENCES Customer, "
        "InvoiceDate TIMESTAMP, "
        "BillingAddress TEXT, BillingCity TEXT, BillingState TEXT, BillingCountry TEXT, "
        "BillingPostalCode TEXT, Total DECIMAL(10,2) NOT NULL"
    ),
    "InvoiceLine": (
        "InvoiceLineId INTEGER PRIMARY KEY, InvoiceId INTEGER NOT NULL REFERENCES Invoice, "
        "TrackId INTEGER NOT NULL REFERENCES Track, UnitPrice DECIMAL(10,2) NOT NULL, "
        "Quantity INTEGER NOT NULL"
    ),
}
INDEXES = (
    "Album (ArtistId)",
    "Track (AlbumId)",
    "Track (GenreId, MediaTypeId)",
    "Invoice (CustomerId, InvoiceDate DESC)",
    "InvoiceLine (InvoiceId)",
    "InvoiceLine (TrackId)",
    "Customer (Country)",
)


@pytest.fixture(scope="module")
def chinook() -> Iterator[Connection]:
    if not DATA.exists():
        pytest.skip("the Chinook sample is not beside the project")
    connection = mfdb.connect(":memory:", autocommit=True)
    connection.json_loads = None  # the texts are compared
    for name, columns in SCHEMA.items():
        connection.execute(f"CREATE TABLE {name} ({columns})")
        path = str(DATA / f"{name}.csv").replace("'", "''")
        connection.execute(f"COPY {name} FROM '{path}' (FORMAT csv, HEADER)")
    for index in INDEXES:
        connection.execute(f"CREATE INDEX ON {index}")
    yield connection
    connection.close()


def test_every_row_is_there(chinook: Connection) -> None:
    counts = ", ".join(f"(SELECT count(*) FROM {name})" for name in SCHEMA)
    (row,) = chinook.execute(f"SELECT {counts}").fetchall()
    assert sum(int(str(count)) for count in row) == 15_607


def test_reports(chinook: Connection, request: pytest.FixtureRequest) -> None:
    blocks = REPORTS.read_text(encoding="utf-8").strip().split("\n\n")
    told = [_report(chinook, block) for block in blocks]
    if request.config.getoption("--update-golden"):
        REPORTS.write_text("\n\n".join(told) + "\n", encoding="utf-8")
        return
    assert len(told) >= 12
    assert told == blocks


def _report(connection: Connection, block: str) -> str:
    query = f"{block}\n".partition("\n---\n")[0].strip()
    cursor = connection.execute(query)
    names = [column[0] for column in cursor.description or ()]
    rows = ["|".join(map(_text, row)) for row in cursor]
    return "\n".join([query, "---", "|".join(names), *rows])


def _text(value: object) -> str:
    if isinstance(value, list | dict):
        return json.dumps(value)
    return "" if value is None else str(value)
