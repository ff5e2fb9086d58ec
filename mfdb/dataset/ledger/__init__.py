"""The ledger: how a dataset that lives on this machine only keeps its signed history.

Nobody else ever receives such a dataset, and the store holds its rows in the clear anyway (mode
0600), so that its changesets are signed, hash-chained and shreddable, but not sealed. `format`
says what is signed, `journal` reads it, `book` writes it, `feed` tells changes from it, `check`
holds everything that was made of it against it, and `upgrade` brings older directories here.

    changes -> operations, a salted hash each -> one signed header -> visible rows and indexes

An operation is named by its *sequence*: its place among all operations of the dataset, from 1 on.
That is also the number of the change in the feed, and the version of the row that it leaves.
"""
