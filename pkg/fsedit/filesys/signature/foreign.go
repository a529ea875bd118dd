package signature

import (
	"fmt"
	"math"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

var foreigners = []kind{
	{name: "ntfs", len: 512, magic: "NTFS    ", at: 3, read: readNTFS},
	{name: "exfat", len: 512, magic: "EXFAT   ", at: 3, read: readExFAT},
	{name: "squashfs", len: 96, magic: "hsqs"},
	{name: "btrfs", off: 65536, len: 1024, magic: "_BHRfS_M", at: 64, read: readBtrfs},
	{name: "f2fs", off: 1024, len: 1200, magic: "\x10\x20\xf5\xf2", read: readF2FS},
	{name: "erofs", off: 1024, len: 128, magic: "\xe2\xe1\xf5\xe0", read: readEROFS},
	{name: "iso9660", off: 32768, len: 2048, magic: "CD001", at: 1, read: readISO},
	{name: "jfs", off: 32768, len: 184, magic: "JFS1", read: readJFS},
	{name: "reiserfs", off: 65536, len: 204, magic: "ReIsEr", at: 52, read: readReiser},
}

// claim records a size that the filesystem states, when it can be true.
func claim(id *filesys.Ident, count uint64, unit uint64) {
	if count <= math.MaxInt64 && unit <= math.MaxInt64 {
		if n, ok := ondisk.MulOK(int64(count), int64(unit)); ok && n > 0 {
			id.Size = n
		}
	}
}

func readNTFS(p []byte, id *filesys.Ident) bool {
	id.UUID = fmt.Sprintf("%016X", le.Uint64(p[72:]))
	claim(id, le.Uint64(p[40:]), uint64(le.Uint16(p[11:])))
	return true
}

func readExFAT(p []byte, id *filesys.Ident) bool {
	id.UUID = serial(p[100:])
	if shift := p[108]; shift >= 9 && shift <= 12 {
		claim(id, le.Uint64(p[72:]), 1<<shift)
	}
	return true
}

// serial is a 32-bit volume id as blkid shows it.
func serial(p []byte) string { return fmt.Sprintf("%04X-%04X", le.Uint16(p[2:]), le.Uint16(p)) }

func readBtrfs(p []byte, id *filesys.Ident) bool {
	id.UUID, id.Label = dashed(p[32:48]), text(p[299:555])
	claim(id, le.Uint64(p[112:]), 1)
	return true
}

func readF2FS(p []byte, id *filesys.Ident) bool {
	id.UUID = dashed(p[108:124])
	return true
}

func readEROFS(p []byte, id *filesys.Ident) bool {
	id.UUID, id.Label = dashed(p[48:64]), text(p[64:80])
	return true
}

func readISO(p []byte, id *filesys.Ident) bool {
	id.Label = text(p[40:72])
	claim(id, uint64(le.Uint32(p[80:])), uint64(le.Uint16(p[128:])))
	return true
}

func readJFS(p []byte, id *filesys.Ident) bool {
	id.UUID, id.Label = dashed(p[136:152]), text(p[152:168])
	return true
}

func readReiser(p []byte, id *filesys.Ident) bool {
	id.UUID, id.Label = dashed(p[84:100]), text(p[100:116])
	claim(id, uint64(le.Uint32(p)), uint64(le.Uint16(p[44:])))
	return true
}
