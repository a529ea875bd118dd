package vmdk

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

const (
	// fixedCID stands where no identity was drawn.
	fixedCID = 0x766d6b31
	// neverFilled is the CID of a disk that was never written.
	neverFilled = 0xfffffffe
	// toolsUnmanaged tells VMware not to offer its own guest tools.
	toolsUnmanaged = "2147483647"
)

// identity is what distinguishes an image from others of the same content.
type identity struct {
	content [16]byte // longContentID; its last four bytes are the CID
	serial  [16]byte // uuid; all zeros is none
}

// newIdentity draws one; without a source of randomness it is fixed, and has no
// uuid, since two disks of one machine must not share it.
func newIdentity(random io.Reader) (identity, error) {
	var id identity
	if random != nil {
		if _, err := io.ReadFull(random, id.content[:]); err != nil {
			return id, err
		}
		if _, err := io.ReadFull(random, id.serial[:]); err != nil {
			return id, err
		}
		// VMware's own prefix, so that no other maker's serial is met.
		copy(id.serial[:], []byte{0x60, 0x00, 0xc2, 0x90 | id.serial[3]&0x0f})
	}
	if cid := id.cid(); cid == 0 || cid == noParent || cid == neverFilled {
		binary.BigEndian.PutUint32(id.content[12:], fixedCID)
	}
	return id, nil
}

func (id *identity) cid() uint32 { return binary.BigEndian.Uint32(id.content[12:]) }

// uuid is written as VMware writes it: "60 00 C2 9a 01 02 03 04-05 ...".
func (id *identity) uuid() string {
	pairs := make([]string, len(id.serial))
	for i, c := range id.serial {
		pairs[i] = fmt.Sprintf("%02x", c)
	}
	return strings.Join(pairs[:8], " ") + "-" + strings.Join(pairs[8:], " ")
}

// text is the line as the descriptor has it. Only flat extents have an offset,
// and those of VMware's own file system are not told so.
func (l *extentLine) text() string {
	line := fmt.Sprintf("%s %d %s \"%s\"", l.access, l.sectors, l.kind, l.name)
	if l.kind == extentFlat {
		line += fmt.Sprintf(" %d", l.offset)
	}
	return line
}

// descriptorText is the descriptor of a new disk of so many sectors.
func (s *settings) descriptorText(id identity, sectors int64, extents []extentLine) []byte {
	lines := make([]string, len(extents))
	for i := range extents {
		lines[i] = extents[i].text()
	}
	var b strings.Builder
	fmt.Fprintf(&b, `# Disk DescriptorFile
version=1
encoding="UTF-8"
CID=%08x
parentCID=%08x
createType="%s"

# Extent description
%s

# The Disk Data Base
#DDB

`, id.cid(), uint32(noParent), s.subformat, strings.Join(lines, "\n"))
	cylinders, heads, perTrack := s.chs(sectors)
	ddb := func(key string, value any) { fmt.Fprintf(&b, "ddb.%s = \"%v\"\n", key, value) }
	ddb("adapterType", s.adapter)
	ddb("geometry.cylinders", cylinders)
	ddb("geometry.heads", heads)
	ddb("geometry.sectors", perTrack)
	ddb("longContentID", hex.EncodeToString(id.content[:]))
	ddb("toolsInstallType", "4")
	ddb("toolsVersion", toolsUnmanaged)
	if id.serial != ([16]byte{}) {
		ddb("uuid", id.uuid())
	}
	ddb("virtualHWVersion", s.hardware)
	return []byte(b.String())
}

// chs is the geometry that the controller's BIOS would show, rounded up. Disks
// that are larger than it can tell get the largest.
func (s *settings) chs(sectors int64) (cylinders, heads, perTrack int64) {
	heads, perTrack, most := int64(255), int64(63), int64(65535)
	if s.adapter == "ide" {
		heads, most = 16, 16383
	}
	return min(max(ondisk.DivUp(sectors, heads*perTrack), 1), most), heads, perTrack
}

// names are the files of an image, made from the name of the first.
type names struct {
	self string // base name of the file that is named by the user
	stem string // without its extension
}

// newNames refuses a name that cannot stand in a descriptor when others are
// made from it; a single file's name is not read back, and replaced.
func newNames(path string, single bool) (names, error) {
	self := filepath.Base(path)
	if !quotable(self) {
		if !single {
			return names{}, ondisk.At(layer, "descriptor", ondisk.NoOffset).Unsupported("the file name %q cannot stand in it", self)
		}
		self = "disk.vmdk"
	}
	stem := self
	if ext := filepath.Ext(self); strings.EqualFold(ext, ".vmdk") && len(ext) < len(self) {
		stem = strings.TrimSuffix(self, ext)
	}
	return names{self, stem}, nil
}

func quotable(name string) bool {
	return utf8.ValidString(name) && len(name) <= 255 && !strings.ContainsFunc(name, func(r rune) bool {
		return r == '"' || !unicode.IsPrint(r)
	})
}
