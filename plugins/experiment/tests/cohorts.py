"""Writes cohorts.txt: keys and their variants by the formula of the README, without any code of Farmgate.

SipHash-2-4 follows the reference by Aumasson and Bernstein. Run: python3 cohorts.py > cohorts.txt
"""
import math
import struct

M = (1 << 64) - 1


def rotate(x, b):
    return (x << b | x >> (64 - b)) & M


def siphash(data, k0=0, k1=0):
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def rounds(n):
        for _ in range(n):
            v[0] = (v[0] + v[1]) & M
            v[1] = rotate(v[1], 13) ^ v[0]
            v[0] = rotate(v[0], 32)
            v[2] = (v[2] + v[3]) & M
            v[3] = rotate(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) & M
            v[3] = rotate(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) & M
            v[1] = rotate(v[1], 17) ^ v[2]
            v[2] = rotate(v[2], 32)

    whole = len(data) // 8 * 8
    words = [w for (w,) in struct.iter_unpack("<Q", data[:whole])]
    words.append(int.from_bytes(data[whole:], "little") | (len(data) & 0xFF) << 56)
    for word in words:
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


assert siphash(bytes(range(15)), 0x0706050403020100, 0x0F0E0D0C0B0A0908) == 0xA129CA6149BE45E5

SALT, SHARE, WEIGHTS = b"button-2026-11", 0.2, {b"big": 70, b"old": 30}


def place(key):
    def h(name):
        return siphash(SALT + b"\0" + name + b"\0" + key)

    if h(b"") >= int(SHARE * (1 << 64)):
        return "-"
    draws = {name: -math.log(((h(name) >> 11) + 0.5) / 2**53) / weight for name, weight in WEIGHTS.items()}
    return min(draws, key=draws.get).decode()


for n in range(300):
    print(f"user-{n}", place(f"user-{n}".encode()))
