"""Tiny BERT and GPT-2 models of random weights, saved in the format of Hugging Face."""

import json

import torch

from recommender.encoders.support.torchvision_shim import ensure_torchvision

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def tiny_model(folder, kind, **beside):
    """Save a model of a few thousand weights in `folder` and return it; `beside` are JSON files by their name."""
    ensure_torchvision()
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    torch.manual_seed(0)
    # byte by byte, so that every script has tokens
    alphabet = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE({word: i for i, word in enumerate(alphabet)}, [], unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = {"unk_token": "[UNK]"}
    if kind == "bert":
        tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
        special |= {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    sizes = {"vocab_size": len(alphabet)}
    model = {
        "bert": lambda: transformers.BertModel(
            transformers.BertConfig(
                **sizes, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
            )
        ),
        "gpt2": lambda: transformers.GPT2Model(
            transformers.GPT2Config(**sizes, n_embd=16, n_layer=2, n_head=2, n_positions=512)
        ),
    }[kind]()
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=512, **special)
    fast.save_pretrained(folder)
    for name, content in beside.items():
        path = folder / f"{name.replace('__', '/')}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
    return model.eval(), fast
