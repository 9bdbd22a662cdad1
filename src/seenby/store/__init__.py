"""The truth: receipts, streams, events, outbox and devices in SQL."""
