"""Check what `kubectl kustomize` writes: objects as YAML on stdin, faults on stderr."""

import sys

import yaml

from infra.k8s.schemas.published import published
from infra.k8s.schemas.strict import Checker


def main() -> int:
    checker = Checker(published())
    faults = [fault for each in yaml.safe_load_all(sys.stdin) if each for fault in checker.faults(each)]
    print("\n".join(faults), file=sys.stderr, end="\n" if faults else "")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
