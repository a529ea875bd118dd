package vhd

import (
	"encoding/binary"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// footer is a footer where it was found, in its own bytes.
type footer struct {
	diskFooter
	raw   []byte // footerSize or shortFooterSize
	off   int64
	sound bool // the checksum is right
}

// footers are the two places where one may lie; nil where there is none.
type footers struct {
	tail *footer // at the end of the file
	copy *footer // at its start
}

// readFooters looks at both ends. Only a failing source is an error.
func readFooters(src blockdev.Device) (footers, error) {
	var fs footers
	var err error
	if fs.tail, err = readTail(src); err != nil || src.Size() < footerSize {
		return fs, err
	}
	if fs.tail != nil && fs.tail.off == 0 {
		return fs, nil // the whole file is one footer
	}
	p := make([]byte, footerSize)
	if err := ondisk.Full(src, p, 0); err != nil {
		return fs, err
	}
	fs.copy = newFooter(p, 0)
	if fs.copy != nil && fs.copy.DiskType == typeFixed {
		fs.copy = nil // the guest's own bytes
	}
	return fs, nil
}

// readTail finds the footer at the end, of either length.
func readTail(src blockdev.Device) (*footer, error) {
	n := min(src.Size(), footerSize)
	if n < shortFooterSize {
		return nil, nil
	}
	p := make([]byte, n)
	if err := ondisk.Full(src, p, src.Size()-n); err != nil {
		return nil, err
	}
	if f := newFooter(p, src.Size()-n); f != nil {
		return f, nil
	}
	return newFooter(p[n-shortFooterSize:], src.Size()-shortFooterSize), nil
}

// newFooter decodes a footer, or returns nil where p is none.
func newFooter(p []byte, off int64) *footer {
	if string(p[:len(footerCookie)]) != footerCookie {
		return nil
	}
	f := &footer{raw: p, off: off, sound: sealed(p, offFooterChecksum)}
	var whole [footerSize]byte
	copy(whole[:], p)
	// The structure has a fixed size and p is as long, so that this cannot fail.
	_, _ = binary.Decode(whole[:], binary.BigEndian, &f.diskFooter)
	return f
}

// choose is the footer to go by: the one at the end, else its copy. Only one
// with a right checksum will do.
func (fs footers) choose() (*footer, error) {
	for _, f := range []*footer{fs.tail, fs.copy} {
		if f != nil && f.sound {
			return f, f.validate()
		}
	}
	for _, f := range []*footer{fs.tail, fs.copy} {
		if f != nil {
			return nil, f.place().In("checksum").Corrupt("%#08x is wrong, and there is no other copy of the footer that is right", f.Checksum)
		}
	}
	return nil, ondisk.At(layer, "footer", ondisk.NoOffset).
		Format("there is none at either end of the file; the file is not VHD, or it is truncated")
}

// fault says what is wrong with the footer at the end; empty for nothing.
func (fs footers) fault() string {
	switch {
	case fs.tail == nil:
		return "the footer at the end of the file is missing"
	case !fs.tail.sound:
		return "the footer at the end of the file is damaged"
	}
	return ""
}

func (f *footer) place() ondisk.Place { return ondisk.At(layer, "footer", f.off) }

// validate refuses what other fields rest on.
func (f *footer) validate() error {
	at := f.place()
	switch {
	case f.Version>>16 != version1>>16:
		return at.In("version").Unsupported("%d.%d is not known", f.Version>>16, f.Version&0xffff)
	case f.DiskType < typeFixed || f.DiskType > typeDifferencing:
		return at.In("disk type").Unsupported("%d is not known", f.DiskType)
	case f.CurrentSize > 1<<63-1:
		return at.In("current size").Corrupt("%#x is negative", f.CurrentSize)
	}
	return nil
}

func (f *footer) size() int64 { return int64(f.CurrentSize) }

func (f *footer) variant() string {
	return [...]string{typeFixed: "fixed", typeDynamic: "dynamic", typeDifferencing: "differencing"}[f.DiskType]
}
