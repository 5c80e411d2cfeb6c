"""Makers of files that are no safetensors files, or lie about where their tensors are."""

import json

from helpers.weight_files.weight_file_parts import bad

from fineq.checkpoint.container import MAX_HEADER_BYTES


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


@bad("has data_offsets that are not two positions")
def position_with_the_sign_of_zero(parts):
    return parts.join(parts.header_text().replace('"data_offsets":[0,', '"data_offsets":[-0,', 1))


@bad("its JSON text has half a character")
def half_a_character(parts):
    parts.header["model.norm.\ud800"] = parts.header.pop("model.norm.weight")
    parts.sign()


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
