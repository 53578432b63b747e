"""Work that survives a killed process: files written whole or not at all, leases, signals, hashes of contents, lines of progress."""
