#!/usr/bin/env python3
"""Asks the libinjection inside libmodsecurity.so.3 for verdicts, for the tests of src/injection.

First writes one line: its version and the file it comes from, or, with status 3, nothing on standard
output and the reason on standard error. Then reads strings, each behind its length (4 bytes, little
end first), and answers each with 37 bytes: the fingerprint of libinjection_sqli (empty: no attack), the
fingerprints of the five readings, each in 6 bytes filled with zeros, and a byte of bits: the five places
of libinjection_is_xss, then (32) libinjection_xss. Ends with its input.
"""

import ctypes
import ctypes.util
import os
import struct
import sys

# Flags of a reading: no quote 1, single 2, double 4; ANSI 8, MySQL 16.
READINGS = (1 | 8, 1 | 16, 2 | 8, 2 | 16, 4 | 16)
# struct libinjection_sqli_state has 560 bytes in this version.
STATE_BYTES = 4096


def load():
    """The library: FARMGATE_LIBMODSECURITY, else where the loader finds it."""
    name = os.environ.get("FARMGATE_LIBMODSECURITY") or "libmodsecurity.so.3"
    try:
        library = ctypes.CDLL(name)
        library.libinjection_version.restype = ctypes.c_char_p
        library.libinjection_sqli_fingerprint.restype = ctypes.c_char_p
        version = library.libinjection_version().decode()
    except (OSError, AttributeError) as reason:
        print(reason, file=sys.stderr)
        sys.exit(3)
    with open("/proc/self/maps", encoding="utf-8") as maps:
        path = next((line.split()[-1] for line in maps if "libmodsecurity" in line), name)
    return library, f"libinjection {version} in {os.path.realpath(path)}"


def judge(library, state, value):
    """The 37 bytes for a string."""
    # As in libmodsecurity, a zero byte stands behind the string.
    size = ctypes.c_size_t(len(value))
    fingerprint = ctypes.create_string_buffer(8)
    found = library.libinjection_sqli(value, size, fingerprint)
    answer = [fingerprint.value.ljust(6, b"\0") if found else bytes(6)]
    for flags in READINGS:
        library.libinjection_sqli_init(state, value, size, flags)
        answer.append(library.libinjection_sqli_fingerprint(state, flags).ljust(6, b"\0"))
    bits = sum(bool(library.libinjection_is_xss(value, size, place)) << place for place in range(5))
    bits |= bool(library.libinjection_xss(value, size)) << 5
    answer.append(bytes([bits]))
    return b"".join(answer)


def main():
    """Serves until the input ends."""
    library, version = load()
    out = sys.stdout.buffer
    out.write(version.encode() + b"\n")
    out.flush()
    state = ctypes.create_string_buffer(STATE_BYTES)
    source = sys.stdin.buffer
    while header := source.read(4):
        value = source.read(struct.unpack("<I", header)[0])
        out.write(judge(library, state, value))
        out.flush()


main()
