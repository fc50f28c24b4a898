"""The broker's jars: pinned coordinates, downloaded once and checked against committed hashes.

`python -m streams.local.jars FOLDER` fetches them, `--lock` in place of a folder writes the lock anew.
"""

import hashlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from streams.local.errors import PartFailed

LOCK = Path(__file__).with_name("kafka-jars.sha256")
COORDINATES = (
    "org.apache.kafka:kafka_2.13:4.3.1",
    # Named because the resolver picks an older kafka-clients for kafka_2.13 alone.
    "org.apache.kafka:kafka-clients:4.3.1",
    "org.apache.kafka:kafka-server-common:4.3.1",
    "org.slf4j:slf4j-simple:1.7.36",
)
Report = Callable[[int, int], None]
"""Called with how many jars are there and how many there will be."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the lock."""

    coordinate: str
    """`group:artifact:version`"""
    sha256: str

    @property
    def filename(self) -> str:
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


def locked(lock: Path = LOCK) -> list[Jar]:
    """The jars of a committed lock, in class path order."""
    lines = (line.split() for line in lock.read_text().splitlines() if line and not line.startswith("#"))
    return [Jar(coordinate, sha256) for sha256, coordinate in lines]


def missing(folder: Path, lock: Path = LOCK) -> list[Jar]:
    """The jars that `folder` lacks or holds with other content."""
    return [jar for jar in locked(lock) if _sha256(folder / jar.filename) != jar.sha256]


def class_path(folder: Path, lock: Path = LOCK) -> str:
    """What `java -cp` takes."""
    return ":".join(str((folder / jar.filename).resolve()) for jar in locked(lock))


def fetch(folder: Path, report: Report, lock: Path = LOCK) -> None:
    """Download what `folder` lacks, if anything; everything in it is verified when this returns."""
    wanted, total = missing(folder, lock), len(locked(lock))
    if not wanted:
        return
    report(total - len(wanted), total)
    folder.mkdir(parents=True, exist_ok=True)
    # A download interrupted half-way must never look like a jar: it is moved into place once its hash is right.
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as scratch, ThreadPoolExecutor(6) as pool:
        downloads = [pool.submit(_download, jar, Path(scratch), folder) for jar in wanted]
        try:
            for count, download in enumerate(as_completed(downloads), start=total - len(wanted) + 1):
                download.result()
                report(count, total)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _download(jar: Jar, scratch: Path, folder: Path) -> None:
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.maven import MavenContext

    repositories = {"central": MAVEN_CENTRAL_URL} | GlobalSettings.load().repositories
    context = MavenContext(repo_cache=scratch, remote_repos=repositories, timeout=60)
    group, artifact, version = jar.coordinate.split(":")
    try:
        path = context.project(group, artifact).at_version(version).artifact().resolve()
    except (RuntimeError, OSError) as error:  # requests' errors are OSErrors
        remedy = "check the network (later starts need none), or name a mirror in ~/.config/jgo.conf [repositories]"
        raise PartFailed("kafka", f"cannot download {jar.coordinate}: {error}; {remedy}") from error
    if (found := _sha256(path)) != jar.sha256:
        raise PartFailed("kafka", f"{jar.coordinate}: downloaded sha256 {found}, expected {jar.sha256}: not used")
    shutil.move(path, folder / jar.filename)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return ""


def resolve(coordinates: Sequence[str] = COORDINATES) -> list[Jar]:
    """The lock's content anew, from the network: for a change of version."""
    import jgo

    return [
        Jar(f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}", _sha256(artifact.resolve()))
        for artifact in jgo.resolve("+".join(coordinates))
    ]


def main() -> int:
    if sys.argv[1] == "--lock":
        LOCK.write_text("".join(f"{jar.sha256}  {jar.coordinate}\n" for jar in resolve()))
        return 0
    folder = Path(sys.argv[1])
    if not missing(folder):
        return 0
    try:
        fetch(folder, lambda done, total: print(f"broker: {done} of {total} jars", flush=True))
    except PartFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
