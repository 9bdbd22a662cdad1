"""The live edge: pushes each sender's stream to the sender's connected devices."""
