"""The tables of docs/autoscaling.md."""

from collections.abc import Iterable, Mapping, Sequence

from infra.autoscaling.assumed import POOLS, Assumed
from infra.autoscaling.queues import Cohort
from infra.autoscaling.scaled import Direction, ScaledObject, Trigger
from infra.autoscaling.scenarios import HOUR_S, Run


def settings(scaled: Mapping[str, ScaledObject]) -> str:
    rows = [
        (
            f"`{name}`",
            each.lane,
            f"{each.least} to {each.most}",
            "; ".join(_read(trigger) for trigger in each.triggers),
            _pace(each.up),
            _pace(each.down) + (f"; to zero after {each.cooldown_s:,} s without work" if each.least == 0 else ""),
            str(each.fallback.replicas),
        )
        for name, each in scaled.items()
    ]
    return _table(("what", "lane", "replicas", "a replica for", "up", "down", "blind, at least"), rows)


def replicas(scaled: Mapping[str, ScaledObject], runs: Mapping[str, Run]) -> str:
    """What each object saw at worst and did, in the first run in detail."""
    columns = ["what", *(f"{name}: {of}" for name in runs for of in ("replicas", "worst", "changes", "too early"))]
    rows = [
        (
            f"`{name}`",
            *(
                word
                for run in runs.values()
                for word in (
                    f"{min(run.replicas[name])} to {max(run.replicas[name])}",
                    f"{run.worst[each.triggers[0].of]:,.0f}",
                    str(len(run.changes(name))),
                    str(run.flaps(name)),
                )
            ),
        )
        for name, each in scaled.items()
    ]
    return _table(columns, rows)


def arrivals(runs: Mapping[str, Run]) -> str:
    columns = (
        *("run", "documents", "searchable after: median", "95 %", "last", "all clear after the last was published"),
        *("questions", "answered after: median", "95 %", "last", "refused as overloaded", "past the deadline"),
    )
    rows = []
    for name, run in runs.items():
        found, answered = run.outcomes.documents, run.outcomes.answers
        rows.append(
            (
                name,
                f"{run.published:,}",
                *(f"{_after(found, share):,} s" for share in (0.5, 0.95, 1)),
                f"{run.outcomes.cleared_s - run.last_published_s:,} s",
                f"{run.asked:,}",
                *(_seconds(_after(answered, share)) for share in (0.5, 0.95, 1)),
                f"{run.outcomes.refused:,} ({run.outcomes.refused / run.asked:.1%})",
                f"{run.outcomes.too_late:,}",
            )
        )
    # Upright: a column per run is readable, twelve are not.
    return _table(("", *(row[0] for row in rows)), list(zip(columns, *rows, strict=True))[1:])


def gpus(scaled: Mapping[str, ScaledObject], runs: Mapping[str, Run]) -> str:
    pools = {pool: [name for name, (its, _) in POOLS.items() if its == pool] for pool, _ in POOLS.values()}
    rows = []
    for pool, names in pools.items():
        words = [f"`{pool}`", ", ".join(f"`{name}`" for name in names)]
        for run in runs.values():
            most = sum(scaled[name].most for name in names) * run.scenario.hours
            words += [f"{run.card_s[pool] / HOUR_S:.1f}", f"{most:.0f}"]
        rows.append(words)
    columns = [f"{name}{of}" for name in runs for of in ("", ", all replicas all the time")]
    return _table(("pool", "of", *columns), rows)


def otherwise(runs: Mapping[str, Run]) -> str:
    columns = ("the burst", "questions refused", "95 % answered after", "the last", "replicas taken away too early")
    rows = [
        (
            name,
            f"{run.outcomes.refused:,}",
            *(_seconds(_after(run.outcomes.answers, share)) for share in (0.95, 1)),
            str(sum(run.flaps(each) for each in run.replicas)),
        )
        for name, run in runs.items()
    ]
    return _table(columns, rows)


def assumptions() -> str:
    rows = [
        (f"`{name}`", f"{value:,.4g}" if value < 1_000 else f"{value:,.0f}", source)
        for name, value, source in Assumed()
    ]
    return _table(("of one replica, or one of what is named", "value", "from"), rows)


def _read(trigger: Trigger) -> str:
    if trigger.kind == "kafka":
        return f"{trigger.target:,.0f} records that `{trigger.group}` lags in `{trigger.of}`"
    return f"{trigger.target:,.0f} of `{trigger.of}`"


def _pace(direction: Direction) -> str:
    steps = " or ".join(
        f"{policy.value}{' %' if policy.kind == 'Percent' else ''} in {policy.period_s} s"
        for policy in direction.policies
    )
    return f"{steps}, after {direction.window_s:,} s" if direction.window_s else f"{steps}, at once"


def _after(cohorts: Iterable[Cohort], share: float) -> int:
    """After how many seconds that share of them were done."""
    ordered = sorted(cohorts)
    left = share * sum(count for _, count in ordered)
    for waited_s, count in ordered:
        left -= count
        if left <= 0:
            return waited_s
    return 0


def _seconds(whole: int) -> str:
    """Steps are a second, so that less is not told."""
    return f"{whole} s" if whole else "under 1 s"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join([*lines, ""])
