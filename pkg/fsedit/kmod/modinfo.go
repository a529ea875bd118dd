package kmod

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Info is what a module says about itself.
type Info struct {
	Machine  elf.Machine
	Name     string // empty before Linux 4.13
	Vermagic string
	Depends  []string // direct needs
	Aliases  []string
	Firmware []string
	Softdeps []Softdep
	InTree   bool
}

// ReadInfo reads the .modinfo section of an unpacked module: a list of
// NUL-terminated "key=value".
func ReadInfo(data []byte) (Info, error) {
	o, err := openObject(data)
	if err != nil {
		return Info{}, err
	}
	info := Info{Machine: o.machine}
	section, err := o.section(".modinfo")
	if err != nil {
		return info, err
	}
	for _, field := range bytes.Split(section, []byte{0}) {
		if key, value, ok := strings.Cut(string(field), "="); ok {
			info.set(key, value)
		}
	}
	for i := range info.Softdeps {
		info.Softdeps[i].Module, info.Softdeps[i].line = info.Name, ""
	}
	return info, nil
}

func (i *Info) set(key, value string) {
	switch key {
	case "name":
		i.Name = value
	case "vermagic":
		i.Vermagic = value
	case "depends":
		if value != "" {
			i.Depends = strings.Split(value, ",")
		}
	case "alias":
		i.Aliases = append(i.Aliases, value)
	case "firmware":
		i.Firmware = append(i.Firmware, value)
	case "softdep":
		i.Softdeps = append(i.Softdeps, ParseSoftdep([]byte("softdep - "+value))...)
	case "intree":
		i.InTree = value == "Y"
	}
}

// object is an ELF file, of which only the section table matters here. The
// standard library's reader would unpack compressed sections, of any size.
type object struct {
	data     []byte
	order    binary.ByteOrder
	wide     bool
	machine  elf.Machine
	table    []byte
	size     int // of one header
	strIndex int
}

func openObject(data []byte) (*object, error) {
	at := ondisk.At("kmod", "ELF header", 0)
	if len(data) < elf.EI_NIDENT || string(data[:4]) != elf.ELFMAG {
		return nil, at.Format("no ELF file")
	}
	o := &object{data: data, order: binary.LittleEndian, wide: data[elf.EI_CLASS] == byte(elf.ELFCLASS64)}
	if data[elf.EI_DATA] == byte(elf.ELFDATA2MSB) {
		o.order = binary.BigEndian
	}
	c := ondisk.NewCursor(data, o.order)
	c.Skip(elf.EI_NIDENT + 2)
	o.machine = elf.Machine(c.U16())
	c.Skip(4) // version
	o.word(c) // entry
	o.word(c) // program headers
	table := o.word(c)
	c.Skip(4 + 2 + 2 + 2) // flags, header size, program header size and count
	size, count, strs := c.U16(), c.U16(), c.U16()
	want := uint16(binary.Size(elf.Section32{}))
	if o.wide {
		want = uint16(binary.Size(elf.Section64{}))
	}
	length := int64(count) * int64(size)
	if c.Err() != nil || size != want || table > uint64(len(data)) || !ondisk.InRange(int64(table), length, int64(len(data))) {
		return nil, at.In("section table").Corrupt("%d headers of %d bytes at %#x", count, size, table)
	}
	o.table, o.size, o.strIndex = data[table:int64(table)+length], int(size), int(strs)
	return o, nil
}

// word is an address-sized field.
func (o *object) word(c *ondisk.Cursor) uint64 {
	if o.wide {
		return c.U64()
	}
	return uint64(c.U32())
}

// header is the name offset and the bytes of section i; the bytes are nil where
// it has none in the file.
func (o *object) header(i int) (name uint32, data []byte, err error) {
	if i < 0 || (i+1)*o.size > len(o.table) {
		return 0, nil, ondisk.At("kmod", "ELF section", ondisk.NoOffset).Corrupt("no section %d", i)
	}
	c := ondisk.NewCursor(o.table[i*o.size:(i+1)*o.size], o.order)
	name = c.U32()
	kind := elf.SectionType(c.U32())
	flags := elf.SectionFlag(o.word(c))
	o.word(c) // address
	off, size := o.word(c), o.word(c)
	if kind == elf.SHT_NOBITS || kind == elf.SHT_NULL {
		return name, nil, nil
	}
	n := uint64(len(o.data))
	if flags&elf.SHF_COMPRESSED != 0 || off > n || size > n-off {
		return name, nil, ondisk.At("kmod", "ELF section", ondisk.NoOffset).In("%d", i).Corrupt("%d bytes at %#x", size, off)
	}
	return name, o.data[off : off+size], nil
}

func (o *object) section(name string) ([]byte, error) {
	_, names, err := o.header(o.strIndex)
	if err != nil {
		return nil, err
	}
	want := append([]byte(name), 0)
	for i := range len(o.table) / o.size {
		at, data, err := o.header(i)
		if err != nil {
			continue // a damaged section that nobody asked for
		}
		if int64(at) < int64(len(names)) && bytes.HasPrefix(names[at:], want) {
			return data, nil
		}
	}
	return nil, ondisk.At("kmod", "ELF file", ondisk.NoOffset).Corrupt("no section %s", name)
}
