"""COPY: rows between datasets and files or streams, one after the other, never all at once.

`options` says what is asked for, `streams` cuts bytes into text, `csv_form`, `json_form` and
`parquet_form` read and write rows of one form each, `load` puts rows into a batch, `unload` writes
the answer of a query. A load is one batch: every row of it, or none.
"""
