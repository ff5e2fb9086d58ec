"""The SQLAlchemy 2 dialect: `create_engine("mfdb:///data/box")`, `create_async_engine("mfdb+aio:///...")`.

`dialect` connects and says what mfdb can, `compiler` writes statements, `types` column types,
`reflection` reads definitions back, `aio` is the asynchronous face, `migrations` Alembic's part.
The URL is a connection string of `mfdb.connect`.
"""
