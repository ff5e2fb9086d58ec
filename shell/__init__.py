"""The `mfdb` command: interactive shell, batch mode and sub-commands."""
