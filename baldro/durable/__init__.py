"""What outlasts a process that is killed: whole-or-nothing files, leases, hashes of contents, lines of progress."""
