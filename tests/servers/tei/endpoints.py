"""What each path answers, before it is put into HTTP."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tests.servers.tei import requests
from tests.servers.tei.encoding import Input
from tests.servers.tei.flags import MAX_BATCH_REQUESTS
from tests.servers.tei.model import Floats, pool
from tests.servers.tei.refusals import empty, invalid, not_a_number, wrong_model
from tests.servers.tei.scores import predictions, sigmoid
from tests.servers.tei.work import Parameters, Spent, Work


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON body and, on the inference paths, what it took."""

    body: object
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """One method for each path that takes a body."""

    work: Work

    async def main(self, data: bytes) -> Answer:
        """`/` and `/invocations`: whatever the model is for."""
        match self.work.flags.model:
            case "minilm" | "minilm-prompts":
                return await self.embed(data)
            case "minilm-sparse":
                return await self.embed_sparse(data)
            case "minilm-reranker":
                return await self.rerank(data)
            case "minilm-classifier":
                return await self.predict(data)

    async def embed(self, data: bytes) -> Answer:
        given = requests.EMBED.read(data)
        inputs, batch = _listed(given["inputs"])
        spent = Spent()
        async with self.work.counted(batch=batch):
            if batch:
                self.work.check_size(len(inputs))
            vectors = await self._vectors(inputs, _parameters(given), spent, given["dimensions"])
        return Answer([_unit(each) for each in vectors] if given["normalize"] else vectors, spent.headers())

    async def embed_all(self, data: bytes) -> Answer:
        given = requests.EMBED_ALL.read(data)
        inputs, batch = _listed(given["inputs"])
        spent = Spent()
        async with self.work.counted(batch=batch):
            if batch:
                self.work.check_size(len(inputs))
            states = await self.work.embed(inputs, _parameters(given), spent, "embedding", pooled=False)
        return Answer(states, spent.headers())

    async def embed_sparse(self, data: bytes) -> Answer:
        given = requests.EMBED_SPARSE.read(data)
        inputs, batch = _listed(given["inputs"])
        spent = Spent()
        async with self.work.counted(batch=batch):
            if batch:
                self.work.check_size(len(inputs))
            found = await self.work.embed(inputs, _parameters(given), spent, "sparse")
        rows = [[{"index": int(at), "value": weights[at]} for at in np.flatnonzero(weights)] for weights in found]
        return Answer(rows, spent.headers())

    async def similarity(self, data: bytes) -> Answer:
        given = requests.SIMILARITY.read(data)
        texts = given["inputs"]
        assert isinstance(texts, dict)
        if not texts["sentences"]:
            raise empty("`inputs.sentences`")
        spent = Spent()
        inputs = [texts["source_sentence"], *texts["sentences"]]
        self.work.check_size(len(inputs))
        async with self.work.counted(batch=True):
            vectors = await self._vectors(inputs, _parameters(given["parameters"]), spent, None)
        source, *others = vectors
        lengths = [float(np.linalg.norm(source) * np.linalg.norm(each)) for each in others]
        cosines = [
            np.float32(source @ each / length) if length else 0.0 for each, length in zip(others, lengths, strict=True)
        ]
        return Answer(cosines, spent.headers())

    async def openai(self, data: bytes) -> Answer:
        given = requests.OPENAI.read(data)
        inputs, batch = _listed(given["input"])
        spent = Spent()
        async with self.work.counted(batch=batch):
            if batch:
                self.work.check_size(len(inputs))
            vectors = await self._vectors(inputs, Parameters(), spent, given["dimensions"])
        rows: list[object] = [_unit(each) for each in vectors]
        if given["encoding_format"] == "base64":
            rows = [base64.b64encode(_unit(each).astype("<f4").tobytes()).decode() for each in vectors]
        body = {
            "object": "list",
            "data": [{"object": "embedding", "embedding": row, "index": at} for at, row in enumerate(rows)],
            "model": self.work.flags.served_model_name,
            "usage": {"prompt_tokens": spent.tokens, "total_tokens": spent.tokens},
        }
        return Answer(body, spent.headers())

    async def rerank(self, data: bytes) -> Answer:
        given = requests.RERANK.read(data)
        query, texts = given["query"], given["texts"]
        assert isinstance(texts, list)
        if not texts:
            raise empty("`texts`")
        if self.work.flags.model != "minilm-reranker":
            raise wrong_model("model is not a re-ranker model")
        spent = Spent()
        async with self.work.counted(batch=True):
            self.work.check_size(len(texts))
            pairs: list[Input] = [(str(query), text) for text in texts]
            logits = np.array([each[0] for each in await self.work.judge(pairs, _parameters(given), spent)])
        scores = logits if given["raw_scores"] else sigmoid(logits)
        if np.isnan(scores).any():
            raise not_a_number()
        # Ascending and stable, then backwards: equal scores come in descending order of their index, as from TEI.
        order = np.argsort(scores, kind="stable")[::-1]
        rows = [
            {"index": int(at), **({"text": texts[at]} if given["return_text"] else {}), "score": scores[at]}
            for at in order
        ]
        return Answer(rows, spent.headers())

    async def predict(self, data: bytes) -> Answer:
        given = requests.PREDICT.read(data)
        inputs = given["inputs"]
        batch = isinstance(inputs, list)
        sequences: list[Input] = list(inputs) if isinstance(inputs, list) else [inputs]  # type: ignore[list-item]
        spent = Spent()
        # TEI counts a single request that went well as a second request, and not as a success.
        async with self.work.counted(batch=batch, success="te_request_success" if batch else "te_request_count"):
            if batch:
                self.work.check_size(len(sequences))
            logits = await self.work.judge(sequences, _parameters(given), spent)
        rows = [predictions(each, self.work.model.labels, raw=bool(given["raw_scores"])) for each in logits]
        return Answer(rows if batch else rows[0], spent.headers())

    async def tokenize(self, data: bytes) -> Answer:
        given = requests.TOKENIZE.read(data)
        inputs = given["inputs"]
        texts = inputs if isinstance(inputs, list) else [inputs]
        self.work.check_size(len(texts), what="`inputs`")
        name = given["prompt_name"]
        assert name is None or isinstance(name, str)
        encode = self.work.encoder.tokens
        return Answer(
            [encode(str(text), specials=bool(given["add_special_tokens"]), prompt_name=name) for text in texts]
        )

    async def decode(self, data: bytes) -> Answer:
        given = requests.DECODE.read(data)
        ids = given["ids"]
        assert isinstance(ids, list)
        batch = bool(ids) and isinstance(ids[0], list)
        if batch:
            self.work.check_size(len(ids))
        rows = ids if batch else [ids]
        return Answer([self.work.encoder.decode(row, skip_specials=bool(given["skip_special_tokens"])) for row in rows])

    def info(self) -> Answer:
        flags = self.work.flags
        labels = {str(at): label for at, label in enumerate(self.work.model.labels)}
        judge = {"id2label": labels, "label2id": {label: int(at) for at, label in labels.items()}}
        model_type: dict[str, object]
        match flags.model:
            case "minilm-reranker":
                model_type = {"reranker": judge}
            case "minilm-classifier":
                model_type = {"classifier": judge}
            case "minilm-sparse":
                model_type = {"embedding": {"pooling": "splade"}}
            case _:
                model_type = {"embedding": {"pooling": flags.pooling}}
        return Answer(
            {
                "model_id": flags.model_id,
                "model_sha": flags.sha,
                "model_dtype": "float32",
                "served_model_name": flags.served_model_name,
                "model_type": model_type,
                "max_concurrent_requests": flags.max_concurrent_requests,
                "max_input_length": flags.max_input_length,
                "max_batch_tokens": flags.max_batch_tokens,
                "max_batch_requests": MAX_BATCH_REQUESTS,
                "max_client_batch_size": flags.max_client_batch_size,
                "auto_truncate": flags.auto_truncate,
                "tokenization_workers": flags.threads,
                "version": "1.9.3",
                "sha": None,
                "docker_label": None,
            }
        )

    async def _vectors(
        self, inputs: Sequence[Input], parameters: Parameters, spent: Spent, dimensions: object
    ) -> list[Floats]:
        if dimensions == 0:
            raise invalid("`dimensions` should be positive", "validation")
        assert dimensions is None or isinstance(dimensions, int)
        states = await self.work.embed(inputs, parameters, spent, "embedding", dimensions=dimensions)
        return [pool(each, self.work.flags.pooling)[:dimensions] for each in states]


def _listed(inputs: object) -> tuple[list[Input], bool]:
    """The inputs of a request, and whether they came as a list of them."""
    if isinstance(inputs, list) and inputs and not isinstance(inputs[0], int):
        return inputs, True
    return [inputs], False  # type: ignore[list-item]


def _parameters(given: object) -> Parameters:
    if not isinstance(given, dict):
        return Parameters()
    return Parameters(given.get("truncate"), given["truncation_direction"], given.get("prompt_name"))


def _unit(vector: Floats) -> Floats:
    """Of length one; a vector of zeros becomes not-a-number, as from TEI."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(vector / np.linalg.norm(vector), np.float32)
