"""The Python client, against a gateway that says what the test wants."""
