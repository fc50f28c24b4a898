"""Pods and the GPU nodes under them: what a Deployment is told to have, and when that serves."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Node:
    """A machine with cards; paid for from the moment that it is asked for."""

    up_s: int
    used: int = 0
    idle_s: int = 0
    """Since when nothing runs on it."""


@dataclass(slots=True)
class Pool:
    """Nodes of one kind, added for pods that find no free card, removed when they have been idle for long."""

    cards: int
    """Of a node."""
    node_s: int
    idle_s: int
    nodes: list[Node] = field(default_factory=list)

    def take(self, now_s: int) -> tuple[Node, int]:
        """A node with a free card, the fullest first, and when it is up."""
        free = [node for node in self.nodes if node.used < self.cards]
        if not free:
            free = [Node(now_s + self.node_s)]
            self.nodes += free
        node = max(free, key=lambda each: (each.used, -each.up_s))
        node.used += 1
        return node, max(now_s, node.up_s)

    def give(self, node: Node, now_s: int) -> None:
        node.used -= 1
        node.idle_s = now_s

    def paid(self, now_s: int) -> int:
        """Cards that are paid for; nodes that were idle for long are given back first."""
        self.nodes = [node for node in self.nodes if node.used or now_s - node.idle_s < self.idle_s]
        return self.cards * len(self.nodes)


@dataclass(slots=True)
class Pods:
    """The pods of one Deployment."""

    start_s: int
    """From a place on a node until it serves: model and probes included."""
    pool: Pool | None = None
    _pods: list[tuple[int, Node | None]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self._pods)

    def scale(self, now_s: int, replicas: int) -> None:
        """Start what is missing; end the youngest of what is too much, as Kubernetes does."""
        if replicas == len(self._pods):
            return
        while len(self._pods) < replicas:
            node, up_s = self.pool.take(now_s) if self.pool else (None, now_s)
            self._pods.append((up_s + self.start_s, node))
        self._pods.sort(key=lambda pod: pod[0])
        while len(self._pods) > replicas:
            _, node = self._pods.pop()
            if self.pool and node:
                self.pool.give(node, now_s)

    def serving(self, now_s: int) -> int:
        return sum(ready_s <= now_s for ready_s, _ in self._pods)
