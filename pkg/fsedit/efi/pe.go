package efi

import (
	"bytes"
	"encoding/binary"
	"io"
	"strconv"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

const (
	layer       = "efi"
	peOffset    = 0x3c
	coffSize    = 24 // with the signature
	sectionSize = 40
	symbolSize  = 18
	maxSections = 96 // of the PE format's loaders
	wideMagic   = 0x20b
	narrowMagic = 0x10b
)

// coffHeader follows "PE\0\0".
type coffHeader struct {
	Signature    [4]byte // 0
	Machine      uint16  // 4
	Sections     uint16  // 6
	Time         uint32  // 8
	Symbols      uint32  // 12: place in the file
	SymbolCount  uint32  // 16
	OptionalSize uint16  // 20
	Flags        uint16  // 22
}

// sectionHeader is one of the table behind the optional header.
type sectionHeader struct {
	Name        [8]byte  // 0
	VirtualSize uint32   // 8
	Address     uint32   // 12
	RawSize     uint32   // 16
	Raw         uint32   // 20: place in the file
	_           [16]byte // 24: relocations, line numbers, flags
}

// program is an opened file.
type program struct {
	r        io.ReaderAt
	size     int64
	coff     coffHeader
	wide     bool // PE32+
	signed   bool
	sections []section
}

// section is a run of the file.
type section struct {
	name     string
	off, len int64
}

func open(r io.ReaderAt, size int64) (*program, error) {
	at := ondisk.At(layer, "header", 0)
	start, err := ondisk.Bytes(r, 0, peOffset+4)
	if err != nil || string(start[:2]) != "MZ" {
		return nil, at.Format("no EFI program")
	}
	p := &program{r: r, size: size}
	pe := int64(binary.LittleEndian.Uint32(start[peOffset:]))
	if !ondisk.InRange(pe, coffSize, size) {
		return nil, at.Format("no EFI program")
	}
	if p.coff, err = ondisk.Read[coffHeader](r, pe, binary.LittleEndian); err != nil {
		return nil, at.Wrap(err)
	}
	if string(p.coff.Signature[:]) != "PE\x00\x00" {
		return nil, at.Format("no EFI program")
	}
	if err := p.optional(pe + coffSize); err != nil {
		return nil, err
	}
	return p, p.table(pe + coffSize + int64(p.coff.OptionalSize))
}

// optional reads what matters of the optional header: its kind, and whether data
// directory 4, the signatures, holds any.
func (p *program) optional(off int64) error {
	at := ondisk.At(layer, "optional header", off)
	buf, err := ondisk.Bytes(p.r, off, int64(p.coff.OptionalSize))
	if err != nil || len(buf) < 2 {
		return at.Corrupt("%d bytes", p.coff.OptionalSize)
	}
	directory := 96 + 4*8
	switch binary.LittleEndian.Uint16(buf) {
	case wideMagic:
		p.wide = true
		directory = 112 + 4*8
	case narrowMagic:
	default:
		return at.Corrupt("kind %#x", binary.LittleEndian.Uint16(buf))
	}
	if len(buf) >= directory+8 {
		place := int64(binary.LittleEndian.Uint32(buf[directory:])) // in the file, of this directory alone
		length := int64(binary.LittleEndian.Uint32(buf[directory+4:]))
		p.signed = length > 0 && ondisk.InRange(place, length, p.size)
	}
	return nil
}

func (p *program) table(off int64) error {
	at := ondisk.At(layer, "section table", off)
	if p.coff.Sections > maxSections {
		return at.TooBig("%d sections", p.coff.Sections)
	}
	for i := range int64(p.coff.Sections) {
		h, err := ondisk.Read[sectionHeader](p.r, off+i*sectionSize, binary.LittleEndian)
		if err != nil {
			return at.In("section %d", i).Corrupt("%v", err)
		}
		s := section{name: p.name(h.Name), off: int64(h.Raw), len: int64(h.RawSize)}
		if h.VirtualSize > 0 {
			s.len = min(s.len, int64(h.VirtualSize))
		}
		if ondisk.InRange(s.off, s.len, p.size) {
			p.sections = append(p.sections, s)
		}
	}
	return nil
}

// name is a section's name, which is a place among the strings behind the symbols
// when it is a number behind a slash.
func (p *program) name(raw [8]byte) string {
	name := string(bytes.TrimRight(raw[:], "\x00"))
	if len(name) < 2 || name[0] != '/' {
		return name
	}
	n, err := strconv.ParseUint(name[1:], 10, 24)
	if err != nil || p.coff.Symbols == 0 {
		return ""
	}
	off := int64(p.coff.Symbols) + int64(p.coff.SymbolCount)*symbolSize + int64(n)
	if off >= p.size {
		return ""
	}
	text, err := ondisk.Bytes(p.r, off, min(32, p.size-off))
	if err != nil {
		return ""
	}
	text, _, _ = bytes.Cut(text, []byte{0})
	return string(text)
}

func (p *program) section(name string) (section, bool) {
	for _, s := range p.sections {
		if s.name == name {
			return s, true
		}
	}
	return section{}, false
}

// text is the start of a section up to a NUL; empty without the section.
func (p *program) text(name string) string {
	s, ok := p.section(name)
	if !ok {
		return ""
	}
	text, err := ondisk.Bytes(p.r, s.off, min(s.len, maxText))
	if err != nil {
		return ""
	}
	text, _, _ = bytes.Cut(text, []byte{0})
	return string(text)
}
