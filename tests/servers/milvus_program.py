"""Become a Milvus standalone: `milvus_program.py FOLDER UNPACKED SETTINGS`, run in the server's own environment.

SETTINGS is JSON: `ports` by name, `health_port`, `etcd_peer_port`, and Milvus' own `settings` by their dotted names.
"""

import json
import os
import sys
from pathlib import Path

from milvus import MilvusServerConfig  # type: ignore[import-not-found]


def main() -> None:
    folder, unpacked, given = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
    config = MilvusServerConfig(data_dir=str(folder))
    config.resolve_storage()
    for name, value in (given["ports"] | given["settings"]).items():
        config.set(name, value)
    config.write_config()  # and not `resolve`, which refuses ports that a killed server left in TIME_WAIT
    give_etcd_its_ports(folder, given["ports"]["etcd_port"], given["etcd_peer_port"])
    os.chdir(folder)  # it reads configs/milvus.yaml from here
    environment = os.environ | {
        "DEPLOY_MODE": "STANDALONE",
        "METRICS_PORT": str(given["health_port"]),
        "MILVUS_RUN_DIR": str(folder / "run"),
        "LD_LIBRARY_PATH": str(unpacked / "bin"),
    }
    program = str(unpacked / "bin" / "milvus")
    os.execve(program, [program, "run", "standalone"], environment)


def give_etcd_its_ports(folder: Path, client: int, peer: int) -> None:
    """Milvus hands its own etcd none, so that a second server on the machine would meet the first one's."""
    own, peers = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
    etcd = {
        "name": "default",
        "listen-client-urls": own,
        "advertise-client-urls": own,
        "listen-peer-urls": peers,
        "initial-advertise-peer-urls": peers,
        "initial-cluster": f"default={peers}",
    }
    path = folder / "configs" / "etcd.yaml"
    path.write_text(json.dumps(etcd))  # JSON is YAML
    milvus = folder / "configs" / "milvus.yaml"
    text = milvus.read_text().replace("\netcd:\n", f"\netcd:\n  config:\n    path: {path}\n", 1)
    milvus.write_text(text)


if __name__ == "__main__":
    main()
