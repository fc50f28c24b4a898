"""Servers of a language model: as many answers at once as memory and the target latency allow."""

from dataclasses import dataclass
from math import ceil

from streams.sizing.figures import Figures
from streams.sizing.load import Load
from streams.sizing.models import CARDS, GENERATORS, Card, Model
from streams.sizing.pools import Fleet, Hardware, PoolSize, known, shape, spread


def generate_pool(load: Load, figures: Figures, hardware: Hardware, *, spent_s: float) -> PoolSize:
    """Answers within the target, of which `spent_s` is gone before the model is asked."""
    model = shape(hardware.generate_model, GENERATORS, "language model")
    card = known(hardware.generate_card, CARDS, "card")
    decoder = _cheapest(model, card, load, figures, load.target_latency_s - spent_s)
    fleet, tokens = decoder.fleet, figures.prompt_tokens + load.answer_tokens
    lines = (
        (
            f"weights      {model.parameters / 1e9:.2f} G parameters x {figures.weight_bytes:g} B = "
            f"{decoder.weights / 1e9:.1f} GB"
        ),
        (
            f"cache        2 x {model.layers} layers x {model.kv_heads} heads x {model.head_width} x "
            f"{figures.cache_value_bytes:g} B = {decoder.cache / 1e3:.1f} kB a token, x {tokens:g} tokens = "
            f"{decoder.cache * tokens / 1e6:.0f} MB an answer"
        ),
        (
            f"memory       {decoder.cards} x {card.memory_bytes / 1e9:g} GB x {figures.memory_share:g} - weights - "
            f"{figures.activations_bytes / 1e9:g} GB = {decoder.free_bytes / 1e9:.1f} GB: {decoder.most:,} answers at "
            "once"
        ),
        (
            f"batch        {decoder.batch} at once take {decoder.latency_s:.2f} s of the {decoder.left_s:.2f} s that "
            f"are left: {decoder.answers_s:.1f} answers/s, {decoder.answers_s * load.answer_tokens:,.0f} tokens/s"
        ),
        (
            f"servers      {decoder.asked_s:g} answers/s / ({decoder.answers_s:.1f} x {figures.utilisation:g}) = "
            f"{fleet.arithmetic}"
        ),
    )
    warnings: tuple[str, ...] = ()
    if decoder.asked_s and decoder.latency_s > decoder.left_s:
        warnings = (
            (
                f"{hardware.generate_model} on {decoder.cards} x {hardware.generate_card} takes "
                f"{decoder.latency_s:.1f} s for {load.answer_tokens} tokens even alone, and "
                f"{decoder.left_s:.1f} s are left of target_latency_s={load.target_latency_s:g}: take a faster card, a "
                "smaller model or shorter answers"
            ),
        )
    return PoolSize(
        pool="generate",
        model=hardware.generate_model,
        card=hardware.generate_card,
        servers=fleet.servers,
        cards_per_server=decoder.cards,
        machine=fleet.machine,
        machines=fleet.machines,
        weight_bytes=decoder.weights,
        cache_bytes=decoder.batch * decoder.cache * tokens,
        memory_bytes=decoder.cards * card.memory_bytes,
        latency_s=decoder.latency_s,
        arithmetic=lines,
        warnings=warnings,
    )


@dataclass(frozen=True, slots=True)
class _Decoder:
    """A language model on one or more cards of a machine."""

    model: Model
    card: Card
    cards: int
    load: Load
    figures: Figures
    left_s: float
    """Of the target, for the whole answer."""

    @property
    def weights(self) -> float:
        return self.model.parameters * self.figures.weight_bytes

    @property
    def cache(self) -> float:
        """Of a token."""
        return self.model.cache_bytes_per_token(self.figures.cache_value_bytes)

    @property
    def free_bytes(self) -> float:
        """For the cache of all answers."""
        offered = self.cards * self.card.memory_bytes * self.figures.memory_share
        return offered - self.weights - self.figures.activations_bytes

    @property
    def most(self) -> int:
        """Answers that fit the memory."""
        return int(self.free_bytes / (self.cache * (self.figures.prompt_tokens + self.load.answer_tokens)))

    @property
    def batch(self) -> int:
        """The most answers at once that are in time; one where even that is late."""
        most = min(self.most, round(self.figures.max_sequences))
        return max((count for count in range(1, most + 1) if self.latency_among_s(count) <= self.left_s), default=1)

    def latency_among_s(self, batch: int) -> float:
        """Of an answer among so many: its steps, and the prompts that are read meanwhile."""
        prompt, answer = self.figures.prompt_tokens, self.load.answer_tokens
        computed_s = self.cards * self.card.flops * self.figures.compute_share
        moved_s = self.cards * self.card.bandwidth_bytes_s * self.figures.bandwidth_share
        moving = (self.weights + batch * (prompt + answer / 2) * self.cache) / moved_s
        computing = batch * 2 * self.model.parameters / computed_s
        reading = self.model.flops_per_token(prompt) * prompt / computed_s
        return answer * max(moving, computing) + batch * reading

    @property
    def latency_s(self) -> float:
        return self.latency_among_s(self.batch)

    @property
    def answers_s(self) -> float:
        return self.batch / self.latency_s

    @property
    def asked_s(self) -> float:
        return self.load.queries_s * self.load.generative

    @property
    def needed(self) -> int:
        return ceil(self.asked_s / (self.answers_s * self.figures.utilisation))

    @property
    def fleet(self) -> Fleet:
        return spread(self.card, self.needed, self.cards, self.load.replicas)


def _cheapest(model: Model, card: Card, load: Load, figures: Figures, left_s: float) -> _Decoder:
    """Of those that hold the model and are in time, the one that pays for the fewest cards; else the fastest."""
    numbers = [number for number in (1, 2, 4, 8) if number <= max(card.machines.values())]
    able = [_Decoder(model, card, number, load, figures, left_s) for number in numbers]
    holding = [decoder for decoder in able if decoder.most >= 1]
    if not holding:
        needed = model.parameters * figures.weight_bytes / 1e9
        raise ValueError(f"{needed:,.0f} GB of weights do not fit a machine of these cards: choose a larger card")
    in_time = [decoder for decoder in holding if decoder.latency_s <= left_s]
    return min(in_time, key=lambda decoder: decoder.fleet.cards, default=holding[-1])
