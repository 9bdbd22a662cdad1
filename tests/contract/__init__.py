"""One suite over every adapter of a port: SQLite and MariaDB, in-process bus and Kafka."""
