"""Makers of sound safetensors files whose tensors, checksums or settings are wrong."""

import json

import torch
from helpers.weight_files.weight_file_parts import bad

# -- the checksums ---------------------------------------------------------------------------------------------


@bad("fineq_blocks does not match its checksum")
def flipped_bit_in_blocks(parts):
    parts.data[parts.header[parts.find("fineq_blocks")]["data_offsets"][0] + 5] ^= 1


@bad("fineq_scales does not match its checksum")
def flipped_bit_in_scales(parts):
    parts.data[parts.header[parts.find("fineq_scales")]["data_offsets"][0]] ^= 128


@bad("model.norm.weight does not match its checksum")
def flipped_bit_in_a_norm(parts):
    parts.data[parts.header["model.norm.weight"]["data_offsets"][1] - 1] ^= 64


@bad("does not match its checksum")
def exchanged_tensors(parts):
    first, second = parts.header["model.layers.0.input_layernorm.weight"], parts.header["model.norm.weight"]
    parts.data[first["data_offsets"][0]] ^= 1  # in the random models all norms are alike
    parts.sign()
    first["data_offsets"], second["data_offsets"] = second["data_offsets"], first["data_offsets"]


@bad("model.norm.weight does not match its checksum")
def another_type_of_the_same_size(parts):
    parts.header["model.norm.weight"]["dtype"] = "I32"


@bad("does not match its checksum")
def another_shape_of_the_same_size(parts):
    name = parts.find("fineq_blocks")
    parts.header[name]["shape"].reverse()


@bad("has no checksum")
def renamed_tensor(parts):
    parts.header["model.norm.heft"] = parts.header.pop("model.norm.weight")


@bad("tensor model.norm\\nweight\\x1b has no checksum")
def renamed_with_a_line_break(parts):
    parts.header["model.norm\nweight\x1b"] = parts.header.pop("model.norm.weight")


@bad("has no checksum")
def checksum_missing(parts):
    checksums = json.loads(parts.metadata["fineq_checksums"])
    del checksums["model.norm.weight"]
    parts.metadata["fineq_checksums"] = json.dumps(checksums)


@bad("does not match its checksum")
def checksum_in_capitals(parts):
    checksums = json.loads(parts.metadata["fineq_checksums"])
    parts.metadata["fineq_checksums"] = json.dumps({name: digits.upper() for name, digits in checksums.items()})


@bad("checksums: its JSON text is not valid")
def checksums_missing(parts):
    del parts.metadata["fineq_checksums"]


@bad("is in none of the weight files")
def tensor_removed(parts):
    parts.remove("model.norm.weight")


@bad("tensors and state")
def tensor_removed_with_its_checksum(parts):
    total = parts.metadata["fineq_tensors"]
    parts.remove("model.norm.weight")
    parts.sign()
    parts.metadata["fineq_tensors"] = total


# -- what the checksums cannot see: files made wrong on purpose or by another tool --------------------------------


@bad("is no FineQ weight file of version 1")
def another_version(parts):
    parts.metadata["fineq_format"] = "2"


@bad("is no FineQ weight file of version 1")
def plain_file(parts):
    parts.metadata = {"format": "pt"}


@bad("must have the format 'pt'")
def another_framework(parts):
    parts.metadata["format"] = "tf"


@bad("weight marks a tensor of FineQ format version 2, config.json has version 1")
def marker_of_another_version(parts):
    parts.data[parts.header[parts.find("layers.0.mlp.up_proj.weight")]["data_offsets"][0]] = 2
    parts.sign()


@bad("has no model.layers.0.mlp.")
def scales_missing(parts):
    parts.remove(parts.find("fineq_scales"))
    parts.sign()


@bad("has no model.layers.0.mlp.")
def marker_missing(parts):
    parts.remove(parts.find("fineq_blocks").replace("fineq_blocks", "weight"))
    parts.sign()


@bad("belongs to no quantized tensor of config.json")
def packed_tensor_that_config_does_not_list(parts):
    name = parts.find("fineq_scales")
    parts.header["model.layers.1.mlp.up_proj.fineq_scales"] = {"dtype": "F32", "shape": [1], "data_offsets": []}
    parts.header["model.layers.1.mlp.up_proj.fineq_scales"]["data_offsets"] = [len(parts.data), len(parts.data) + 4]
    parts.data += bytes(parts.data[parts.header[name]["data_offsets"][0] :][:4])
    parts.sign()


@bad("has a scale that is not a positive number")
def scale_is_nan(parts):
    start = parts.header[parts.find("fineq_scales")]["data_offsets"][0]
    parts.data[start : start + 4] = b"\0\0\xc0\x7f"
    parts.sign()


@bad("has a scale that is not a positive number")
def scale_is_negative(parts):
    parts.data[parts.header[parts.find("fineq_scales")]["data_offsets"][0] + 3] |= 128
    parts.sign()


@bad("config.json says that model.layers.0.mlp.")
def too_few_rows(parts):
    name = parts.find("fineq_blocks")
    rows, width = parts.header[name]["shape"]
    start, end = parts.header[name]["data_offsets"]
    parts.replace(name, bytes(parts.data[start : end - width]), shape=[rows - 1, width])
    parts.sign()


@bad("config.json says that model.layers.0.mlp.")
def scales_of_another_type(parts):
    name = parts.find("fineq_scales")
    start, end = parts.header[name]["data_offsets"]
    halves = torch.frombuffer(parts.data[start:end], dtype=torch.float32).half()
    parts.replace(name, halves.view(torch.uint8).numpy().tobytes(), dtype="F16")
    parts.sign()


@bad("model_type is 'llama', the weights were written with 'mistral'")
def weights_of_another_model(parts):
    parts.config["model_type"] = "mistral"
    parts.sign()
