"""Column blocks: cold rows once more, by column, so that whole datasets can be looked at quickly.

    rows in `d`, in the order of their locators
    |---- block ----|---- block ----|---- block ----|  rows beyond the last block
         ^ tail mark      ^ tail mark                  (no marks: they are simply read)

A block holds the rows of a range of locators as of one commit, each column an Arrow IPC stream.
Whoever shows or hides a row inside the covered ranges later marks its locator in the *tail*. So the
rows are: those of the blocks without the marked ones, what `d` holds under the marks, and what `d`
holds beyond the blocks. All of that stands in one snapshot, and all of it can be made anew from
`d`; nothing reads a block where only some rows may be seen.
"""
