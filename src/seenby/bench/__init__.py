"""The load generator behind `seenby bench`: marks and sockets in great number, cheaply."""
