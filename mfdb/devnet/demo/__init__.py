"""The mailbox story, told by real processes on real mail and checked act by act."""
