"""A provider: keeps ciphertext for others, signs for it, proves it, repairs it and is paid."""
