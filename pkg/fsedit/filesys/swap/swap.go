package swap

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

const (
	layer     = "swap"
	headerOff = 1024
	headerLen = 44
	magicLen  = 10
	magic     = "SWAPSPACE2"
)

// header is what follows the 1024 bytes that boot code may use.
type header struct {
	Version  uint32   // 0
	LastPage uint32   // 4
	BadPages uint32   // 8
	UUID     [16]byte // 12
	Label    [16]byte // 28
}

// hibernated are the magic numbers that an image in the swap space leaves.
var hibernated = []string{"S1SUSPEND", "S2SUSPEND", "ULSUSPEND", "LINHIB0001"}

// Driver is the swap space of Linux. It is a stateless value.
type Driver struct{}

var _ filesys.Driver = Driver{}

func (Driver) Name() string { return layer }

// Probe looks for the magic at the end of a page of any size.
func (Driver) Probe(dev blockdev.Device) (ondisk.Match, filesys.Ident, error) {
	s, ok, err := read(dev)
	if err != nil || !ok {
		return ondisk.None, filesys.Ident{}, err
	}
	return ondisk.Sure, s.ident, nil
}

// Open gives a volume without a tree.
func (Driver) Open(ctx context.Context, members []blockdev.Device, _ filesys.Options) (filesys.Volume, error) {
	place := ondisk.At(layer, "header", headerOff)
	if len(members) != 1 {
		return nil, place.Corrupt("%d members, swap space has one", len(members))
	}
	s, ok, err := read(members[0])
	if err != nil {
		return nil, place.Wrap(err)
	}
	if !ok {
		return nil, place.Format("no signature")
	}
	return s, ctx.Err()
}

// space is one swap space.
type space struct {
	ident     filesys.Ident
	page      int64 // bytes
	size      int64 // bytes of the device
	suspended bool
}

var _ filesys.Volume = (*space)(nil)

func read(dev blockdev.Device) (*space, bool, error) {
	for page := int64(4096); page <= 65536; page *= 2 {
		if dev.Size() < page {
			break
		}
		var p [magicLen]byte
		if err := ondisk.Full(dev, p[:], page-magicLen); err != nil {
			return nil, false, err
		}
		suspended := suspends(string(p[:]))
		if string(p[:]) != magic && !suspended {
			continue
		}
		s := &space{page: page, size: dev.Size(), suspended: suspended}
		ok, err := s.readHeader(dev)
		if ok || err != nil {
			return s, ok, err
		}
	}
	return nil, false, nil
}

func suspends(m string) bool {
	for _, h := range hibernated {
		if strings.HasPrefix(m, h) {
			return true
		}
	}
	return false
}

// readHeader reads it in the byte order that makes its version 1.
func (s *space) readHeader(dev blockdev.Device) (bool, error) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		h, err := ondisk.Read[header](dev, headerOff, order)
		if err != nil {
			return false, err
		}
		if h.Version != 1 {
			continue
		}
		u := hex.EncodeToString(h.UUID[:])
		s.ident = filesys.Ident{Type: layer, Size: (int64(h.LastPage) + 1) * s.page}
		if h.UUID != [16]byte{} {
			s.ident.UUID = u[:8] + "-" + u[8:12] + "-" + u[12:16] + "-" + u[16:20] + "-" + u[20:]
		}
		s.ident.Label, _, _ = strings.Cut(string(h.Label[:]), "\x00")
		return true, nil
	}
	return false, nil
}

func (s *space) Ident() filesys.Ident { return s.ident }

// Hibernated in the notices says that the memory of a running system is here.
const Hibernated = "holds the memory of a hibernated system"

func (s *space) Info() filesys.Info {
	info := filesys.Info{ReadOnly: "swap space has no files"}
	if s.suspended {
		info.Notices = []string{Hibernated}
	}
	return info
}

func (s *space) Root(string) (filesys.FS, error) {
	return nil, ondisk.At(layer, "", ondisk.NoOffset).Unsupported("swap space has no files")
}

func (s *space) Edit(filesys.EditOptions) (filesys.Editor, error) {
	return nil, ondisk.At(layer, "", ondisk.NoOffset).Unsupported("swap space has no files")
}

// FreeExtents is all but the header: what is swapped out does not outlive the
// system that wrote it, unless that hibernated.
func (s *space) FreeExtents(context.Context) ([]filesys.Range, error) {
	end := s.ident.Size
	if s.suspended || end <= s.page || end > s.size {
		return nil, nil
	}
	return []filesys.Range{{Off: s.page, Len: end - s.page}}, nil
}

func (s *space) Space() filesys.Space {
	n := s.ident.Size / s.page
	return filesys.Space{BlockSize: s.page, Blocks: n, FreeBlocks: n, AvailBlocks: n}
}
