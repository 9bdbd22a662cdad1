"""An archive of the classes that a broker loads, made once for each Java and kept beside the jars.

A broker that maps it starts with 60 % of the CPU time, and a test run starts some dozens of them.
``python -m tests.servers.kafka_archive`` makes it where it is missing; without it all works too.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from confluent_kafka import Producer

from tests.servers.kafka import Kafka, archive

TOPIC = "seenby"


def make() -> None:
    """Make the archive, if there is none yet, by a broker that has done a little of everything.

    Raises:
        ServerError: The jars or Java are missing, or the broker did not start.
    """
    if Kafka.given() is not None or archive().exists():
        return
    # Beside the place and moved: two runs may do this at once, or one may be killed.
    with TemporaryDirectory(prefix="classes.", dir=archive().parent) as folder:
        new = Path(folder) / "new.jsa"
        broker = Kafka.launch([f"-XX:ArchiveClassesAtExit={new}"])
        try:
            broker.create_topic(TOPIC)
            producer = Producer({"bootstrap.servers": broker.brokers, "log_level": 0})
            producer.produce(TOPIC, b"value", b"key")
            producer.flush(60.0)
            broker.console_consumer(TOPIC)
            broker.stop()
        finally:
            broker.dispose()
        new.replace(archive())


if __name__ == "__main__":
    make()
