"""An embedder without a model, from the checks that ship with the package."""

from processors.conformance.documents import HashedWords

__all__ = ["HashedWords"]
