"""The fast road from the service to the gateways: Kafka, or the same process."""
