"""Chaos: break the running pipeline from a seed, and let a checker say whether a promise was broken.

How the parts fit:

- `ledger`    what happened, in append-only JSON lines: `Published`, `Received` (receipts), `Asked`, `Answered`,
              `Buried` (dead letters), `Fault`. `Ledger.note(entry)`; `read(path)` for one that was kept.
- `checker`   `check(entries, dump) -> Verdict`: lost, duplicated, stale, out of order, unanswered, answered twice,
              unexpected. Pure functions; `test_checker.py` and `test_mutants.py` test them.
- `workload`  `planned(Shape(...), random) -> steps`: documents created, updated and deleted by several tenants, and
              questions. `Driver.drive(steps)` sends and notes them; `Driver.send(Write(...) | Ask(...))` sends one.
- `fleet`     worker processes. `Fleet.start(n)`, `join()`, `leave(member)`; `Member.kill()`, `pause()`, `resume()`.
              A member that dies is started again. Each fault waits until its victim has work in hand (which its journal
              tells, exactly, while it is stopped), and notes that as its evidence.
- `worker`    the process in the fleet: the product's worker with a plain-text parser and hashed words.
- `observer`  follows receipts, answers and dead letters into the ledger; `dump(settings, tenants)` reads the index as
              searches do.
- `memory`    both pipelines in memory, dying at chosen points; `crash_points` finds all points at which one may die.
- `releases`  an older and a newer release of the product, as the environment of a worker.
- `scenario`  `Scenario`: seed -> plan -> run -> verdict -> `Outcome`. A subclass says what breaks.
- `moods`     servers that for a while answer with refusals, nonsense, too little, or not at all.
- `glimpses`  what each of many questions was shown of a document that changes: empty, mixed or stale.
- `memory_slope`  how the memory of a process grows with what it has done.
- `small_disk`  a disk that only some processes see, to fill or to make read-only.
- `report`    the fixture `report` judges an outcome, and in `make chaos` notes it in the results that
              `python -m tests.chaos.report` writes docs/reliability.md from; `plot` draws.

To write a scenario, make `test_NN_name.py` after `test_01_kill.py`:

    class Kill(Scenario):
        number, name = 1, "kill -9"
        shape = Shape(events=120)                     # how much is published and asked meanwhile, over how long
        workers = 2

        async def strike(self, run: Run) -> None:     # beside the workload; draw all from run.random
            await asyncio.sleep(run.random.uniform(0.2, 2))
            await run.random.choice(run.fleet.members).kill()

    async def test_...(stack: Settings, seed: int, engine: str, tmp_path: Path, report: Report) -> None:
        report.judge(await Kill().run(stack, seed=seed, engine=engine, folder=tmp_path))

`seed` and `engine` are parameters (`conftest.py`): the module's `QUICK_SEEDS` (default 1) run in `make test`, with its
`QUICK_ENGINES` (default both), and `--seeds N` of them with both engines under the marker `chaos`. All quick forms
together have four minutes on two cores. A test without `seed` runs as it is; mark it `chaos` where it takes long.

What else a scenario may do: `adapt` (its settings), `plan` (its workload), `deploy` (its topics), `judge` (a verdict
of its own beside the common one), `run.busy()` and `run.in_hand()` (what there is to harm), `run.note(...)` (a fault
that is not the fleet's: `struck` only with evidence that work was in hand), `run.figures[...] = Figure(value=, unit=,
at_most=)` (for the report). Servers that it alone may break come from `tests.servers.own`, and are named in the stack
that it runs on. A scenario that does not fit (in memory) makes its `Outcome` itself and hands it to `report.judge`.
A run in which nothing struck fails, because it proves nothing.
"""
