#!/usr/bin/env bash
# The whole of Headwater in a minute: start, ingest, ask, trace. Each command is shown before it runs.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"

say() { printf '\n' && printf '# %s\n' "$@"; }
run() {
  local word
  printf '\n$'
  for word; do
    case $word in
      *[!A-Za-z0-9_./-]*) printf ' "%s"' "$word" ;;
      *) printf ' %s' "$word" ;;
    esac
  done
  printf '\n'
  "$@"
}
# A refusal is an answer: exit code 1 of `ask` is no failure here.
ask() { run headwater ask "$@" || [ $? -eq 1 ]; }

say "Start Kafka, Milvus, the language model and the workers, all on this machine."
run headwater up

say "Publish ten documents of ten kinds, and wait until they are searchable."
run headwater ingest examples/documents --wait

say "Ask. These answers are extractive: sentences of the documents, word for word, with their sources." \
  "The last question has no answer there, and gets none."
grep -v '^#' examples/questions.txt | while IFS= read -r question; do
  ask "$question" </dev/null
done

question=$(grep -v '^#' examples/questions.txt | head -1)
say "The same as the first question, now in the words of a language model (--generate). With 135 million" \
  "parameters it is small enough for this machine, and it invents: trust the sources, not its words."
ask "$question" --generate

say "Where the time of one question went, from the command through every hop to the last token."
trace=$(headwater ask "$question" --json | tail -1 | python3 -c 'import json, sys; print(json.load(sys.stdin)["query_id"])')
run headwater trace "$trace"

cat <<'END'

The stack keeps running. Go on with

  . .venv/bin/activate
  headwater ask "When is dinner for guests?"
  headwater ingest PATH... --wait
  headwater status
  make down
END
