"""Where events come from and where they go: topics, the wiring, the runtime, the client and the command line."""
