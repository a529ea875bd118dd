package vmdk

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// noParent is the parentCID of a disk that stands alone.
const noParent = 0xffffffff

// descriptor is the text that says what a disk is made of: a file of its own, or
// the second part of a sparse extent.
type descriptor struct {
	version    int
	encoding   string
	cid        uint32
	parentCID  uint32
	createType string
	parentHint string // parentFileNameHint
	trackPath  string // changeTrackPath: where VMware notes changed blocks
	extents    []extentLine
	encrypted  bool
	ddb        []keyValue // the disk database, in order, keys without "ddb."

	cidDigits    textSpan // of the CID in the text
	longIDDigits textSpan // of the last 8 digits of ddb.longContentID
	longIDTail   uint32   // what they say: the CID, too, where VMware wrote it
}

// extentLine is `RW 4192256 SPARSE "disk-s001.vmdk" 0`.
type extentLine struct {
	access  string // accessRW, …
	sectors int64
	kind    string // extentFlat, …
	name    string // bytes as they are, in the descriptor's encoding
	offset  int64  // sector of the file where the extent begins; flat ones only
}

type keyValue struct{ key, value string }

// textSpan is a piece of the descriptor's text, in bytes.
type textSpan struct{ off, n int }

// How an extent may be used.
const (
	accessRW     = "RW"
	accessRead   = "RDONLY"
	accessDenied = "NOACCESS"
)

// Types of extents.
const (
	extentFlat       = "FLAT"
	extentSparse     = "SPARSE"
	extentZero       = "ZERO"
	extentVMFS       = "VMFS"
	extentVMFSSparse = "VMFSSPARSE"
	extentVMFSRDM    = "VMFSRDM"
	extentVMFSRaw    = "VMFSRAW"
	extentSESparse   = "SESPARSE"
)

// Values of createType.
const (
	typeMonolithicSparse = "monolithicSparse"
	typeMonolithicFlat   = "monolithicFlat"
	typeSplitSparse      = "twoGbMaxExtentSparse"
	typeSplitFlat        = "twoGbMaxExtentFlat"
	typeStream           = "streamOptimized"
	typeVMFS             = "vmfs"
	typeVMFSSparse       = "vmfsSparse"
	typeSESparse         = "seSparse"
	typeCustom           = "custom"
)

// parseDescriptor reads a descriptor. It is written by many hands: keys differ in
// case, lines end in any way, unknown keys are left alone. The text ends at the
// first zero byte.
func parseDescriptor(text []byte) (*descriptor, error) {
	if end := bytes.IndexByte(text, 0); end >= 0 {
		text = text[:end]
	}
	d := &descriptor{parentCID: noParent}
	seen := map[string]bool{}
	for off, number := 0, 1; off < len(text); number++ {
		end := lineEnd(text, off)
		if err := d.line(text[off:end], off, seen); err != nil {
			return nil, ondisk.At(layer, "descriptor", ondisk.NoOffset).In("line %d", number).Wrap(err)
		}
		off = end + 1
	}
	if !d.encrypted && (!seen["cid"] || d.createType == "") {
		return nil, ondisk.At(layer, "descriptor", ondisk.NoOffset).Corrupt("it has no CID or no createType")
	}
	return d, nil
}

func lineEnd(text []byte, off int) int {
	if n := bytes.IndexAny(text[off:], "\r\n"); n >= 0 {
		return off + n
	}
	return len(text)
}

// line takes one line, which begins at off. Of a key that comes twice the first
// one counts, as for QEMU.
func (d *descriptor) line(raw []byte, off int, seen map[string]bool) error {
	line := strings.TrimSpace(string(raw))
	if line == "" || line[0] == '#' {
		return nil
	}
	if word, rest := cutWord(line); isAccess(word) {
		return d.extentLine(strings.ToUpper(word), rest)
	}
	key, value, ok := strings.Cut(line, "=")
	if !ok {
		return nil
	}
	key = strings.ToLower(strings.TrimSpace(key))
	value = unquote(strings.TrimSpace(value))
	if seen[key] {
		return nil
	}
	if len(seen) >= maxExtents {
		return ondisk.Because(ondisk.ErrTooBig, "more than %d keys", maxExtents)
	}
	seen[key] = true
	// The value is the last of its kind in the line: "cid = c1d" is possible.
	return d.set(key, value, textSpan{off + bytes.LastIndex(raw, []byte(value)), len(value)})
}

func unquote(s string) string {
	if len(s) >= 2 && s[0] == '"' {
		if end := strings.IndexByte(s[1:], '"'); end >= 0 {
			return s[1 : 1+end]
		}
	}
	return s
}

func (d *descriptor) set(key, value string, at textSpan) (err error) {
	switch key {
	case "version":
		d.version, err = strconv.Atoi(value)
		if err != nil || d.version < 1 || d.version > 4 {
			return ondisk.Because(ondisk.ErrUnsupported, "version %q of the descriptor", value)
		}
	case "encoding":
		d.encoding = value
	case "cid":
		d.cidDigits = at
		d.cid, err = contentID(value)
	case "parentcid":
		d.parentCID, err = contentID(value)
	case "createtype":
		d.createType = value
	case "parentfilenamehint":
		d.parentHint = value
	case "encryption.keysafe", "encryption.data":
		d.encrypted = true // and so are all other keys, by Workstation
	case "changetrackpath":
		d.trackPath = value
	default:
		d.setDDB(key, value, at)
	}
	return err
}

func (d *descriptor) setDDB(key, value string, at textSpan) {
	name, ok := strings.CutPrefix(key, "ddb.")
	if !ok {
		return
	}
	d.ddb = append(d.ddb, keyValue{name, value})
	if name == "iofilters" && strings.Contains(value, "vmwarevmcrypt") {
		d.encrypted = true // the data are, by vSphere
	}
	if name == "longcontentid" && len(value) == 32 {
		d.longIDDigits = textSpan{at.off + 24, 8}
		tail, _ := strconv.ParseUint(value[24:], 16, 32)
		d.longIDTail = uint32(tail)
	}
}

func contentID(value string) (uint32, error) {
	id, err := strconv.ParseUint(value, 16, 32)
	if err != nil {
		return 0, ondisk.Because(ondisk.ErrCorrupt, "%q is no content id", value)
	}
	return uint32(id), nil
}

func isAccess(word string) bool {
	switch strings.ToUpper(word) {
	case accessRW, accessRead, accessDenied:
		return true
	}
	return false
}

// extentLine parses what follows the access: sectors, type, name, offset. What
// comes after that (a device's partition) is not used.
func (d *descriptor) extentLine(access, rest string) error {
	bad := func(why string) error {
		return ondisk.Because(ondisk.ErrCorrupt, "extent: %s", why)
	}
	if len(d.extents) >= maxExtents {
		return ondisk.Because(ondisk.ErrTooBig, "more than %d extents", maxExtents)
	}
	x := extentLine{access: access}
	count, rest := cutWord(rest)
	kind, rest := cutWord(rest)
	x.kind = strings.ToUpper(kind)
	var err error
	if x.sectors, err = strconv.ParseInt(count, 10, 64); err != nil || x.sectors < 0 {
		return bad(strconv.Quote(count) + " is no number of sectors")
	}
	if _, ok := ondisk.MulOK(x.sectors, sectorSize); !ok {
		return bad(count + " sectors are too many")
	}
	if strings.HasPrefix(rest, `"`) {
		var closed bool
		if x.name, rest, closed = strings.Cut(rest[1:], `"`); !closed {
			return bad("the name has no end")
		}
	}
	if offset, _ := cutWord(rest); offset != "" {
		x.offset, err = strconv.ParseInt(offset, 10, 64)
		if _, ok := ondisk.MulOK(x.offset, sectorSize); err != nil || !ok {
			return bad(strconv.Quote(offset) + " is no offset")
		}
	}
	d.extents = append(d.extents, x)
	return nil
}

func cutWord(s string) (word, rest string) {
	s = strings.TrimLeft(s, " \t")
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		return s[:i], strings.TrimLeft(s[i:], " \t")
	}
	return s, ""
}
