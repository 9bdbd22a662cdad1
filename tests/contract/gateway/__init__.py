"""The gateway on real sockets, a real store and either event loop."""
