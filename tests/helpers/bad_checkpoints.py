"""Makers of damaged and hostile weight files, by name, each with a part of the sentence that refuses it."""

import json
from pathlib import Path

import torch

from fineq.checkpoint.container import MAX_HEADER_BYTES, tensor_hash
from fineq.checkpoint.fileformat import file_metadata


class Parts:
    """A weight file taken apart: change it, then put it together again, with or without honest checksums."""

    def __init__(self, path: Path):
        raw = path.read_bytes()
        length = int.from_bytes(raw[:8], "little")
        self.header = json.loads(raw[8 : 8 + length])
        self.metadata = self.header.pop("__metadata__")
        self.data = bytearray(raw[8 + length :])
        self.config = json.loads((path.parent / "config.json").read_text())

    def find(self, ending: str) -> str:
        return next(name for name in self.header if name.endswith(ending))

    def replace(self, name: str, data: bytes, **fields) -> None:
        """Other bytes for one tensor; those behind it move."""
        start, end = self.header[name]["data_offsets"]
        self.data[start:end] = data
        for entry in self.header.values():
            entry["data_offsets"] = [n + len(data) - (end - start) if n >= end else n for n in entry["data_offsets"]]
        self.header[name] |= {"data_offsets": [start, start + len(data)], **fields}

    def remove(self, name: str) -> None:
        self.replace(name, b"", shape=[0])
        del self.header[name]

    def sign(self) -> None:
        """Checksums as an attacker, or a careless tool, would make them."""
        checksums = {}
        for name, entry in self.header.items():
            digest = tensor_hash(name, entry["dtype"], tuple(entry["shape"]))
            digest.update(self.data[slice(*entry["data_offsets"])])
            checksums[name] = digest.hexdigest()
        self.metadata = file_metadata(checksums, self.config, len(checksums))

    def header_text(self) -> str:
        return json.dumps({"__metadata__": self.metadata} | self.header, separators=(",", ":"))

    def join(self, text: str | bytes | None = None, length: int | None = None) -> bytes:
        text = self.header_text() if text is None else text
        text = text.encode() if isinstance(text, str) else text
        return (len(text) if length is None else length).to_bytes(8, "little") + text + bytes(self.data)


BAD = {}


def bad(message: str):
    """Register a maker of a bad file: it changes `parts` and returns the file's bytes, or None for `parts.join()`."""

    def register(make):
        BAD[make.__name__] = (make, message)
        return make

    return register


# -- the container ---------------------------------------------------------------------------------------------


@bad("0 bytes are no safetensors file")
def empty_file(parts):
    return b""


@bad("7 bytes are no safetensors file")
def seven_bytes(parts):
    return b"\0" * 7


@bad("is truncated: its header claims")
def cut_inside_header(parts):
    return parts.join()[:300]


@bad("is truncated: it has")
def last_byte_missing(parts):
    return parts.join()[:-1]


@bad("is truncated: it has")
def all_data_missing(parts):
    return parts.join()[: -len(parts.data)]


@bad("longer than its header says")
def one_byte_too_many(parts):
    return parts.join() + b"\0"


@bad("is truncated: its header claims")
def header_length_of_the_whole_file(parts):
    return parts.join(length=len(parts.join()))


@bad(f"more than the {MAX_HEADER_BYTES} allowed")
def header_length_of_exabytes(parts):
    return parts.join(length=2**62)


@bad("not a JSON object padded with spaces")
def header_length_too_small(parts):
    return parts.join(length=20)


@bad("not a JSON object padded with spaces")
def header_padded_with_zero_bytes(parts):
    return parts.join(parts.header_text() + "\0\0")


@bad("not a JSON object padded with spaces")
def header_is_a_list(parts):
    return parts.join("[1, 2, 3]")


@bad("its JSON text is not valid")
def header_is_not_json(parts):
    return parts.join("{nonsense}")


@bad("its JSON text is not valid")
def header_is_not_utf8(parts):
    return parts.join(parts.header_text().encode().replace(b"norm", b"n\xffrm"))


@bad("its JSON text is too deeply nested")
def header_nested_deeply(parts):
    return parts.join('{"a":' + "[" * 100_000 + "]" * 100_000 + "}")


@bad("NaN is not a JSON number")
def header_with_nan(parts):
    return parts.join(parts.header_text()[:-1] + ',"x":NaN}')


@bad("occurs twice")
def tensor_named_twice(parts):
    name = parts.find("fineq_blocks")
    return parts.join(parts.header_text()[:-1] + f',"{name}":{json.dumps(parts.header[name])}}}')


@bad("occurs twice")
def field_named_twice(parts):
    return parts.join(parts.header_text().replace('"dtype":', '"dtype":"F64","dtype":', 1))


@bad("its metadata must be texts by name")
def metadata_with_a_number(parts):
    parts.metadata["count"] = 3


@bad("its metadata must be texts by name")
def metadata_is_a_list(parts):
    parts.metadata = ["format", "pt"]


@bad("must have dtype, shape and data_offsets, nothing else")
def field_missing(parts):
    del parts.header[parts.find("fineq_scales")]["shape"]


@bad("must have dtype, shape and data_offsets, nothing else")
def field_too_many(parts):
    parts.header[parts.find("fineq_scales")]["stride"] = [1]


@bad("has the unknown type 'F31'")
def unknown_type(parts):
    parts.header[parts.find("fineq_scales")]["dtype"] = "F31"


@bad("has the unknown type ['F32']")
def type_is_a_list(parts):
    parts.header[parts.find("fineq_scales")]["dtype"] = ["F32"]


@bad("has a shape that is not a short list of sizes")
def negative_size(parts):
    parts.header[parts.find("fineq_blocks")]["shape"] = [-80, -14]


@bad("has a shape that is not a short list of sizes")
def size_is_a_truth_value(parts):
    parts.header[parts.find("fineq_blocks")]["shape"] = [True, 14]


@bad("has a shape that is not a short list of sizes")
def a_thousand_dimensions(parts):
    parts.header[parts.find("fineq_blocks")]["shape"] = [2] * 1000


@bad("has a shape that is not a short list of sizes")
def size_beyond_64_bits(parts):
    parts.header[parts.find("fineq_blocks")]["shape"] = [2**64, 0]


@bad("needs 36893488147419103232 bytes, its data_offsets hold")
def shape_that_overflows_64_bits(parts):
    parts.header[parts.find("fineq_blocks")]["shape"] = [2**32, 2**33]


@bad("its data_offsets hold")
def over_declared_shape(parts):
    parts.header[parts.find("fineq_blocks")]["shape"][0] += 1


@bad("is truncated: it has")
def over_declared_shape_and_offsets(parts):
    entry = list(parts.header.values())[-1]
    assert entry["data_offsets"][1] == len(parts.data)
    parts.replace(list(parts.header)[-1], bytes(10**6), shape=[10**6])
    del parts.data[-(10**6) :]


@bad("data_offsets that are not two positions")
def three_offsets(parts):
    parts.header[parts.find("fineq_blocks")]["data_offsets"].append(0)


@bad("its data_offsets hold -")
def offsets_swapped(parts):
    parts.header[parts.find("fineq_blocks")]["data_offsets"].reverse()


@bad("overlaps the one before it")
def overlapping_tensors(parts):
    first, second = list(parts.header)[:2]
    size = parts.header[second]["data_offsets"][1] - parts.header[second]["data_offsets"][0]
    parts.header[second]["data_offsets"] = [0, size]


@bad("leaves a gap before it")
def gap_between_tensors(parts):
    name = list(parts.header)[-1]
    parts.header[name]["data_offsets"] = [n + 8 for n in parts.header[name]["data_offsets"]]
    parts.data += bytes(8)


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
