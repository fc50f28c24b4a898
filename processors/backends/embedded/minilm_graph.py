"""An ONNX graph of all-MiniLM-L6-v2, built from its published weights alone."""

import struct
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from processors.errors import Poison

LAYERS, WIDTH, HEADS = 6, 384, 12
"""The architecture that the weights belong to (config.json beside them)."""
EPSILON = 1e-12
GRAPH_VERSION = 1
"""Part of the cached file's name: raise it when the graph below changes."""


def cached_graph(weights: Path, cache: Path) -> Path:
    """The graph of `weights`, built in a few seconds on first use and kept in `cache`."""
    graph = cache / f"minilm-fp32-{weights.stat().st_size}-v{GRAPH_VERSION}.onnx"
    if not graph.is_file():
        data = _Builder(_read_safetensors(weights)).model()
        cache.mkdir(parents=True, exist_ok=True)
        # Several workers may build it at once; each replaces the whole file, so that no reader sees a part of one.
        with NamedTemporaryFile(dir=cache, prefix=graph.name, delete=False) as file:
            file.write(data)
        Path(file.name).replace(graph)
    return graph


def _read_safetensors(path: Path) -> dict[str, NDArray[np.float32]]:
    data = path.read_bytes()
    try:
        (size,) = struct.unpack_from("<Q", data)
        header = orjson.loads(data[8 : 8 + size])
        tensors = {}
        for name, about in header.items():
            if name != "__metadata__" and about["dtype"] == "F32":
                begin, end = about["data_offsets"]
                flat = np.frombuffer(data[8 + size + begin : 8 + size + end], "<f4")
                tensors[name.removeprefix("bert.")] = flat.reshape(about["shape"])
    except (struct.error, orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise Poison("model-unusable", f"{str(path)!r} is not a safetensors file: {error}") from error
    return tensors


class _Builder:
    """Writes BERT's forward pass as ONNX nodes; each method returns the name of a value."""

    def __init__(self, weights: dict[str, NDArray[np.float32]]) -> None:
        self._weights = weights
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def model(self) -> bytes:
        from onnx import TensorProto, checker, helper

        states = self._embeddings()
        mask = self._op("Unsqueeze", self._op("Cast", "attention_mask", to=TensorProto.FLOAT), self._ints(1, 2))
        hidden = self._op("Mul", self._op("Sub", self._const(np.float32(1)), mask), self._const(np.float32(-1e9)))
        for layer in range(LAYERS):
            states = self._layer(f"encoder.layer.{layer}", states, hidden)
        self._nodes.append(helper.make_node("Identity", [states], ["last_hidden_state"]))

        def tensor(name: str, kind: int, *shape: str | int) -> Any:
            return helper.make_tensor_value_info(name, kind, list(shape))

        inputs = [tensor(name, TensorProto.INT64, "batch", "tokens") for name in ("input_ids", "attention_mask")]
        outputs = [tensor("last_hidden_state", TensorProto.FLOAT, "batch", "tokens", WIDTH)]
        graph = helper.make_graph(self._nodes, "all-MiniLM-L6-v2", inputs, outputs, self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
        checker.check_model(model)
        return bytes(model.SerializeToString())

    def _embeddings(self) -> str:
        words = self._op("Gather", self._weight("embeddings.word_embeddings.weight"), "input_ids")
        length = self._op("Gather", self._op("Shape", "input_ids"), self._const(np.int64(1)))
        places = self._op("Range", self._const(np.int64(0)), length, self._const(np.int64(1)))
        positions = self._op("Gather", self._weight("embeddings.position_embeddings.weight"), places)
        segment = self._const(self._weights["embeddings.token_type_embeddings.weight"][0])
        return self._norm("embeddings.LayerNorm", self._op("Add", self._op("Add", words, positions), segment))

    def _layer(self, name: str, states: str, hidden: str) -> str:
        heads, rows = self._ints(0, 0, HEADS, WIDTH // HEADS), self._ints(0, 0, WIDTH)
        query, key, value = (
            self._op("Reshape", self._linear(f"{name}.attention.self.{part}", states), heads)
            for part in ("query", "key", "value")
        )
        query = self._op("Transpose", query, perm=[0, 2, 1, 3])
        key = self._op("Transpose", key, perm=[0, 2, 3, 1])
        value = self._op("Transpose", value, perm=[0, 2, 1, 3])
        scale = self._const(np.float32((WIDTH // HEADS) ** -0.5))
        match = self._op("Add", self._op("Mul", self._op("MatMul", query, key), scale), hidden)
        mixed = self._op("MatMul", self._op("Softmax", match, axis=-1), value)
        joined = self._op("Reshape", self._op("Transpose", mixed, perm=[0, 2, 1, 3]), rows)
        attended = self._linear(f"{name}.attention.output.dense", joined)
        states = self._norm(f"{name}.attention.output.LayerNorm", self._op("Add", states, attended))
        wide = self._op("Gelu", self._linear(f"{name}.intermediate.dense", states))
        return self._norm(
            f"{name}.output.LayerNorm", self._op("Add", states, self._linear(f"{name}.output.dense", wide))
        )

    def _linear(self, name: str, states: str) -> str:
        product = self._op("MatMul", states, self._const(self._weights[f"{name}.weight"].T))
        return self._op("Add", product, self._weight(f"{name}.bias"))

    def _norm(self, name: str, states: str) -> str:
        scale, shift = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        return self._op("LayerNormalization", states, scale, shift, axis=-1, epsilon=EPSILON)

    def _op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        output = f"value{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def _weight(self, name: str) -> str:
        return self._const(self._weights[name])

    def _ints(self, *values: int) -> str:
        return self._const(np.array(values, np.int64))

    def _const(self, value: NDArray[Any] | np.generic) -> str:
        from onnx import numpy_helper

        name = f"constant{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.array(value, order="C", copy=True), name))
        return name
