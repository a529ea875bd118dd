package ext

import "hash/crc32"

// Metadata checksums, as "Checksums" of the kernel's ext4 documentation lists
// them: CRC-32C without the customary inversions, each kind of structure mixed
// with what makes a misplaced copy fail.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// crc32c continues a raw CRC-32C: no inversion before or after.
func crc32c(seed uint32, p []byte) uint32 {
	return ^crc32.Update(^seed, castagnoli, p)
}

func crc32cU32(seed, v uint32) uint32 {
	var b [4]byte
	le.PutUint32(b[:], v)
	return crc32c(seed, b[:])
}

func crc32cU64(seed uint32, v uint64) uint32 {
	var b [8]byte
	le.PutUint64(b[:], v)
	return crc32c(seed, b[:])
}

const allOnes = ^uint32(0)

var zeros [4]byte

// crc16Table is the reflected table of CRC-16/ARC, polynomial 0x8005.
var crc16Table = func() (t [256]uint16) {
	for i := range t {
		c := uint16(i)
		for range 8 {
			if c&1 != 0 {
				c = c>>1 ^ 0xA001
			} else {
				c >>= 1
			}
		}
		t[i] = c
	}
	return t
}()

func crc16(crc uint16, p []byte) uint16 {
	for _, b := range p {
		crc = crc>>8 ^ crc16Table[byte(crc)^b]
	}
	return crc
}

// superSum is the checksum of a superblock of 1024 bytes.
func superSum(raw []byte) uint32 { return crc32c(allOnes, raw[:sbChecksum]) }

// groupSum is the checksum of a group descriptor under metadata_csum.
func groupSum(seed, group uint32, raw []byte) uint16 {
	c := crc32cU32(seed, group)
	c = crc32c(c, raw[:bgChecksum])
	c = crc32c(c, zeros[:2])
	if len(raw) > bgChecksum+2 {
		c = crc32c(c, raw[bgChecksum+2:])
	}
	return uint16(c)
}

// groupSum16 is the checksum of a group descriptor under gdt_csum.
func groupSum16(uuid [16]byte, group uint32, raw []byte) uint16 {
	var n [4]byte
	le.PutUint32(n[:], group)
	c := crc16(0xFFFF, uuid[:])
	c = crc16(c, n[:])
	c = crc16(c, raw[:bgChecksum])
	if len(raw) > bgChecksum+2 {
		c = crc16(c, raw[bgChecksum+2:])
	}
	return c
}

// bitmapSum is the checksum of the first bits/8 bytes of a block or inode bitmap.
func bitmapSum(seed uint32, bitmap []byte, bits uint32) uint32 {
	return crc32c(seed, bitmap[:bits/8])
}

// inodeSeed starts the checksums of an inode and of its blocks.
func inodeSeed(seed, ino, generation uint32) uint32 {
	return crc32cU32(crc32cU32(seed, ino), generation)
}

// inodeHasSumHi reports whether the inode stores the upper half of its checksum.
func inodeHasSumHi(raw []byte) bool {
	return len(raw) > oldInodeSize && le.Uint16(raw[inExtraIsize:]) >= 4
}

// inodeSum is the checksum of a whole inode; only the lower half counts when
// [inodeHasSumHi] is false.
func inodeSum(seed, ino uint32, raw []byte) uint32 {
	c := inodeSeed(seed, ino, le.Uint32(raw[inGeneration:]))
	c = crc32c(c, raw[:inChecksumLo])
	c = crc32c(c, zeros[:2])
	if !inodeHasSumHi(raw) {
		return crc32c(c, raw[inChecksumLo+2:]) & 0xFFFF
	}
	c = crc32c(c, raw[inChecksumLo+2:inChecksumHi])
	c = crc32c(c, zeros[:2])
	return crc32c(c, raw[inChecksumHi+2:])
}

// sealInode stores the checksum of an inode.
func sealInode(seed, ino uint32, raw []byte) {
	c := inodeSum(seed, ino, raw)
	le.PutUint16(raw[inChecksumLo:], uint16(c))
	if inodeHasSumHi(raw) {
		le.PutUint16(raw[inChecksumHi:], uint16(c>>16))
	}
}

// storedInodeSum is what [inodeSum] must give.
func storedInodeSum(raw []byte) uint32 {
	c := uint32(le.Uint16(raw[inChecksumLo:]))
	if inodeHasSumHi(raw) {
		c |= uint32(le.Uint16(raw[inChecksumHi:])) << 16
	}
	return c
}

// extentTail is where an extent block keeps its checksum.
func extentTail(block []byte) int {
	return extentHeaderSize + extentEntrySize*int(le.Uint16(block[4:]))
}

// extentBlockSum is the checksum of an extent block; iseed is [inodeSeed].
func extentBlockSum(iseed uint32, block []byte) uint32 {
	return crc32c(iseed, block[:extentTail(block)])
}

// dirLeafSum is the checksum of a directory block that holds entries.
func dirLeafSum(iseed uint32, block []byte) uint32 {
	return crc32c(iseed, block[:len(block)-dirTailSize])
}

// dxSum is the checksum of an htree node whose count and limit stand at
// countAt; limit must lie inside the block.
func dxSum(iseed uint32, block []byte, countAt int) uint32 {
	limit := int(le.Uint16(block[countAt:]))
	count := int(le.Uint16(block[countAt+2:]))
	tail := countAt + limit*dxEntrySize
	c := crc32c(iseed, block[:countAt+count*dxEntrySize])
	c = crc32c(c, block[tail:tail+4])
	return crc32c(c, zeros[:4])
}

// xattrBlockSum is the checksum of the xattr block at block number nr.
func xattrBlockSum(seed uint32, nr uint64, block []byte) uint32 {
	c := crc32cU64(seed, nr)
	c = crc32c(c, block[:xattrChecksumAt])
	c = crc32c(c, zeros[:4])
	return crc32c(c, block[xattrChecksumAt+4:])
}

// mmpSum is the checksum of the multiple mount protection block.
func mmpSum(seed uint32, block []byte) uint32 { return crc32c(seed, block[:1020]) }

// orphanBlockSum is the checksum of a block of the orphan file; iseed is that
// of the orphan file's inode, nr the block's number on the device.
func orphanBlockSum(iseed uint32, nr uint64, block []byte) uint32 {
	return crc32c(crc32cU64(iseed, nr), block[:len(block)-8])
}

// eaValueSum is the checksum of the value in an EA inode.
func eaValueSum(seed uint32, value []byte) uint32 { return crc32c(seed, value) }
