"""Usage: make-vhd.py DISK.raw

Write VHDs by hand, after the Virtual Hard Disk Image Format Specification 1.0: the folders vhd-virtualpc, vhd-tap and
vhd-differencing, and child.raw, which is the disk of the last.
"""
import os
import struct
import sys
import uuid

SECTOR = 512
BLOCK = 2 << 20
BITS = BLOCK // SECTOR
disk = open(sys.argv[1], "rb").read()


def sealed(record, at):
    total = ~sum(record) & 0xFFFFFFFF
    return record[:at] + struct.pack(">I", total) + record[at + 4:]


def footer(kind, creator, host, geometry, ident, data=0xFFFFFFFFFFFFFFFF):
    record = struct.pack(">8sIIQI4sI4sQQHBBII16sB427x", b"conectix", 2, 0x10000, data, 0x10000000, creator, 0x50003, host,
                         len(disk), len(disk), *geometry, kind, 0, uuid.uuid5(uuid.NAMESPACE_DNS, ident).bytes, 0)
    return sealed(record, 64)


def header(blocks, parent=None, name="", locators=()):
    ident = uuid.uuid5(uuid.NAMESPACE_DNS, parent).bytes if parent else bytes(16)
    record = struct.pack(">8sQQIIII16sII512s", b"cxsparse", 0xFFFFFFFFFFFFFFFF, 1536, 0x10000, blocks, BLOCK, 0, ident,
                         0x10000000 if parent else 0, 0, name.encode("utf-16-be"))
    for code, length, offset in locators:
        record += struct.pack(">4sIIIQ", code, SECTOR, length, 0, offset)
    return sealed(record.ljust(1024, b"\0"), 36)


def sectors(image, block):
    """The sectors of a block."""
    part = image[block * BLOCK:(block + 1) * BLOCK].ljust(BLOCK, b"\0")
    return [part[i * SECTOR:(i + 1) * SECTOR] for i in range(BITS)]


def stored(present, content, rubbish):
    bitmap = bytearray(BITS // 8)
    for i, p in enumerate(present):
        if p:
            bitmap[i // 8] |= 0x80 >> i % 8
    return bytes(bitmap) + b"".join(c if p else rubbish for p, c in zip(present, content))


def sparse(foot, head, blocks, order, align, locator=b""):
    """Blocks are a dict by number; they are put into the file in the given order."""
    count = -(-len(disk) // BLOCK)
    bat = [0xFFFFFFFF] * count
    place = 2048 + len(locator)
    body = b""
    for block in order:
        pad = -(place + BITS // 8) % align
        body += bytes(pad)
        place += pad
        bat[block] = place // SECTOR
        body += blocks[block]
        place += len(blocks[block])
    table = b"".join(struct.pack(">I", b) for b in bat).ljust(SECTOR, b"\xff")
    return foot + head + table + locator + body + foot


def save(folder, name, content):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as f:
        f.write(content)


count = -(-len(disk) // BLOCK)
zero = bytes(SECTOR)

# Virtual PC: 75 cylinders, 4 heads, 34 sectors are less than the disk; early versions wrote footers of 511 bytes.
save("vhd-virtualpc", "disk.vhd", disk + footer(2, b"vpc ", b"Wi2k", (75, 4, 34), "virtualpc")[:511])


# XenServer's tapdisk: data aligned to 4 KiB, bits only for what was written.
def dynamic():
    blocks = {}
    for b in range(count):
        content = sectors(disk, b)
        present = [c != zero for c in content]
        if any(present):
            blocks[b] = stored(present, content, zero)
    foot = footer(3, b"tap\0", b"\0\0\0\0", (150, 4, 17), "tap", 512)
    return sparse(foot, header(count), blocks, sorted(blocks, reverse=True), 4096)


save("vhd-tap", "disk.vhd", dynamic())

# Hyper-V: a child over the same, in which a few pages differ.
child = bytearray(disk)
child[5120:12288] = b"child" * 1433 + b"ren"
child[2600 * 1024:2700 * 1024] = bytes(100 * 1024)
blocks = {}
for b in range(count):
    content, below = sectors(bytes(child), b), sectors(disk, b)
    differ = [c != d for c, d in zip(content, below)]
    present = [any(differ[i & ~7:(i & ~7) + 8]) for i in range(BITS)]  # libvhdi has no finer steps
    if any(present):
        blocks[b] = stored(present, content, b"\x5a" * SECTOR)
name = ".\\parent.vhd"
locator = name.encode("utf-16-le")
head = header(count, "tap", "parent.vhd", [(b"W2ru", len(locator), 2048)])
save("vhd-differencing", "disk.avhd", sparse(footer(4, b"win ", b"Wi2k", (150, 4, 17), "child", 512), head, blocks,
                                            sorted(blocks), SECTOR, locator.ljust(SECTOR, b"\0")))
save("vhd-differencing", "parent.vhd", dynamic())
save(".", "child.raw", child)
