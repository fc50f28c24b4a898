"""Make of a GGUF file a checkpoint that vLLM loads: `vllm_model.py GGUF FOLDER`, run in the environment of vLLM."""

import sys
from pathlib import Path

import torch  # type: ignore[import-not-found]
from transformers import AutoModelForCausalLM, AutoTokenizer  # type: ignore[import-not-found]


def main() -> None:
    gguf, folder = Path(sys.argv[1]), Path(sys.argv[2])
    read = {"gguf_file": gguf.name}
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **read)
    # A model that was quantised cannot be saved; one of the same shape with its weights can.
    model.config.__dict__.pop("quantization_config", None)
    plain = AutoModelForCausalLM.from_config(model.config, dtype=torch.bfloat16)
    plain.load_state_dict({name: weight.to(torch.bfloat16) for name, weight in model.state_dict().items()})
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(gguf.parent, **read).save_pretrained(folder)


if __name__ == "__main__":
    main()
