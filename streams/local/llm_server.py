"""Serve one GGUF file over the OpenAI API: `llm_server.py MODEL PORT`. Run as a file, imports nothing of ours."""

import os
import signal
import sys

SLOTS = 4
"""Questions answered at once; more wait in the server's queue."""
PROMPT_STEP = 16
"""Tokens of a prompt read at a time: a withdrawn question is dropped within two steps, which take 0.3 s of one core.
With 64 they take 1.2 s, for a tenth less computing in all."""
CONTEXT_PER_SLOT = 4096
"""Tokens; a prompt of five 1,200-character passages takes about 1,700."""


def main() -> None:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = sys.argv[1]
    params.model_alias = {"local"}
    params.hostnames = ["127.0.0.1"]
    params.port = int(sys.argv[2])
    params.n_parallel = SLOTS
    params.n_ctx = SLOTS * CONTEXT_PER_SLOT
    params.n_batch = PROMPT_STEP
    params.n_gpu_layers = 0
    # A small model decodes as fast on one thread, and more of them spin where other parts need the core.
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = min(2, os.cpu_count() or 1)
    server = xllamacpp.Server(params)
    print(f"listening at {server.listening_address}", flush=True)
    signal.sigwait([signal.SIGTERM, signal.SIGINT])
    os._exit(0)  # the server has no state to save, and its destructor waits for idle connections


if __name__ == "__main__":
    main()
