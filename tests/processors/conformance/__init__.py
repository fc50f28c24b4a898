"""The checks must fail where a backend breaks its promise."""
