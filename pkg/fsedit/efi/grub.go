package efi

import (
	"bytes"
	"encoding/binary"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Core is what grub-mkimage built into a GRUB.
type Core struct {
	// Prefix is where its configuration lies: "/EFI/debian" on the device that it
	// was loaded from, "(,gpt2)/boot/grub" on a partition of the same disk, or with
	// a device. Empty is the folder that it was loaded from.
	Prefix string `json:"prefix"`
	Script string `json:"script,omitempty"` // runs before the configuration is read
}

// Objects of the list, by type: enum in include/grub/kernel.h.
const (
	objectScript = 2
	objectPrefix = 3

	modsMagic  = "mimg"
	maxObjects = 4096
	maxText    = 64 << 10
)

// core reads the list of objects; nil when there is none.
func (p *program) core() *Core {
	s, ok := p.section("mods")
	if !ok || s.len < 24 {
		return nil
	}
	head, err := ondisk.Bytes(p.r, s.off, 24)
	if err != nil || string(head[:4]) != modsMagic {
		return nil
	}
	first, length := uint64(binary.LittleEndian.Uint32(head[4:])), uint64(binary.LittleEndian.Uint32(head[8:]))
	if p.wide {
		first, length = binary.LittleEndian.Uint64(head[8:]), binary.LittleEndian.Uint64(head[16:])
	}
	end := min(length, uint64(s.len)) // the length counts the head
	out := &Core{}
	for n := 0; n < maxObjects && first < end && end-first >= 8; n++ {
		object, err := ondisk.Bytes(p.r, s.off+int64(first), 8)
		if err != nil {
			return out
		}
		kind, size := binary.LittleEndian.Uint32(object), uint64(binary.LittleEndian.Uint32(object[4:]))
		if size < 8 || size > end-first {
			return out
		}
		switch kind {
		case objectScript:
			out.Script = p.object(s.off+int64(first), int64(size))
		case objectPrefix:
			out.Prefix = p.object(s.off+int64(first), int64(size))
		}
		first += size
	}
	return out
}

func (p *program) object(off, size int64) string {
	text, err := ondisk.Bytes(p.r, off+8, min(size-8, maxText))
	if err != nil {
		return ""
	}
	text, _, _ = bytes.Cut(text, []byte{0})
	return string(text)
}
