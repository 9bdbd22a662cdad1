"""What programs can read about the API: OpenAPI for HTTP, AsyncAPI for the socket and the topics.

Shapes come from the structs that answers are made of; what no code says stands in one table.
Tests hold both against what the code does.
"""
