"""A model's shape gives the sizes that its publisher names."""

import json
from pathlib import Path

import pytest

from streams.sizing.models import CARDS, EMBEDDERS, GENERATORS, RERANKERS, Model

M = 1e6
KNOWN_MACHINES = Path(__file__).parents[3] / "infra" / "terraform" / "modules" / "gpu_pool" / "instances.json"


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("all-MiniLM-L6-v2", 22.7 * M),
        ("bge-base-en-v1.5", 109 * M),
        ("bge-large-en-v1.5", 335 * M),
        ("bge-m3", 568 * M),
        ("bge-reranker-base", 278 * M),
        ("bge-reranker-v2-m3", 568 * M),
        ("Qwen2.5-1.5B-Instruct", 1_540 * M),
        ("Qwen2.5-7B-Instruct", 7_610 * M),
        ("Llama-3.1-8B-Instruct", 8_030 * M),
        ("Llama-3.1-70B-Instruct", 70_600 * M),
    ],
)
def test_parameters_are_those_published(name: str, published: float) -> None:
    assert {**EMBEDDERS, **RERANKERS, **GENERATORS}[name].parameters == pytest.approx(published, rel=0.01)


def test_every_known_model_is_checked_against_what_is_published() -> None:
    [mark] = test_parameters_are_those_published.pytestmark  # type: ignore[attr-defined]  # pytest puts it there
    assert {name for name, _ in mark.args[1]} == set(EMBEDDERS) | set(RERANKERS) | set(GENERATORS)


def test_the_cache_counts_only_heads_of_its_own() -> None:
    assert GENERATORS["Llama-3.1-8B-Instruct"].cache_bytes_per_token(2) == 131_072
    assert GENERATORS["Qwen2.5-7B-Instruct"].cache_bytes_per_token(2) == 57_344


@pytest.mark.skipif(not KNOWN_MACHINES.exists(), reason="an installed wheel has no infra")
def test_machines_with_cards_are_those_that_terraform_can_make() -> None:
    known = json.loads(KNOWN_MACHINES.read_text())
    for name, card in CARDS.items():
        for machine, cards in card.machines.items():
            assert (known[machine]["gpu"], known[machine]["gpus"]) == (name, cards)
            assert known[machine]["gpu_memory_gib"] == card.memory_bytes / 1e9
        assert list(card.machines.values()) == sorted(card.machines.values())


def test_a_models_own_config_gives_its_shape(tmp_path: Path) -> None:
    qwen = {
        "model_type": "qwen2",
        "num_hidden_layers": 28,
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152064,
        "max_position_embeddings": 32768,
        "tie_word_embeddings": False,
    }
    config = tmp_path / "config.json"
    config.write_text(json.dumps(qwen))
    assert Model.read(config) == GENERATORS["Qwen2.5-7B-Instruct"]
    config.write_text(json.dumps(qwen | {"head_dim": 256}))
    assert Model.read(config).cache_bytes_per_token(2) == 2 * 57_344
    bert = {"model_type": "bert", "num_hidden_layers": 6, "hidden_size": 384, "intermediate_size": 1536}
    bert |= {"num_attention_heads": 12, "vocab_size": 30522, "max_position_embeddings": 512}
    config.write_text(json.dumps(bert))
    assert Model.read(config) == EMBEDDERS["all-MiniLM-L6-v2"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "is not the config.json of a transformer: 'model_type'"),
        ("[]", "is not the config.json"),
        ("no", "is not the config.json"),
        ('{"num_local_experts": 8}', "a mixture of experts"),
    ],
)
def test_a_config_that_cannot_be_read_is_refused(tmp_path: Path, text: str, said: str) -> None:
    config = tmp_path / "config.json"
    config.write_text(text)
    with pytest.raises(ValueError, match=said):
        Model.read(config)
    with pytest.raises(ValueError, match=r"give a model.s config\.json"):
        Model.read(tmp_path / "missing.json")
