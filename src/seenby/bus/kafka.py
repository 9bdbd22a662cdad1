"""The bus on Kafka: topic, key, partitioner and value as in the contract, section 2."""

from seenby.bus.kafka_feed import KafkaFeed
from seenby.bus.kafka_publisher import KafkaPublisher

__all__ = ["KafkaFeed", "KafkaPublisher"]
