"""What Triton runs: each module is a model of its Python backend, beside the configuration that describes it."""
