"""The local stack: a real broker, vector store and language model on loopback, as processes of this machine."""
