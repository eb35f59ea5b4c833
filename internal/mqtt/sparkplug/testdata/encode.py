"""Writes pypi.json, payloads encoded by pysparkplug 0.6.1: pip install pysparkplug==0.6.1."""

import datetime
import json

from pysparkplug import DataType, DBirth, DData, Metric, NBirth, NData

AT = 1764208800123
UTC = datetime.timezone.utc

VALUES = {
    "int8": (DataType.INT8, -128),
    "int16": (DataType.INT16, -32768),
    "int32": (DataType.INT32, -2147483648),
    "int64": (DataType.INT64, -9223372036854775808),
    "uint8": (DataType.UINT8, 255),
    "uint16": (DataType.UINT16, 65535),
    "uint32": (DataType.UINT32, 4294967295),
    "uint64": (DataType.UINT64, 18446744073709551615),
    "float": (DataType.FLOAT, 72.25),
    "double": (DataType.DOUBLE, 0.1),
    "boolean": (DataType.BOOLEAN, True),
    "string": (DataType.STRING, "Größe"),
    "datetime": (DataType.DATETIME, datetime.datetime(2026, 11, 27, 2, 0, 0, 123000, UTC)),
    "text": (DataType.TEXT, "lines\nof text"),
    "uuid": (DataType.UUID, "018f2a44-0000-7000-8000-000000000001"),
    "bytes": (DataType.BYTES, b"\x00\xff"),
    "null": (DataType.INT32, None),
    "int8s": (DataType.INT8_ARRAY, (-23, 123)),
    "int16s": (DataType.INT16_ARRAY, (-30000, 30000)),
    "int32s": (DataType.INT32_ARRAY, (-1, 315338746)),
    "int64s": (DataType.INT64_ARRAY, (-4270929666821191986, 3)),
    "uint8s": (DataType.UINT8_ARRAY, (23, 250)),
    "uint16s": (DataType.UINT16_ARRAY, (30, 52360)),
    "uint32s": (DataType.UINT32_ARRAY, (52, 3293969225)),
    "uint64s": (DataType.UINT64_ARRAY, (52, 16444743074749521625)),
    "floats": (DataType.FLOAT_ARRAY, (1.23, 89.341)),
    "doubles": (DataType.DOUBLE_ARRAY, (12.354213, 1022.9123213)),
    "booleans": (DataType.BOOLEAN_ARRAY, (False, False, True, True, False, True, False, False, True, True, False, True)),
    "strings": (DataType.STRING_ARRAY, ("ABC", "hello")),
    "datetimes": (DataType.DATETIME_ARRAY, (datetime.datetime(2009, 10, 21, 5, 27, 55, 335000, UTC),)),
}


def metric(name, alias, dtype, value):
    return Metric(timestamp=AT, name=name, datatype=dtype, value=value, alias=alias)


def main():
    metrics = tuple(metric(n, i + 1, t, v) for i, (n, (t, v)) in enumerate(VALUES.items()))
    out = {
        "nbirth": NBirth(timestamp=AT, seq=0, metrics=metrics).encode(),
        "dbirth": DBirth(timestamp=AT, seq=1, metrics=metrics).encode(),
        "ndata": NData(timestamp=AT + 5, seq=255, metrics=metrics).encode(),
        "ddata aliases": DData(timestamp=AT + 5, seq=2, metrics=metrics).encode(include_dtypes=False),
    }
    with open("pypi.json", "w", encoding="utf-8") as f:
        json.dump({k: v.hex() for k, v in out.items()}, f, indent=1)
        f.write("\n")


main()
