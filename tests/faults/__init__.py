"""Things break: brokers stop, databases restart, processes are killed."""
