package signature

import (
	"fmt"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

const raidMagic = "\xfc\x4e\x2b\xa9"

var containers = []kind{
	{name: "crypto_LUKS", len: 512, magic: "LUKS\xba\xbe", read: readLUKS},
	{name: "BitLocker", len: 512, magic: "-FVE-FS-", at: 3},
	{name: "LVM2_member", off: 512, len: 512, magic: "LABELONE", read: readLVM},
	{name: "LVM2_member", off: 0, len: 512, magic: "LABELONE", read: readLVM},
	{name: "LVM2_member", off: 1024, len: 512, magic: "LABELONE", read: readLVM},
	{name: "LVM2_member", off: 1536, len: 512, magic: "LABELONE", read: readLVM},
	{name: "linux_raid_member", off: 0, len: 256, magic: raidMagic, read: readRAID1},
	{name: "linux_raid_member", off: 4096, len: 256, magic: raidMagic, read: readRAID1},
	{name: "bcache", off: 4096, len: 256, magic: "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81", at: 24},
}

func readLUKS(p []byte, id *filesys.Ident) bool {
	id.UUID = text(p[168:208])
	if be.Uint16(p[6:]) == 2 {
		id.Label = text(p[24:72])
	}
	return true
}

// readLVM reads the label sector and the first field of the PV header after it.
func readLVM(p []byte, id *filesys.Ident) bool {
	at := le.Uint32(p[20:])
	if string(p[24:32]) != "LVM2 001" || at < 32 || at > 512-32 {
		return false
	}
	u := p[at : at+32]
	id.UUID = fmt.Sprintf("%s-%s-%s-%s-%s-%s-%s", u[:6], u[6:10], u[10:14], u[14:18], u[18:22], u[22:26], u[26:])
	return true
}

// readRAID1 reads an md superblock of version 1.
func readRAID1(p []byte, id *filesys.Ident) bool {
	if le.Uint32(p[4:]) != 1 {
		return false
	}
	id.UUID, id.Label = dashed(p[16:32]), text(p[32:64])
	return true
}

// raidAtEnd looks for the md superblocks that leave the start of a member to its
// content: a leg of a mirror then looks like the filesystem itself.
func (w *window) raidAtEnd() (filesys.Ident, ondisk.Match, error) {
	size := w.dev.Size()
	id := filesys.Ident{Type: "linux_raid_member", Size: size}
	p, err := w.at((size/512-16)&^7*512, 256)
	if err != nil {
		return id, ondisk.None, err
	}
	if p != nil && string(p[:4]) == raidMagic && readRAID1(p, &id) {
		return id, ondisk.Sure, nil
	}
	p, err = w.at(size&^0xffff-0x10000, 64)
	if err != nil {
		return id, ondisk.None, err
	}
	if p == nil || string(p[:4]) != raidMagic || le.Uint32(p[4:]) != 0 {
		return filesys.Ident{}, ondisk.None, nil
	}
	u := make([]byte, 0, 16)
	for _, at := range []int{20, 52, 56, 60} {
		u = be.AppendUint32(u, le.Uint32(p[at:]))
	}
	id.UUID = dashed(u)
	return id, ondisk.Sure, nil
}
