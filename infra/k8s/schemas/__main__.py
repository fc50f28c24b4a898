"""Check what `kubectl kustomize` writes: objects as YAML on stdin, faults on stderr."""

import sys

import yaml

from infra.k8s.schemas.published import Unavailable, published
from infra.k8s.schemas.strict import Checker
from streams.local.errors import PartFailed


def main() -> int:
    try:
        checker = Checker(published())
    except (Unavailable, PartFailed) as failure:
        print(failure, file=sys.stderr)
        return 2
    faults = [fault for each in yaml.safe_load_all(sys.stdin) if each for fault in checker.faults(each)]
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
